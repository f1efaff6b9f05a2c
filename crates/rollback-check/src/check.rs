//! Applies the rules to what changed between two commits.

mod altered;
mod checker;
mod fields;
mod files;
mod graph;
mod history;
mod models;
mod modules;
mod operations;
mod reports;
mod step;
mod undo;

use std::collections::BTreeSet;

use rollback_core::MigrationId;
use rollback_revision::in_order;

use crate::finding::Finding;
use crate::range::Range;
use checker::Checker;

/// What the rules found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The findings, ordered by file and place.
    pub findings: Vec<Finding>,
    /// The migrations that only the newer commit has.
    pub new: Vec<MigrationId>,
    /// What a rollback would undo, in this order.
    pub undo: Vec<MigrationId>,
}

/// Applies every rule.
pub fn check(range: &Range<'_>) -> Checked {
    let facts = range.head.facts();
    let split = undo::split(range, &facts);
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
