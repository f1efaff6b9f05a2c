//! What follows from a situation before anything is decided: which migrations must go, what is known about each, and
//! the graph.
//!
//! Sets are compared after folding: every squash is exchanged for its parts, the migrations that it replaces.

use std::collections::{BTreeMap, BTreeSet};

use crate::applied::AppliedSet;
use crate::graph::Graph;
use crate::migration::{MigrationFacts, MigrationId};
use crate::squash::Squashes;
use crate::way::Way;

use super::situation::Situation;

/// What follows from a situation. django-rollback's own migrations are in none of its sets but `result`.
pub(super) struct Analysis<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) squashes: Squashes,
    /// The rows of now.
    pub(super) now: AppliedSet,
    /// The parts that are applied now.
    pub(super) now_parts: BTreeSet<MigrationId>,
    /// The parts that were applied at the release.
    pub(super) target_parts: BTreeSet<MigrationId>,
    /// The parts that must go: applied now, but not at the release.
    pub(super) removed: BTreeSet<MigrationId>,
    /// Applied squashes of which only a part goes.
    pub(super) split: BTreeSet<MigrationId>,
    /// The migrations whose file is not the one that was applied.
    pub(super) changed: BTreeSet<&'a MigrationId>,
    /// The nodes of the graph to undo.
    pub(super) undone: BTreeSet<MigrationId>,
    /// The parts to undo that are in no graph: nothing is known about them.
    pub(super) unknown: BTreeSet<MigrationId>,
    /// All nodes, parents first, in the order of Django's full plan.
    pub(super) order: Vec<MigrationId>,
    /// What `django_migrations` holds after the rollback.
    pub(super) result: AppliedSet,
    nodes: BTreeMap<MigrationId, MigrationId>,
    files: BTreeSet<&'a MigrationId>,
    facts: BTreeMap<&'a MigrationId, &'a MigrationFacts>,
    graph: Graph,
}

impl<'a> Analysis<'a> {
    pub(super) fn of(situation: &'a Situation<'a>) -> Self {
        let on_disk = situation.on_disk.map_or(&[][..], |project| &project.migrations);
        let squashes = Squashes::of(on_disk.iter().chain(situation.remembered));
        let can_be_undone = |id: &&MigrationId| !situation.is_own(id);
        let now: AppliedSet =
            situation.now.iter().map(|row| &row.migration).filter(can_be_undone).cloned().collect();
        let target: AppliedSet = situation.target.iter().filter(can_be_undone).cloned().collect();
        let (now_parts, target_parts) = (squashes.fold(&now), squashes.fold(&target));
        let removed: BTreeSet<_> = now_parts.difference(&target_parts).cloned().collect();
        let is_split = |squash: &&MigrationId| is_split(&squashes.parts(squash), &now_parts, &removed);
        let split = squashes.iter().filter(is_split).cloned().collect();
        let result = result(situation, &target, &squashes, &now_parts);
        let files: BTreeSet<&MigrationId> = on_disk.iter().map(|facts| &facts.id).collect();
        let changed = changed(on_disk, situation.remembered);
        let facts = known_facts(situation, &squashes, &files, &changed);
        let graph = graph(situation, &facts, &split);
        let order = graph.full_plan().into_iter().cloned().collect();
        let nodes = nodes(&removed, &graph, &squashes);
        let undone = nodes.values().cloned().collect();
        let unknown = removed.iter().filter(|part| !nodes.contains_key(part)).cloned().collect();
        Self {
            situation,
            squashes,
            now,
            now_parts,
            target_parts,
            removed,
            split,
            changed,
            undone,
            unknown,
            order,
            result,
            nodes,
            files,
            facts,
            graph,
        }
    }

    /// Whether the project has a file of this migration.
    pub(super) fn has_file(&self, id: &MigrationId) -> bool {
        self.files.contains(id)
    }

    /// What is known about a migration.
    pub(super) fn facts(&self, id: &MigrationId) -> Option<&'a MigrationFacts> {
        self.facts.get(id).copied()
    }

    /// The nodes to undo, children first.
    pub(super) fn undone_in_order(&self) -> impl Iterator<Item = &MigrationId> {
        self.order.iter().rev().filter(|id| self.undone.contains(id))
    }

    /// Whether a node is applied and stays so. django-rollback's own migrations always do.
    pub(super) fn stays(&self, id: &MigrationId) -> bool {
        let is_applied = |id: &MigrationId| self.situation.now.iter().any(|row| row.migration == *id);
        let is_known = !self.undone.contains(id) && self.graph.contains(id);
        (self.situation.is_own(id) && is_applied(id))
            || (is_known && self.squashes.parts(id).is_subset(&self.now_parts))
    }

    /// The migrations to undo that `id` depends on.
    pub(super) fn undone_parents(&self, id: &MigrationId) -> impl Iterator<Item = &MigrationId> {
        self.graph.parents(id).filter(|parent| self.undone.contains(parent) || self.removed.contains(parent))
    }

    /// The node that stands for a removed part: the part itself or a squash; `None` if nothing is known about it.
    pub(super) fn node_of(&self, part: &MigrationId) -> Option<&MigrationId> {
        self.nodes.get(part)
    }
}

