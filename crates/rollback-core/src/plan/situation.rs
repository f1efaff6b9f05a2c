//! What a plan is made from.

use std::collections::BTreeMap;

use crate::applied::{AppliedRow, AppliedSet};
use crate::migration::{MigrationFacts, MigrationId, ProjectFacts};
use crate::way::Way;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The rows of `django_migrations` now.
    pub now: &'a [AppliedRow],
    /// What was applied at the release to go back to.
    pub target: &'a AppliedSet,
    /// The migration files that Django finds; `None` without Django.
    pub on_disk: Option<&'a ProjectFacts>,
    /// What the database remembers about migrations, from the saves of releases.
    pub remembered: &'a [MigrationFacts],
    /// What it keeps to undo each of them with.
    pub means: &'a BTreeMap<MigrationId, Means>,
    /// The ways that are allowed, the best first; [`WAYS`](crate::way::WAYS) unless the user or the project restricts
    /// them.
    pub ways: &'a [Way],
    /// Whether the result will be compared with the schema that the release had.
    pub is_verified: bool,
    /// The app label of django-rollback itself: its own tables are never undone.
    pub own_app: &'a str,
}

/// What the database keeps to undo one migration with. Reasons are ends of a sentence that begins with "it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// Whether there is recorded SQL for this database.
    pub sql: Result<(), String>,
    /// Whether there is archived source that can be loaded here.
    pub source: Result<(), String>,
    /// Why what is kept cannot be trusted; `None` if it can.
    pub distrust: Option<String>,
    /// Label of the oldest saved release that has the migration.
    pub release: Option<String>,
}

impl Means {
    /// Whether there is recorded SQL, and it can be trusted.
    pub(super) fn has_sql(&self) -> bool {
        self.sql.is_ok() && self.distrust.is_none()
    }

    /// Whether there is archived source, and it can be trusted.
    pub(super) fn has_source(&self) -> bool {
        self.source.is_ok() && self.distrust.is_none()
    }
}

impl<'a> Situation<'a> {
    /// What the database keeps to undo `migration` with.
    pub(super) fn means(&self, migration: &MigrationId) -> Option<&'a Means> {
        self.means.get(migration)
    }

    /// Whether `way` may be taken.
    pub(super) fn allows(&self, way: Way) -> bool {
        self.ways.contains(&way)
    }

    /// Whether `migration` is one of django-rollback's own.
    pub(super) fn is_own(&self, migration: &MigrationId) -> bool {
        migration.app == self.own_app
    }
}
