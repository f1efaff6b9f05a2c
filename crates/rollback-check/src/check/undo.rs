//! What a rollback would undo.

use std::collections::BTreeSet;

use rollback_core::{MigrationFacts, MigrationId};

use super::checker::Checker;
use crate::range::Range;

/// New squashes that replace some migrations of the older commit, and some others. A database at the older commit runs
/// the missing ones, not the squash.
pub(super) fn split(range: &Range<'_>, facts: &[MigrationFacts]) -> BTreeSet<MigrationId> {
    let is_older = |id: &MigrationId| range.base.files.contains_key(id);
    let is_split = |fact: &&MigrationFacts| {
        !is_older(&fact.id) && fact.replaces.iter().any(is_older) && !fact.replaces.iter().all(is_older)
    };
    facts.iter().filter(is_split).map(|fact| fact.id.clone()).collect()
}

impl Checker<'_> {
    /// What a rollback undoes: the new migrations, children first, without squashes of older migrations.
    pub(super) fn undone(&self, facts: &[MigrationFacts]) -> Vec<MigrationId> {
        let only_marked: BTreeSet<&MigrationId> =
            facts.iter().filter(|fact| self.is_only_marked(fact)).map(|fact| &fact.id).collect();
        let is_undone = |id: &&&MigrationId| self.new.contains(**id) && !only_marked.contains(**id);
        self.order.iter().rev().filter(is_undone).map(|id| MigrationId::clone(id)).collect()
    }

    /// Whether a migration is a squash of migrations that the older commit has: then Django only marks it as applied.
    fn is_only_marked(&self, fact: &MigrationFacts) -> bool {
        !fact.replaces.is_empty() && fact.replaces.iter().all(|id| self.range.base.files.contains_key(id))
    }
}
