//! Squashes and what they replace: one state under two names.

use std::collections::{BTreeMap, BTreeSet};

use crate::applied::AppliedSet;
use crate::migration::{MigrationFacts, MigrationId};

/// Which migrations replace which others.
///
/// States are compared after *folding*: every squash is exchanged for the migrations that it replaces, and again if
/// those are squashes. What is left, the *parts*, is the same before and after squashing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Squashes {
    replaces: BTreeMap<MigrationId, BTreeSet<MigrationId>>,
}

impl Squashes {
    /// The squashes among `facts`. A migration may come several times, for example from its file and from what is
    /// remembered about it: everything that any of them says it replaces counts.
    pub(crate) fn of<'a>(facts: impl IntoIterator<Item = &'a MigrationFacts>) -> Self {
        let mut squashes = Self::default();
        for fact in facts {
            if !fact.replaces.is_empty() {
                squashes.replaces.entry(fact.id.clone()).or_default().extend(fact.replaces.iter().cloned());
            }
        }
        squashes
    }

    /// Every squash.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MigrationId> {
        self.replaces.keys()
    }

    /// The parts of `migration`: itself, unless it is a squash.
    pub(crate) fn parts(&self, migration: &MigrationId) -> BTreeSet<MigrationId> {
        let (mut parts, mut seen) = (BTreeSet::new(), BTreeSet::new());
        self.walk(migration, &mut seen, &mut parts);
        parts
    }

    /// All names of `migration` and of what it replaces: the rows that go when it is undone.
    pub(crate) fn rows(&self, migration: &MigrationId) -> BTreeSet<MigrationId> {
        let (mut parts, mut seen) = (BTreeSet::new(), BTreeSet::new());
        self.walk(migration, &mut seen, &mut parts);
        seen
    }

    /// The parts of everything in `set`.
    pub(crate) fn fold(&self, set: &AppliedSet) -> BTreeSet<MigrationId> {
        set.iter().flat_map(|migration| self.parts(migration)).collect()
    }

    /// How many squashes are nested in `migration`; 0 if it is not a squash.
    pub(crate) fn depth(&self, migration: &MigrationId) -> usize {
        self.rows(migration).iter().filter(|row| self.replaces.contains_key(row)).count()
    }

    fn walk(&self, id: &MigrationId, seen: &mut BTreeSet<MigrationId>, parts: &mut BTreeSet<MigrationId>) {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            match self.replaces.get(id) {
                Some(replaced) => waiting.extend(replaced),
                None => drop(parts.insert(id.clone())),
            }
        }
    }
}
