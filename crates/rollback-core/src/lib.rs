//! The nouns of django-rollback and its pure rules: commits, migrations, applied sets, the graph, the plan, and the
//! schema as a value.
//!
//! Values go in, values come out. Nothing here reads a clock, a file, the environment or a database, and nothing
//! prints; `clippy.toml` beside this crate checks that.

pub mod applied;
pub mod capsule;
pub mod commit;
pub mod diagnostics;
pub mod effect;
pub mod graph;
pub mod legacy;
pub mod migration;
pub mod past;
pub mod plan;
pub mod release;
pub mod schema;
pub mod sql;
mod squash;
pub mod stored;
#[cfg(test)]
mod testing;
pub mod way;

pub use applied::{AppliedRow, AppliedSet};
pub use capsule::{Capsule, NewCapsule, NewRecording, OperationFacts, Recording, Reverse};
pub use commit::{CommitError, CommitId, CommitPrefix};
pub use effect::{Effect, Effects};
pub use migration::{APP_LABEL, MigrationFacts, MigrationId, ProjectFacts};
pub use past::{Evidence, Lost, Past, Rebuilt, Tree};
pub use plan::{Blocker, Means, Plan, Situation, Step, Warning, Way, plan};
pub use release::{MovedTag, Release, SelectError, Target, select};
pub use schema::{Schema, SchemaDifference, SchemaObject, Side};
pub use stored::{Stored, StoredError};
