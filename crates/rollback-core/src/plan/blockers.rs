//! Why a plan cannot run.

use crate::diagnostics::Blocker;
use crate::migration::MigrationId;
use crate::way::Way;

use super::Step;
use super::analysis::Analysis;
use super::choice::{Choice, is_archived};
use super::situation::Means;

/// Everything that speaks against these steps.
pub(super) fn blockers(analysis: &Analysis<'_>, steps: &[Step]) -> Vec<Blocker> {
    let mut blockers: Vec<Blocker> = analysis
        .removed
        .iter()
        .filter_map(|part| cannot_split(analysis, node_or_part(analysis, part)))
        .collect();
    blockers.extend(irreversible(analysis));
    blockers.extend(refused_in_transaction(analysis));
    blockers.extend(inconsistent(analysis));
    blockers.extend(without_way(analysis, steps));
    for blocker in lost_rests(analysis, steps) {
        if !blockers.contains(&blocker) {
            blockers.push(blocker);
        }
    }
    blockers
}

fn node_or_part<'a>(analysis: &'a Analysis<'_>, part: &'a MigrationId) -> &'a MigrationId {
    analysis.node_of(part).unwrap_or(part)
}

/// A part of a squash that nothing here can undo without the rest.
fn cannot_split(analysis: &Analysis<'_>, part: &MigrationId) -> Option<Blocker> {
    if analysis.situation.on_disk.is_none() || Choice::of(analysis, part).way.is_some() {
        return None;
    }
    let holds_it =
        |squash: &&MigrationId| analysis.has_file(squash) && analysis.squashes.parts(squash).contains(part);
    let squash = analysis.split.iter().find(holds_it)?;
    Some(Blocker::CannotSplit { squash: squash.clone(), migration: part.clone() })
}

/// Operations without a reverse.
fn irreversible(analysis: &Analysis<'_>) -> impl Iterator<Item = Blocker> {
    analysis.undone_in_order().flat_map(|id| {
        let operations = analysis.facts(id).map_or(&[][..], |facts| &facts.irreversible);
        operations
            .iter()
            .map(|operation| Blocker::Irreversible { migration: id.clone(), operation: operation.clone() })
    })
}

/// Statements that the database would refuse in the transaction that their migration asks for.
fn refused_in_transaction(analysis: &Analysis<'_>) -> impl Iterator<Item = Blocker> {
    analysis.undone_in_order().filter_map(|id| {
        let (operation, statement) = analysis.facts(id)?.refused_statement()?;
        let operation = operation.to_owned();
        Some(Blocker::RefusesTransaction { migration: id.clone(), operation, statement })
    })
}

/// Migrations that stay although something that they depend on goes.
fn inconsistent(analysis: &Analysis<'_>) -> impl Iterator<Item = Blocker> {
    analysis.order.iter().filter(|id| analysis.stays(id)).flat_map(|staying| {
        analysis
            .undone_parents(staying)
            .map(|undone| Blocker::Inconsistent { staying: staying.clone(), undone: undone.clone() })
    })
}

/// Steps that no allowed way can do, or only by what cannot be trusted.
fn without_way(analysis: &Analysis<'_>, steps: &[Step]) -> Vec<Blocker> {
    let situation = analysis.situation;
    let undoing = || steps.iter().filter(|step| step.way.undoes());
    let needs_python = undoing().any(|step| Choice::of(analysis, &step.migration).needs_python());
    let uses_what_is_kept = situation.ways.iter().any(|way| *way != Way::Disk);
    let blocker = |step: &Step| {
        let id = &step.migration;
        let means = situation.means(id);
        if let Some(reason) = means.and_then(|means| means.distrust.clone()).filter(|_| uses_what_is_kept) {
            let has_file = analysis.has_file(id) || situation.on_disk.is_none();
            return Some(Blocker::Untrusted { migration: id.clone(), reason, has_file });
        }
        let is_possible = Choice::of(analysis, id).way.is_some() && (!needs_python || step.loads.is_some());
        (!is_possible && cannot_split(analysis, id).is_none()).then(|| no_way(situation.ways, id, means))
    };
    undoing().filter_map(blocker).collect()
}

fn no_way(ways: &[Way], id: &MigrationId, means: Option<&Means>) -> Blocker {
    let release = means.and_then(|means| means.release.clone());
    if let [way @ (Way::Sql | Way::Capsule)] = ways {
        let reason = match (way, means) {
            (_, None) => "it has no capsule".to_owned(),
            (Way::Sql, Some(means)) => means
                .sql
                .clone()
                .err()
                .unwrap_or_else(|| "it has an operation that must run outside a transaction".to_owned()),
            (_, Some(means)) => means.source.clone().err().unwrap_or_default(),
        };
        return Blocker::NotThatWay { migration: id.clone(), way: *way, reason, release };
    }
    let reason = means.and_then(|means| means.source.clone().err());
    Blocker::MissingFile { migration: id.clone(), reason, release }
}

/// If Django undoes a part of a squash, it needs the models that the rest of the squash made.
fn lost_rests(analysis: &Analysis<'_>, steps: &[Step]) -> Vec<Blocker> {
    if analysis.situation.on_disk.is_none() || !steps.iter().any(|step| step.way.needs_python()) {
        return Vec::new();
    }
    let lost_rest = |squash: &MigrationId| {
        let parts = analysis.squashes.parts(squash);
        let (undone, rest): (Vec<_>, Vec<_>) =
            parts.intersection(&analysis.now_parts).partition(|part| analysis.removed.contains(part));
        let is_lost = rest.iter().any(|part| !analysis.has_file(part) && !is_archived(analysis, part));
        let migration = undone.first().filter(|_| is_lost)?;
        Some(Blocker::CannotSplit { squash: squash.clone(), migration: MigrationId::clone(migration) })
    };
    analysis.split.iter().filter(|squash| analysis.has_file(squash)).filter_map(lost_rest).collect()
}
