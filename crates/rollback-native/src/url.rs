//! Where the database is: a URL as Django projects write it in `DATABASE_URL`, with libpq's fallbacks.
//!
//! Everything about a connection is decided here, once, and nothing here connects. A password is a [`Secret`], so that
//! nothing that is printed can contain one.

mod environment;
mod error;
mod ignored;
mod postgres;
mod secret;
mod split;
mod sqlite;

use std::fmt;
use std::path::PathBuf;

use self::environment::Environment;
pub use self::error::UrlError;
pub use self::postgres::{
    ChannelBinding, ClientCertificate, PostgresUrl, Roots, Server, SessionTarget, Tls, TlsMode,
};
pub use self::secret::Secret;
use self::split::Split;

/// Which database to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file. `sqlite:////srv/db.sqlite3` is absolute. `sqlite:///db.sqlite3` is relative to the working directory,
    /// unless only `/db.sqlite3` exists: many write three slashes and mean an absolute path.
    Sqlite {
        /// The file, absolute or relative to the working directory.
        path: PathBuf,
    },
    /// A server.
    Postgres(Box<PostgresUrl>),
}

impl DatabaseUrl {
    /// Reads a URL from a private place: a variable or a file. It may contain a password.
    pub fn parse(text: &str, env: &Environment<'_>) -> Result<Self, UrlError> {
        Self::from_split(&Split::new(text)?, env)
    }

    /// Reads a URL from a command-line argument. It may not contain a password.
    pub fn parse_argument(text: &str, env: &Environment<'_>) -> Result<Self, UrlError> {
        let split = Split::new(text)?;
        if split.has_password() {
            return Err(UrlError::PasswordOnCommandLine);
        }
        Self::from_split(&split, env)
    }

    fn from_split(split: &Split<'_>, env: &Environment<'_>) -> Result<Self, UrlError> {
        match split.scheme.to_ascii_lowercase().as_str() {
            "sqlite" => Ok(Self::Sqlite { path: sqlite::path(split)? }),
            "postgres" | "postgresql" | "postgis" | "pgsql" => {
                Ok(Self::Postgres(Box::new(postgres::read(split, env)?)))
            }
            "mysql" | "mysql2" | "mysqlgis" | "mariadb" => Err(UrlError::MySql),
            other => Err(UrlError::UnsupportedScheme(other.to_owned())),
        }
    }
}

/// The URL without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:///{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
