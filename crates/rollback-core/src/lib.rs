//! The nouns of django-rollback and its pure rules: commits, migrations, applied sets, the graph, and the plan.
//!
//! Nothing here reads a clock, a file, the environment or a database, and nothing prints: values in, values out.
//! `clippy.toml` beside this crate checks that.

pub mod applied;
pub mod commit;
pub mod graph;
pub mod legacy;
pub mod migration;
pub mod plan;
pub mod release;
mod squash;
#[cfg(test)]
mod testing;

pub use applied::{AppliedRow, AppliedSet, StoredSet, StoredSetError};
pub use commit::{CommitError, CommitId, CommitPrefix};
pub use migration::{MigrationFacts, MigrationId, ProjectFacts};
pub use plan::{Blocker, Plan, Situation, Step, Warning, Way, plan};
pub use release::{MovedTag, Release, SelectError, Target, select};
