//! The migrations of one revision, as far as they were read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use rollback_core::graph::Graph;
use rollback_core::migration::CustomOperation;
use rollback_core::{MigrationFacts, MigrationId};
use rollback_source::SyntaxError;
use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Reverse, Target};

/// The migrations of one revision.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    /// Every migration file, read or not.
    pub files: BTreeMap<MigrationId, File>,
    /// Those that were read.
    pub read: BTreeMap<MigrationId, Arc<Read>>,
    /// The models that settings name: `AUTH_USER_MODEL` is `accounts.User`.
    pub settings: BTreeMap<String, String>,
}

/// A migration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the repository's root.
    pub path: String,
    /// The hash of its contents.
    pub hash: String,
}

/// A migration file that was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Its text, if it is kept.
    pub text: String,
    /// What it says, or why it says nothing.
    pub source: Result<MigrationSource, SyntaxError>,
}

/// The model that is the user where no setting says so (Django's `global_settings`).
const USUAL_USER: &str = "auth.User";

impl Migrations {
    /// What was read of a migration.
    pub fn source(&self, id: &MigrationId) -> Option<&MigrationSource> {
        self.read.get(id).and_then(|read| read.source.as_ref().ok())
    }

    /// The migrations that have a class `Migration`, with what they say.
    pub fn sources(&self) -> impl Iterator<Item = (&MigrationId, &MigrationSource)> {
        self.read.iter().filter_map(|(id, read)| {
            let source = read.source.as_ref().ok().filter(|source| source.class.is_some())?;
            Some((id, source))
        })
    }

    /// The app labels with migrations in the repository.
    pub fn apps(&self) -> BTreeSet<&str> {
        self.files.keys().map(|id| id.app.as_str()).collect()
    }

    /// What planning has to know of each migration that was read.
    pub fn facts(&self) -> Vec<MigrationFacts> {
        self.sources().map(|(id, source)| self.facts_of(id, source)).collect()
    }

    /// What planning has to know of one migration.
    pub fn facts_of(&self, id: &MigrationId, source: &MigrationSource) -> MigrationFacts {
        let references =
            |references: &[Reference]| references.iter().filter_map(|to| self.target(to)).collect();
        MigrationFacts {
            dependencies: references(&source.dependencies),
            run_before: references(&source.run_before),
            replaces: references(&source.replaces),
            atomic: source.atomic.0,
            irreversible: irreversible(&source.operations),
            custom: custom(&source.operations),
            ..MigrationFacts::new(id.clone())
        }
    }

    /// The migration that a reference leads to; `None` if a setting that is not known decides.
    pub fn target(&self, reference: &Reference) -> Option<MigrationId> {
        match &reference.target {
            Target::Migration(id) => Some(id.clone()),
            Target::Swappable { setting, default } => {
                let usual = || (setting == "AUTH_USER_MODEL").then(|| USUAL_USER.to_owned());
                let model = self.settings.get(setting).cloned().or_else(|| default.clone()).or_else(usual)?;
                Some(MigrationId::new(model.split('.').next()?, "__first__"))
            }
        }
    }

    /// The graph of what was read, and the labels of the apps that others name and the repository does not have. A squash
    /// that is `split` leaves the graph, and what it replaces stays.
    pub fn graph(
        &self,
        facts: &[MigrationFacts],
        split: &BTreeSet<MigrationId>,
    ) -> (Graph, BTreeSet<String>) {
        let outside = self.outside(facts);
        let all: Vec<&MigrationFacts> = facts.iter().collect();
        (Graph::build(&all, &outside, split), outside)
    }

    /// The labels of the apps that migrations name and the repository does not have.
    pub fn outside(&self, facts: &[MigrationFacts]) -> BTreeSet<String> {
        let apps = self.apps();
        let named = facts.iter().flat_map(|fact| fact.dependencies.iter().chain(&fact.run_before));
        let outside: BTreeSet<&str> =
            named.map(|id| id.app.as_str()).filter(|app| !apps.contains(app)).collect();
        outside.into_iter().map(str::to_owned).collect()
    }
}

/// The migrations of a graph that somebody has, parents first; those that only a circle leads to at the end.
pub fn in_order<'g>(graph: &'g Graph, facts: &'g [MigrationFacts]) -> Vec<&'g MigrationId> {
    let mut order = graph.full_plan();
    order.retain(|id| graph.contains(id));
    let known: HashSet<&MigrationId> = order.iter().copied().collect();
    let behind = facts.iter().map(|fact| &fact.id).filter(|id| graph.contains(id) && !known.contains(id));
    order.extend(behind);
    order
}

/// The operations that cannot be undone, as the plan names them.
fn irreversible(operations: &[Operation]) -> Vec<String> {
    places(operations, &|operation| operation.reversible == Some(false))
}

fn custom(operations: &[Operation]) -> Vec<CustomOperation> {
    let custom = places(operations, &runs_code).into_iter();
    custom.map(|operation| CustomOperation { operation, sql: None }).collect()
}

/// The wanted operations, those inside of others too, each with its place: `RunSQL (operation 2, database operation 1)`.
fn places(operations: &[Operation], is_wanted: &dyn Fn(&Operation) -> bool) -> Vec<String> {
    fn collect(
        operations: &[Operation],
        inside: &mut Vec<usize>,
        is_wanted: &dyn Fn(&Operation) -> bool,
        found: &mut Vec<String>,
    ) {
        for (number, operation) in (1..).zip(operations) {
            inside.push(number);
            if is_wanted(operation) {
                let place: Vec<String> = inside.iter().map(|number| format!("operation {number}")).collect();
                found.push(format!("{} ({})", named(operation), place.join(", database ")));
            }
            collect(operation.database_operations(), inside, is_wanted, found);
            inside.pop();
        }
    }
    let mut found = Vec::new();
    collect(operations, &mut Vec::new(), is_wanted, &mut found);
    found
}

/// An operation as the plan names it: its class, and the function of a `RunPython`.
fn named(operation: &Operation) -> String {
    match &operation.action {
        Action::RunPython { code, .. } => format!("{} {code}", operation.class),
        _ => operation.class.clone(),
    }
}

/// Whether undoing an operation runs code of the project, or SQL of its own.
fn runs_code(operation: &Operation) -> bool {
    match &operation.action {
        Action::RunPython { reverse, .. } | Action::RunSql { reverse, .. } => {
            matches!(reverse, Reverse::Given | Reverse::Unknown)
        }
        Action::Custom | Action::Unknown => true,
        _ => false,
    }
}
