//! What can go wrong in a use case.

use rollback_core::{MigrationId, SelectError};
use rollback_revision::RepositoryError;

use super::import::error::ImportError;
use crate::ports::{DatabaseErrorKind, RunnerError};
use crate::session::SessionError;
use crate::store::StoreError;

/// Why a use case did not do what was asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// What is stored cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No single release is what the user asked for.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Nothing can be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The git repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Nobody here knows which migrations the code has.
    #[error(
        "commit {commit} was never saved in this database, and without Django its migrations are unknown"
    )]
    CodeUnknown {
        /// The commit of the code.
        commit: String,
    },
    /// Django could not load the project's migrations.
    #[error("cannot load the project's migrations: {0}")]
    Project(String),
    /// A signal asked to stop, and everything was taken back.
    #[error("interrupted, and everything is as it was before")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// A rollback has stopped part-way, and something else was asked for.
    #[error("the rollback to {to} stopped after {done} of {total} steps")]
    Unfinished {
        /// Where it was to go.
        to: String,
        /// How many steps are permanent.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// There is nothing to resume or to abort.
    #[error("no rollback has stopped part-way")]
    NothingUnfinished,
    /// The plan of a `migrate` no longer fits what is applied.
    #[error("the plan of this migrate is stale: meanwhile {migration} was {}", if *is_applied { "applied" } else { "undone" })]
    StaleMigrate {
        /// The first migration that is not as the plan has it.
        migration: MigrationId,
        /// Whether it is applied now.
        is_applied: bool,
    },
}

impl From<SessionError> for CaseError {
    fn from(error: SessionError) -> Self {
        Self::Store(error.into())
    }
}

impl CaseError {
    /// What Django or the project's code said while the project was loaded.
    pub(crate) fn project(error: RunnerError) -> Self {
        match error.kind {
            DatabaseErrorKind::Interrupted { signal } => Self::Interrupted { signal },
            _ => Self::Project(error.message),
        }
    }

    /// The failure of the session, if it was that.
    pub(crate) fn session(&self) -> Option<&SessionError> {
        if let Self::Store(error) = self { error.session() } else { None }
    }

    /// The number of the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        match (self, self.session().and_then(SessionError::kind)) {
            (Self::Interrupted { signal }, _) => Some(*signal),
            (_, Some(DatabaseErrorKind::Interrupted { signal })) => Some(signal),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint().map(str::to_owned),
            Self::Select(error) => return Some(select_hint(error)),
            Self::Import(error) => return error.hint(),
            Self::Repository(error) => return error.hint.clone(),
            Self::CodeUnknown { .. } => {
                "use `manage.py rollback guard`, which sees the migration files, or name a saved commit with `--commit`"
            }
            Self::Project(_) => "`manage.py showmigrations` shows the same failure with its traceback",
            Self::Interrupted { .. } => "nothing was changed: run it again when you want to",
            Self::Unfinished { .. } => {
                "`rollback --resume` finishes it; `rollback --abort` leaves the database where it is, and says what \
                 that means"
            }
            Self::NothingUnfinished => "`history` shows what was done",
            Self::StaleMigrate { .. } => {
                "nothing was changed: check that this is the code that should run now, then run `manage.py migrate` again"
            }
        };
        Some(hint.to_owned())
    }
}

fn select_hint(error: &SelectError) -> String {
    match error {
        SelectError::NoRelease => {
            "run `manage.py save_migrations_state` after `migrate` in each deploy".to_owned()
        }
        SelectError::NoPrevious { .. } => {
            "name the release with `-c COMMIT` or `-t TAG`; `list` shows the saved releases".to_owned()
        }
        SelectError::UnknownCommit { .. }
        | SelectError::UnknownTag { .. }
        | SelectError::TagNotSaved { .. } => "`list` shows the saved releases".to_owned(),
        SelectError::AmbiguousCommit { candidates, .. } => {
            format!("give more digits: {}", candidates.join(", "))
        }
    }
}
