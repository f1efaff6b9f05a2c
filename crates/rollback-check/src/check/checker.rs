//! What every rule needs: both ends of the range, the graph, and a list to add findings to.

use std::collections::BTreeSet;

use rollback_core::MigrationId;
use rollback_core::graph::Graph;
use rollback_source::facts::Span;

use crate::finding::{Finding, Place};
use crate::range::Range;
use crate::rules::Rule;

/// Applies the rules and collects what they find.
pub(super) struct Checker<'r> {
    pub(super) range: &'r Range<'r>,
    pub(super) graph: &'r Graph,
    /// All migrations, parents first.
    pub(super) order: &'r [&'r MigrationId],
    /// The migrations that only the newer commit has.
    pub(super) new: BTreeSet<MigrationId>,
    /// What the rules have found so far.
    pub(super) found: Vec<Finding>,
}

impl Checker<'_> {
    /// The migrations that the range is about: new ones, and those whose contents changed.
    pub(super) fn looked_at(&self) -> Vec<MigrationId> {
        let is_other = |id: &MigrationId| match (self.range.base.files.get(id), self.range.head.files.get(id))
        {
            (Some(older), Some(newer)) => older.hash != newer.hash,
            (None, Some(_)) => true,
            _ => false,
        };
        self.range.head.files.keys().filter(|id| is_other(id)).cloned().collect()
    }

    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        id: &MigrationId,
        span: Span,
        message: String,
        hint: &str,
    ) {
        let path = self.range.head.files.get(id).map(|file| file.path.clone()).unwrap_or_default();
        let place = Place { path, range: span, is_older: false };
        self.add_at(rule, id, place, message, hint);
    }

    pub(super) fn add_at(
        &mut self,
        rule: &'static Rule,
        id: &MigrationId,
        place: Place,
        message: String,
        hint: &str,
    ) {
        let (migration, hint) = (id.clone(), hint.to_owned());
        self.found.push(Finding { rule, level: rule.level, place, migration, message, hint });
    }
}