/// Whether a squash is applied, and only a part of it goes.
fn is_split(
    parts: &BTreeSet<MigrationId>,
    now: &BTreeSet<MigrationId>,
    removed: &BTreeSet<MigrationId>,
) -> bool {
    let applied = parts.intersection(now).count();
    let removed = parts.intersection(removed).count();
    (applied > 0 && applied < parts.len()) || (removed > 0 && removed < applied)
}

/// The rows of the release for whatever is still applied, and the rows of our own app.
fn result(
    situation: &Situation<'_>,
    target: &AppliedSet,
    squashes: &Squashes,
    now_parts: &BTreeSet<MigrationId>,
) -> AppliedSet {
    let own = situation.now.iter().map(|row| &row.migration).filter(|id| situation.is_own(id));
    let applied = target.iter().filter(|id| squashes.parts(id).is_subset(now_parts));
    own.chain(applied).cloned().collect()
}

/// The migrations whose file here is not the one that was applied.
fn changed<'a>(on_disk: &'a [MigrationFacts], applied: &[MigrationFacts]) -> BTreeSet<&'a MigrationId> {
    let sources: BTreeMap<_, _> =
        applied.iter().filter_map(|facts| Some((&facts.id, facts.source.as_ref()?))).collect();
    let is_other = |facts: &&MigrationFacts| {
        let sources = facts.source.as_ref().zip(sources.get(&facts.id));
        sources.is_some_and(|(here, applied)| here != *applied)
    };
    on_disk.iter().filter(is_other).map(|facts| &facts.id).collect()
}

/// The facts of every file, and what is remembered about migrations without one. A remembered squash never displaces
/// files.
fn known_facts<'a>(
    situation: &Situation<'a>,
    squashes: &Squashes,
    files: &BTreeSet<&MigrationId>,
    changed: &BTreeSet<&MigrationId>,
) -> BTreeMap<&'a MigrationId, &'a MigrationFacts> {
    let Some(project) = situation.on_disk else {
        return situation.remembered.iter().map(|facts| (&facts.id, facts)).collect();
    };
    let displaces = |facts: &MigrationFacts| {
        !changed.contains(&facts.id) && squashes.rows(&facts.id).iter().any(|row| files.contains(row))
    };
    let remembered =
        situation.remembered.iter().filter(|facts| facts.replaces.is_empty() && !displaces(facts));
    // A file that has changed says nothing about a migration that is undone by the source that was applied.
    let is_used = |facts: &&MigrationFacts| {
        let is_archived = situation.means.get(&facts.id).is_some_and(|means| means.has_source());
        !(changed.contains(&facts.id) && is_archived && situation.allows(Way::Capsule))
    };
    remembered.chain(project.migrations.iter().filter(is_used)).map(|facts| (&facts.id, facts)).collect()
}

fn graph(
    situation: &Situation<'_>,
    facts: &BTreeMap<&MigrationId, &MigrationFacts>,
    split: &BTreeSet<MigrationId>,
) -> Graph {
    let nothing = BTreeSet::new();
    let unmigrated = situation.on_disk.map_or(&nothing, |project| &project.unmigrated_apps);
    let facts: Vec<&MigrationFacts> = facts.values().copied().collect();
    Graph::build(&facts, unmigrated, split)
}

/// The nodes of the graph that stand for removed parts, by part.
fn nodes(
    removed: &BTreeSet<MigrationId>,
    graph: &Graph,
    squashes: &Squashes,
) -> BTreeMap<MigrationId, MigrationId> {
    removed.iter().filter_map(|part| Some((part.clone(), node_of(part, graph, squashes)?))).collect()
}

fn node_of(part: &MigrationId, graph: &Graph, squashes: &Squashes) -> Option<MigrationId> {
    if graph.contains(part) {
        return Some(part.clone());
    }
    let stands_for = |squash: &&MigrationId| graph.contains(squash) && squashes.parts(squash).contains(part);
    squashes.iter().find(stands_for).cloned()
}
