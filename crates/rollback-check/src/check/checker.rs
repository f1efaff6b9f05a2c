//! What every rule needs: both ends, the graph, and where findings are collected.

use std::collections::BTreeSet;

use rollback_core::MigrationId;
use rollback_core::graph::Graph;
use rollback_source::facts::Span;

use crate::finding::{Finding, Place};
use crate::range::Range;
use crate::rules::Rule;

/// Walks through what is new, and collects what the rules find.
pub(super) struct Checker<'r> {
    pub(super) range: &'r Range<'r>,
    pub(super) graph: &'r Graph,
    /// All migrations, parents first.
    pub(super) order: &'r [&'r MigrationId],
    /// What the newer commit brings.
    pub(super) new: BTreeSet<MigrationId>,
    pub(super) found: Vec<Finding>,
}

impl Checker<'_> {
    /// The migrations that the range is about: new ones, and those with other contents than before.
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
