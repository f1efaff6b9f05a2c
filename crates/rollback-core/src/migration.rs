//! Migrations: their names, and the facts about one that planning needs.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sql;

/// The app label of django-rollback itself: its own migrations and tables are never undone.
pub const APP_LABEL: &str = "django_rollback";

/// One migration by the two words that name it in `django_migrations`. Written `["shop", "0001_initial"]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct MigrationId {
    /// The app label.
    pub app: String,
    /// The migration's name: its file's name without `.py`.
    pub name: String,
}

impl MigrationId {
    /// The migration `name` of the app with the label `app`.
    pub fn new(app: impl Into<String>, name: impl Into<String>) -> Self {
        Self { app: app.into(), name: name.into() }
    }
}

impl From<(String, String)> for MigrationId {
    fn from((app, name): (String, String)) -> Self {
        Self { app, name }
    }
}

impl From<MigrationId> for (String, String) {
    fn from(id: MigrationId) -> Self {
        (id.app, id.name)
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.app, self.name)
    }
}

/// What planning has to know about one migration, as its file says it.
///
/// Dependencies are as written: a name may be `__first__` or `__latest__`, and a swappable dependency is the
/// app that the setting names, with `__first__` (what Django's `swappable_dependency` makes of it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationFacts {
    /// Which migration.
    pub id: MigrationId,
    /// `Migration.dependencies`.
    pub dependencies: Vec<MigrationId>,
    /// `Migration.run_before`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_before: Vec<MigrationId>,
    /// `Migration.replaces`: the migrations that a squash replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<MigrationId>,
    /// `Migration.atomic`.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub atomic: bool,
    /// The operations that cannot be undone, each as Django describes it: `RunPython (operation 2)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub irreversible: Vec<String>,
    /// The operations that run code of the project or custom SQL when they are undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom: Vec<CustomOperation>,
    /// SHA-256 of the file's text; `None` if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An operation that runs code of the project or custom SQL when it is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomOperation {
    /// The operation as Django describes it: `RunPython fill (operation 2)`.
    pub operation: String,
    /// The SQL that it runs; `None` if it is code, which may do anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_true(value: &bool) -> bool {
    *value
}

impl MigrationFacts {
    /// Facts of an atomic, reversible migration that depends on nothing.
    pub fn new(id: MigrationId) -> Self {
        Self {
            id,
            dependencies: Vec::new(),
            run_before: Vec::new(),
            replaces: Vec::new(),
            atomic: true,
            irreversible: Vec::new(),
            custom: Vec::new(),
            source: None,
        }
    }

    /// The operation that must run outside a transaction when the migration is undone: with `atomic = False`, the last
    /// one that does more than create and drop indexes. Django's own operations can all share a transaction, also those
    /// of concurrent indexes: there the plain operation replaces them.
    pub fn outside_transaction(&self) -> Option<&str> {
        let needs_it = |custom: &&CustomOperation| !custom.sql.as_deref().is_some_and(sql::only_indexes);
        let custom = self.custom.iter().filter(|_| !self.atomic);
        custom.rev().find(needs_it).map(|custom| custom.operation.as_str())
    }

    /// The operation with a statement that the database refuses in the transaction that the migration asks for, and
    /// the first words of that statement.
    pub fn refused_statement(&self) -> Option<(&str, String)> {
        if !self.atomic {
            return None;
        }
        self.custom.iter().find_map(|custom| {
            let statement = sql::refuses_transaction(custom.sql.as_deref()?)?;
            Some((custom.operation.as_str(), statement))
        })
    }
}

/// What Django's loader finds in a project: every migration file, also squashed and replaced ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFacts {
    /// One entry for each migration file.
    pub migrations: Vec<MigrationFacts>,
    /// Labels of the installed apps without migrations. A dependency on one of them makes no edge.
    #[serde(default)]
    pub unmigrated_apps: BTreeSet<String>,
}
