//! Applies the rules to what is between two commits.

mod fields;
mod graph;
mod history;
mod operations;

use std::collections::BTreeSet;

use rollback_core::graph::Graph;
use rollback_core::{MigrationFacts, MigrationId};
use rollback_source::facts::{MigrationSource, Span};

use crate::finding::{Finding, Place};
use crate::release::{Release, in_order};
use crate::rules::{self, Rule};

/// What is compared.
pub struct Range<'r> {
    /// The older commit: what a rollback leads back to.
    pub base: &'r Release,
    /// The newer one.
    pub head: &'r Release,
    /// Whether a dotted path is a module of the repository.
    pub is_project: &'r dyn Fn(&str) -> bool,
    /// The database, where only one counts.
    pub database: Option<Vendor>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// PostgreSQL.
    Postgresql,
    /// SQLite.
    Sqlite,
}

/// What the rules found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The findings, in the order of files and places.
    pub findings: Vec<Finding>,
    /// The migrations that the newer commit brings.
    pub new: Vec<MigrationId>,
    /// What going back would undo, in order.
    pub undo: Vec<MigrationId>,
}

/// Applies every rule.
pub fn check(range: &Range<'_>) -> Checked {
    let facts = range.head.facts();
    let split = split(range, &facts);
    let (graph, outside) = range.head.graph(&facts, &split);
    let new: BTreeSet<MigrationId> =
        range.head.files.keys().filter(|id| !range.base.files.contains_key(id)).cloned().collect();
    let order = in_order(&graph, &facts);
    let mut checker = Checker { range, graph: &graph, order: &order, new, found: Vec::new() };
    let undo = checker.undone(&facts);
    checker.readable();
    checker.operations(&undo);
    checker.history(&facts);
    checker.graph(&facts, &outside);
    let mut findings = checker.found;
    findings.sort_by(|one, other| {
        let order =
            |finding: &Finding| (finding.place.path.clone(), finding.place.range.start, finding.rule.code);
        order(one).cmp(&order(other))
    });
    findings.dedup();
    Checked { findings, new: checker.new.into_iter().collect(), undo }
}

/// The squashes of which the older commit has a part: a database that comes from there runs the rest of what they
/// replace, not the squash.
fn split(range: &Range<'_>, facts: &[MigrationFacts]) -> BTreeSet<MigrationId> {
    let is_older = |id: &MigrationId| range.base.files.contains_key(id);
    let is_split = |fact: &&MigrationFacts| {
        !is_older(&fact.id) && fact.replaces.iter().any(is_older) && !fact.replaces.iter().all(is_older)
    };
    facts.iter().filter(is_split).map(|fact| fact.id.clone()).collect()
}

struct Checker<'r> {
    range: &'r Range<'r>,
    graph: &'r Graph,
    /// All migrations, parents first.
    order: &'r [&'r MigrationId],
    /// What the newer commit brings.
    new: BTreeSet<MigrationId>,
    found: Vec<Finding>,
}

impl<'r> Checker<'r> {
    /// What going back undoes: the new migrations, children first, without squashes of what is there already.
    fn undone(&self, facts: &[MigrationFacts]) -> Vec<MigrationId> {
        let only_records: BTreeSet<&MigrationId> =
            facts.iter().filter(|fact| self.only_records(fact)).map(|fact| &fact.id).collect();
        let is_undone = |id: &&&MigrationId| self.new.contains(**id) && !only_records.contains(**id);
        self.order.iter().rev().filter(is_undone).map(|id| MigrationId::clone(id)).collect()
    }

    /// Whether a squash stands for migrations that the older commit has: then nothing is run for it.
    fn only_records(&self, fact: &MigrationFacts) -> bool {
        !fact.replaces.is_empty() && fact.replaces.iter().all(|id| self.range.base.files.contains_key(id))
    }

    /// Files that are no Python, and what cannot be known of the others.
    fn readable(&mut self) {
        for id in self.looked_at() {
            let Some(read) = self.range.head.read.get(&id) else { continue };
            match &read.source {
                Err(error) => {
                    let message = format!("{id} {}", error.reason);
                    self.add(&rules::UNREADABLE, &id, error.span.clone(), message, "mend the file");
                }
                Ok(source) if source.class.is_none() => self.no_class(&id),
                Ok(source) => self.unknown(&id, source),
            }
        }
    }

    /// Django refuses a module without a class `Migration` in a folder of migrations.
    fn no_class(&mut self, id: &MigrationId) {
        let has_migrations = self.range.head.sources().any(|(other, _)| other.app == id.app);
        if has_migrations {
            let message = format!("{id} has no class Migration: Django stops at it");
            self.add(
                &rules::UNREADABLE,
                id,
                0..0,
                message,
                "move the module out of the folder, or begin its name with _",
            );
        }
    }

    fn unknown(&mut self, id: &MigrationId, source: &MigrationSource) {
        const ASK: &str = "`manage.py rollback check` asks Django, which knows";
        const LOOK: &str = "look at it by hand";
        for unknown in &source.unknown {
            // Django's loader knows the graph and the operations by their names, and not what they do.
            let hint = if unknown.what.is_structural() { ASK } else { LOOK };
            let message = format!("{} of {id} cannot be known: it {}", of(unknown.what), unknown.reason);
            self.add(&rules::UNKNOWN, id, unknown.span.clone(), message, hint);
        }
        for (method, span) in source.overrides.iter().filter(|(method, _)| !method.starts_with("__")) {
            let message = format!("{id} has a method {method} of its own: what it does cannot be known");
            self.add(&rules::UNKNOWN, id, span.clone(), message, LOOK);
        }
    }

    /// The migrations that the range is about: new ones, and those with other contents than before.
    fn looked_at(&self) -> Vec<MigrationId> {
        let is_other = |id: &MigrationId| match (self.range.base.files.get(id), self.range.head.files.get(id))
        {
            (Some(older), Some(newer)) => older.hash != newer.hash,
            (None, Some(_)) => true,
            _ => false,
        };
        self.range.head.files.keys().filter(|id| is_other(id)).cloned().collect()
    }

    fn add(&mut self, rule: &'static Rule, id: &MigrationId, span: Span, message: String, hint: &str) {
        let path = self.range.head.files.get(id).map(|file| file.path.clone()).unwrap_or_default();
        let place = Place { path, range: span, is_older: false };
        self.add_at(rule, id, place, message, hint);
    }

    fn add_at(&mut self, rule: &'static Rule, id: &MigrationId, place: Place, message: String, hint: &str) {
        let (migration, hint) = (id.clone(), hint.to_owned());
        self.found.push(Finding { rule, level: rule.level, place, migration, message, hint });
    }
}

fn of(what: rollback_source::facts::What) -> &'static str {
    use rollback_source::facts::What;
    match what {
        What::Migration => "something",
        What::Dependencies => "a dependency",
        What::RunBefore => "what `run_before` names",
        What::Replaces => "what `replaces` names",
        What::Initial => "`initial`",
        What::Atomic => "`atomic`",
        What::Operations => "an operation",
        What::Argument => "an argument",
    }
}
