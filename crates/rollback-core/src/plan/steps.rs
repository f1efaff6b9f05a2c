//! The steps of a plan, in order.

use std::collections::BTreeSet;

use crate::migration::MigrationId;
use crate::way::Way;

use super::Step;
use super::analysis::Analysis;
use super::choice::Choice;

/// First what nothing is known about, the newest row first; then the nodes of the graph, children first; then the rows
/// that only change their names.
pub(super) fn steps(analysis: &Analysis<'_>) -> Vec<Step> {
    let newest_first = analysis.situation.now.iter().rev().map(|row| &row.migration);
    let unknown = newest_first.filter(|id| analysis.unknown.contains(id));
    let mut steps: Vec<Step> =
        unknown.chain(analysis.undone_in_order()).map(|id| undo(analysis, id)).collect();
    let gone: BTreeSet<MigrationId> = steps.iter().flat_map(|step| step.rows.iter().cloned()).collect();
    let surplus = analysis.now.minus(&analysis.result).filter(|id| !gone.contains(id));
    steps.extend(surplus.map(|id| row(id, Way::Unmark)));
    let has_row = |id: &MigrationId| analysis.now.contains(id) || analysis.situation.is_own(id);
    steps.extend(analysis.result.iter().filter(|id| !has_row(id)).map(|id| row(id, Way::Mark)));
    steps
}

fn undo(analysis: &Analysis<'_>, id: &MigrationId) -> Step {
    let rows = analysis.squashes.rows(id).into_iter().filter(|row| analysis.now.contains(row)).collect();
    let facts = analysis.facts(id);
    let Choice { way, loads } = Choice::of(analysis, id);
    Step {
        migration: id.clone(),
        way: way.unwrap_or(Way::Disk),
        rows,
        outside_transaction: facts.and_then(|facts| facts.outside_transaction()).map(str::to_owned),
        runs_code: facts.is_some_and(|facts| facts.custom.iter().any(|custom| custom.sql.is_none())),
        loads,
    }
}

/// A step that only adds or removes a row.
fn row(id: &MigrationId, way: Way) -> Step {
    Step {
        migration: id.clone(),
        way,
        rows: vec![id.clone()],
        outside_transaction: None,
        runs_code: false,
        loads: None,
    }
}
