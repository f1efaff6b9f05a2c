//! What can go wrong while a revision is read.

use crate::ports::RepositoryError;

/// What is wrong with the settings of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProjectError {
    /// What is wrong, in one line or a few.
    pub message: String,
}

/// Why the migrations of a revision cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// What the project says of its migrations is wrong.
    #[error("{path}: {error}")]
    Project {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: ProjectError,
    },
}
