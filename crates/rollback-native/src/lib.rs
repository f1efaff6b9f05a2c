//! The `Database` port over a SQLite and a PostgreSQL driver, for the binary that runs without Python.
//!
//! A [`DatabaseUrl`] is read from text and the environment, then [`connect`] opens it. Which statements run,
//! and in which order, is the engine's affair; this crate is never linked into the extension module, where
//! Django's own connection is used.

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
/// A SQLite file is never created, and every failure to get a connection is `Unreachable`.
pub fn connect(url: &DatabaseUrl) -> Result<Box<dyn Database>, DatabaseError> {
    match url {
        DatabaseUrl::Sqlite { path } => Ok(Box::new(Interruptible::new(SqliteDatabase::open(path)?))),
        DatabaseUrl::Postgres(url) => Ok(Box::new(Interruptible::new(PostgresDatabase::connect(url)?))),
    }
}
