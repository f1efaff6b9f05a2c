//! A failure on the way: of a step, or of the engine's own work around it.

use super::error::RollbackError;
use crate::cases::CaseError;
use crate::ports::{DatabaseErrorKind, RunnerError};
use crate::session::SessionError;
use crate::store::StoreError;

/// What failed.
pub(super) enum Failure {
    /// A step.
    Step {
        /// Its name.
        step: String,
        /// What Django or the database said.
        error: RunnerError,
    },
    /// The work around the steps.
    Engine(RollbackError),
}

impl<E: Into<RollbackError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

impl Failure {
    pub(super) fn kind(&self) -> Option<DatabaseErrorKind> {
        match self {
            Self::Step { error, .. } => Some(error.kind),
            Self::Engine(error) => error.kind(),
        }
    }

    /// Whether the connection was lost.
    pub(super) fn is_lost(&self) -> bool {
        self.kind() == Some(DatabaseErrorKind::Unreachable)
    }

    /// Whether another session is in the way: then a retry may help.
    pub(super) fn is_busy(&self) -> bool {
        self.kind() == Some(DatabaseErrorKind::Busy)
    }

    /// What was said.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Step { error, .. } => error.message.clone(),
            Self::Engine(error) => database_message(error).unwrap_or_else(|| error.to_string()),
        }
    }

    /// At which step it ended, as history says it.
    pub(super) fn place(&self) -> &str {
        match self {
            Self::Step { step, .. } => step,
            Self::Engine(RollbackError::WrongResult { .. }) => "the check of the result",
            Self::Engine(RollbackError::WrongSchema { .. }) => "the check of the schema",
            Self::Engine(_) => "the records of the rollback",
        }
    }

    /// The error if everything was taken back.
    pub(super) fn into_error(self) -> RollbackError {
        match self {
            Self::Step {
                error: RunnerError { kind: DatabaseErrorKind::Interrupted { signal }, .. }, ..
            } => RollbackError::interrupted(signal),
            Self::Step { step, error } => RollbackError::Failed { step, reason: error.message },
            Self::Engine(error) => match error.signal() {
                Some(signal) => RollbackError::interrupted(signal),
                None => error,
            },
        }
    }

    /// What happened, if some steps stay permanent.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Step { step, error } => format!("{step} could not be undone: {}", error.message),
            Self::Engine(error) => error.cause(),
        }
    }
}

/// The database's own words, without its name.
fn database_message(error: &RollbackError) -> Option<String> {
    match error {
        RollbackError::Case(CaseError::Store(StoreError::Session(SessionError::Database {
            error, ..
        }))) => Some(error.message.clone()),
        _ => None,
    }
}
