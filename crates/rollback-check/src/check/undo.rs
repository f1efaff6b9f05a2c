//! What a rollback would undo.

use std::collections::BTreeSet;

use rollback_core::{MigrationFacts, MigrationId};

use super::checker::Checker;
use crate::range::Range;

/// The squashes of which the older commit has a part: a database that comes from there runs the rest of what they
/// replace, not the squash.
pub(super) fn split(range: &Range<'_>, facts: &[MigrationFacts]) -> BTreeSet<MigrationId> {
    let is_older = |id: &MigrationId| range.base.files.contains_key(id);
    let is_split = |fact: &&MigrationFacts| {
        !is_older(&fact.id) && fact.replaces.iter().any(is_older) && !fact.replaces.iter().all(is_older)
    };
    facts.iter().filter(is_split).map(|fact| fact.id.clone()).collect()
}

impl Checker<'_> {
    /// What going back undoes: the new migrations, children first, without squashes of what is there already.
    pub(super) fn undone(&self, facts: &[MigrationFacts]) -> Vec<MigrationId> {
        let only_records: BTreeSet<&MigrationId> =
            facts.iter().filter(|fact| self.only_records(fact)).map(|fact| &fact.id).collect();
        let is_undone = |id: &&&MigrationId| self.new.contains(**id) && !only_records.contains(**id);
        self.order.iter().rev().filter(is_undone).map(|id| MigrationId::clone(id)).collect()
    }

    /// Whether a squash stands for migrations that the older commit has: then nothing is run for it.
    fn only_records(&self, fact: &MigrationFacts) -> bool {
        !fact.replaces.is_empty() && fact.replaces.iter().all(|id| self.range.base.files.contains_key(id))
    }
}
