//! Edits and deletions of migrations that were released before.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::{MigrationFacts, MigrationId};
use rollback_revision::Read;
use rollback_source::facts::MigrationSource;
use rollback_source::{is_same_program, is_same_to_databases};

use super::checker::Checker;
use crate::finding::Place;
use crate::rules;
use crate::wording::described;

impl Checker<'_> {
    pub(super) fn history(&mut self, facts: &[MigrationFacts]) {
        self.edited();
        self.deleted(facts);
    }

    fn edited(&mut self) {
        let (base, head) = (self.range.base, self.range.head);
        for (id, file) in &head.files {
            let is_other = base.files.get(id).is_some_and(|older| older.hash != file.hash);
            let (Some(older), Some(newer)) = (base.read.get(id), head.read.get(id)) else { continue };
            if is_other && self.makes_a_difference(older, newer) {
                self.edit(id, older.source.as_ref().ok(), newer.source.as_ref().ok());
            }
        }
    }

    /// Whether an edit may make a difference to a database.
    fn makes_a_difference(&self, older: &Read, newer: &Read) -> bool {
        if is_same_program(&older.text, &newer.text, &[]) || is_same_to_databases(&older.text, &newer.text) {
            return false;
        }
        let (Ok(older_source), Ok(newer_source)) = (&older.source, &newer.source) else { return true };
        if is_helper(older_source) && is_helper(newer_source) {
            return false;
        }
        let is_same_but_for_squashes =
            is_same_program(&older.text, &newer.text, &["replaces", "dependencies"]);
        !(is_same_but_for_squashes && self.only_ends_a_squash(older_source, newer_source))
    }

    fn edit(&mut self, id: &MigrationId, older: Option<&MigrationSource>, newer: Option<&MigrationSource>) {
        let span = newer.and_then(|source| source.class.clone()).unwrap_or(0..0);
        if older.zip(newer).is_some_and(|(older, newer)| is_another(older, newer)) {
            let message = format!(
                "{id} has the name of a released migration, but other operations: databases that applied that one skip it"
            );
            let hint = "restore the released file, and give the new migration another name";
            self.add(&rules::REUSED, id, span, message, hint);
        } else {
            let message = format!(
                "{id} was edited after it was released: databases that applied it do not get the change"
            );
            let hint = "restore the file, and put the change into a new migration";
            self.add(&rules::EDITED, id, span, message, hint);
        }
    }

    /// Whether an edit only completes a squash, as Django's documentation asks: `replaces` is removed, and dependencies
    /// on replaced migrations name the squash instead.
    fn only_ends_a_squash(&self, older: &MigrationSource, newer: &MigrationSource) -> bool {
        let mut squashes: BTreeMap<MigrationId, MigrationId> = BTreeMap::new();
        for (squash, source) in self.range.base.sources() {
            let replaced = source.replaces.iter().filter_map(|reference| self.range.base.target(reference));
            squashes.extend(replaced.map(|id| (id, squash.clone())));
        }
        let dependencies = |source: &MigrationSource| -> BTreeSet<Option<MigrationId>> {
            let targets = source.dependencies.iter().map(|reference| self.range.head.target(reference));
            targets.map(|id| id.map(|id| squashes.get(&id).cloned().unwrap_or(id))).collect()
        };
        let replaces = |source: &MigrationSource| -> Vec<Option<MigrationId>> {
            source.replaces.iter().map(|reference| self.range.head.target(reference)).collect()
        };
        let keeps_or_ends = newer.replaces.is_empty() || replaces(older) == replaces(newer);
        keeps_or_ends && dependencies(older) == dependencies(newer)
    }

    fn deleted(&mut self, facts: &[MigrationFacts]) {
        let (base, head) = (self.range.base, self.range.head);
        for (id, file) in base.files.iter().filter(|(id, _)| !head.files.contains_key(id)) {
            let squashes: BTreeSet<&MigrationId> =
                facts.iter().filter(|fact| fact.replaces.contains(id)).map(|fact| &fact.id).collect();
            let is_squashed = |(squash, source): (&MigrationId, &MigrationSource)| {
                let replaced = source.replaces.iter().filter_map(|reference| base.target(reference));
                head.files.contains_key(squash) && replaced.into_iter().any(|replaced| replaced == *id)
            };
            let read = base.read.get(id).and_then(|read| read.source.as_ref().ok());
            if read.is_some_and(is_helper) || base.sources().any(is_squashed) {
                continue;
            }
            let place = Place { path: file.path.clone(), range: 0..0, is_older: true };
            if squashes.is_empty() {
                let message = format!(
                    "{id} was deleted after it was released: databases that applied it cannot be rolled back past it"
                );
                self.add_at(&rules::DELETED, id, place, message, "restore the file, or squash it");
            } else if let Some(squash) = squashes.iter().find(|squash| !base.files.contains_key(squash)) {
                let message = format!("{id} was deleted in the release that adds its squash, {squash}");
                self.add_at(
                    &rules::SQUASHED_EARLY,
                    id,
                    place,
                    message,
                    "keep the file until every database has had a release with the squash",
                );
            }
        }
    }
}

/// Whether a module in a migrations package is not a migration.
fn is_helper(source: &MigrationSource) -> bool {
    source.class.is_none()
}

/// Whether two migrations have no operation in common.
fn is_another(older: &MigrationSource, newer: &MigrationSource) -> bool {
    let operations =
        |source: &MigrationSource| -> BTreeSet<String> { source.operations.iter().map(described).collect() };
    let (older, newer) = (operations(older), operations(newer));
    !older.is_empty() && !newer.is_empty() && older.is_disjoint(&newer)
}
