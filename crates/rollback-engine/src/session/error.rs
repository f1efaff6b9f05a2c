//! What can go wrong in a session.

use crate::dialect::Holder;
use crate::ports::{DatabaseError, DatabaseErrorKind};

/// Why a session could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The database, or the way to it, failed.
    #[error("{database}: {error}")]
    Database {
        /// How the database is called.
        database: String,
        /// Its own words.
        error: DatabaseError,
    },
    /// Another save, rollback or migrate is at work.
    #[error("another save, rollback or migrate holds the lock in {database}{}", named(holder.as_ref()))]
    Locked {
        /// How the database is called.
        database: String,
        /// Who it is, if that is known.
        holder: Option<Holder>,
    },
}

fn named(holder: Option<&Holder>) -> String {
    holder.map(|holder| format!(": {holder}")).unwrap_or_default()
}

impl SessionError {
    /// What kind of failure the database reported.
    pub fn kind(&self) -> Option<DatabaseErrorKind> {
        match self {
            Self::Database { error, .. } => Some(error.kind),
            Self::Locked { .. } => None,
        }
    }

    /// Whether another session is in the way: then a retry may help.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Locked { .. }) || self.kind() == Some(DatabaseErrorKind::Busy)
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Database { error, .. } => database_hint(error.kind),
            Self::Locked { .. } => Some("wait until it has ended, then run this again"),
        }
    }
}

fn database_hint(kind: DatabaseErrorKind) -> Option<&'static str> {
    Some(match kind {
        DatabaseErrorKind::Unreachable => {
            "check the host, the port, the name of the database and the password"
        }
        DatabaseErrorKind::PermissionDenied => {
            "connect as the role that runs `migrate`: it owns the tables and may write to them"
        }
        DatabaseErrorKind::ReadOnly => {
            "connect to the primary: a replica or a read-only file takes no writes"
        }
        DatabaseErrorKind::Busy => {
            "another session holds a lock: wait until it has ended, then run this again"
        }
        DatabaseErrorKind::MissingTable => {
            "run `manage.py migrate django_rollback` with this version installed"
        }
        DatabaseErrorKind::Interrupted { .. } => "nothing was changed: run it again when you want to",
        DatabaseErrorKind::Duplicate | DatabaseErrorKind::Other => return None,
    })
}
