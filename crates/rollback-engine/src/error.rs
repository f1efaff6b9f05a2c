//! The errors of the engine, as its callers see them.

use crate::cases::CaseError;
use crate::rollback::RollbackError;
use crate::session::SessionError;
use crate::store::StoreError;

/// A use case or a rollback that ended without doing what was asked. Each layer has errors of its own; this wraps them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A use case failed.
    #[error(transparent)]
    Case(CaseError),
    /// A rollback failed.
    #[error(transparent)]
    Rollback(RollbackError),
}

impl From<CaseError> for EngineError {
    fn from(error: CaseError) -> Self {
        Self::Case(error)
    }
}

impl From<RollbackError> for EngineError {
    fn from(error: RollbackError) -> Self {
        match error {
            RollbackError::Case(error) => Self::Case(error),
            error => Self::Rollback(error),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::Case(error.into())
    }
}

impl From<SessionError> for EngineError {
    fn from(error: SessionError) -> Self {
        Self::Case(error.into())
    }
}

impl EngineError {
    /// Whether some steps are permanent although not all are, or whether that is unknown.
    pub fn is_partial(&self) -> bool {
        match self {
            Self::Case(error) => matches!(error, CaseError::Unfinished { .. }),
            Self::Rollback(error) => error.is_partial(),
        }
    }

    /// Whether the arguments are at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Case(CaseError::Import(error)) if error.is_usage())
    }

    /// The number of the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Case(error) => error.signal(),
            Self::Rollback(error) => error.signal(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Case(error) => error.hint(),
            Self::Rollback(error) => error.hint(),
        }
    }
}
