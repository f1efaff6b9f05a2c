//! What can undo and apply migrations: Django's own executor.

use rollback_core::{Effect, MigrationId, NewCapsule, Plan, ProjectFacts, Step};

use super::database::DatabaseErrorKind;

/// What can undo migrations: Django's own executor, behind a door that has Django.
pub trait Runner {
    /// What Django's loader finds in the project.
    fn facts(&mut self) -> Result<ProjectFacts, RunnerError>;

    /// What there is to keep of these migrations, as far as the project has their files.
    fn capsules(&mut self, migrations: &[MigrationId]) -> Result<Vec<NewCapsule>, RunnerError>;

    /// Loads archived sources, from memory: they take the places of files. Returns those that cannot be loaded here, each
    /// with why, as the end of a sentence that begins with "it".
    fn load(&mut self, sources: &[(MigrationId, String)]) -> Result<Vec<(MigrationId, String)>, RunnerError>;

    /// What undoing these steps does to the database, in the order in which it happens. Nothing is written.
    fn effects(&mut self, plan: &Plan) -> Result<Vec<Effect>, RunnerError>;

    /// Gets ready for these steps: loads the migrations, builds the states, sends `pre_migrate`. Called inside the
    /// first transaction, and again when that is tried again.
    fn prepare(&mut self, plan: &Plan) -> Result<(), RunnerError>;

    /// Undoes one migration. Its row stays: the engine removes it.
    fn undo(&mut self, step: &Step) -> Result<(), RunnerError>;

    /// Applies one migration again and records it, in a transaction of its own: for a rehearsal.
    fn apply(&mut self, migration: &MigrationId) -> Result<(), RunnerError>;

    /// Sends `post_migrate`. What its receivers could not do comes back as sentences: by then the migrations are
    /// undone, and a receiver is no reason to keep the database at the newer release.
    fn finish(&mut self) -> Result<Vec<String>, RunnerError>;
}

/// A failure of Django, of the project's own code, or of the database below them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunnerError {
    /// What the database said, if it was the database; `Other` for everything else.
    pub kind: DatabaseErrorKind,
    /// A sentence in Django's or the project's own words, without row contents.
    pub message: String,
}
