//! The `Database` port over a SQLite and a PostgreSQL driver, for the binary that runs without Python.
//!
//! A [`DatabaseUrl`] is read from text and the environment, then [`connect`] opens it. The engine decides which
//! statements run. This crate is never linked into the extension module, which uses Django's own connection.
//!
//! Each database has its own files: `postgres` and `sqlite`, and the same below `url`. Only [`connect`] and
//! [`DatabaseUrl`] choose between them.

pub mod interrupt;
mod postgres;
mod sqlite;
mod url;

pub use crate::postgres::PostgresDatabase;
pub use crate::sqlite::SqliteDatabase;
pub use crate::url::{
    ChannelBinding, ClientCertificate, DatabaseUrl, PostgresUrl, Roots, Secret, Server, SessionTarget, Tls,
    TlsMode, UrlError,
};

use rollback_engine::ports::{Database, DatabaseError};

use crate::interrupt::Interruptible;

/// Opens the database that a URL names.
///
/// A SQLite file is never created. Every failure to get a connection is `Unreachable`.
pub fn connect(url: &DatabaseUrl) -> Result<Box<dyn Database>, DatabaseError> {
    match url {
        DatabaseUrl::Sqlite { path } => Ok(Box::new(Interruptible::new(SqliteDatabase::open(path)?))),
        DatabaseUrl::Postgres(url) => Ok(Box::new(Interruptible::new(PostgresDatabase::connect(url)?))),
    }
}
