//! What can go wrong with what is stored.

use rollback_core::{CommitId, MigrationId, StoredError};

use crate::session::SessionError;

/// Why something stored cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is no table `django_migrations`.
    #[error("{database} has no table django_migrations")]
    NoMigrationsTable {
        /// How the database is called.
        database: String,
    },
    /// Our own tables do not exist, or are those of 0.4.0.
    #[error("the tables of django-rollback are missing in {database}: {migration} is not applied")]
    NotInstalled {
        /// How the database is called.
        database: String,
        /// The first of our migrations that is missing.
        migration: MigrationId,
    },
    /// A newer version than this one made the tables.
    #[error(
        "a newer django-rollback made the tables in {database}: this version does not know {migration}, which is applied"
    )]
    NewerTables {
        /// How the database is called.
        database: String,
        /// The migration that this version does not know.
        migration: MigrationId,
    },
    /// A row of ours that does not hold what we write.
    #[error("{what} in {database} is damaged: {reason}")]
    Damaged {
        /// How the database is called.
        database: String,
        /// Which row.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A row of ours that a newer version wrote.
    #[error("{what} in {database} was written by a newer django-rollback: it has format {format}")]
    NewerRecord {
        /// How the database is called.
        database: String,
        /// Which row.
        what: String,
        /// Its format.
        format: u32,
    },
    /// A stored set that a newer version wrote, or whose bytes changed.
    #[error("the list of migrations of release {release} cannot be used: {error}")]
    StoredSet {
        /// The release.
        release: CommitId,
        /// What is wrong with it.
        error: StoredError,
    },
    /// A stored schema that a newer version wrote, or whose bytes changed.
    #[error("the stored schema of release {release} cannot be used: {error}")]
    StoredSchema {
        /// The release.
        release: CommitId,
        /// What is wrong with it.
        error: StoredError,
    },
    /// What is applied changed while it was looked at, or since a plan was made from it.
    #[error("migrations were applied or undone, or a release was saved, since this plan was made")]
    Stale,
}

impl StoreError {
    /// The failure of the session, if it was that.
    pub fn session(&self) -> Option<&SessionError> {
        if let Self::Session(error) = self { Some(error) } else { None }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Session(error) => return error.hint(),
            Self::NoMigrationsTable { .. } => {
                "check that this is the application's database; if it is, run `manage.py migrate` first"
            }
            Self::NotInstalled { .. } => {
                "run `manage.py migrate django_rollback` with this version installed"
            }
            Self::Damaged { .. } => "something else changed it: repair it, or restore it from a backup",
            Self::NewerTables { .. }
            | Self::NewerRecord { .. }
            | Self::StoredSet { error: StoredError::Newer { .. }, .. }
            | Self::StoredSchema { error: StoredError::Newer { .. }, .. } => {
                "use the version of django-rollback that the newer release has"
            }
            Self::StoredSet { .. } => {
                "something else changed it: restore it from a backup, or go back to another release"
            }
            Self::StoredSchema { .. } => {
                "something else changed it: restore it from a backup, or go back with `--no-verify`"
            }
            Self::Stale => "nothing was changed: look at the plan again, then run it again",
        })
    }
}
