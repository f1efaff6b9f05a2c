//! Findings that several kinds of operations share.

use super::checker::Checker;
use super::step::Step;
use crate::finding::Finding;
use crate::rules::{self, Level, Rule};
use crate::vendor::Vendor;

impl Checker<'_> {
    /// What has been renamed since the older release: once more, or back.
    pub(super) fn renamed_from(&mut self, step: &Step<'_>, what: &str, after: &str, is_back: bool) {
        let mark = format!("{what}, which");
        let is_about_it = |finding: &Finding| {
            finding.rule == &rules::RENAMED
                && finding.migration.app == step.app()
                && finding.message.contains(&mark)
        };
        self.found.retain(|finding| !is_about_it(finding));
        if !is_back {
            self.renamed(step, what, after);
        }
    }

    pub(super) fn renamed(&mut self, step: &Step<'_>, old: &str, new: &str) {
        let message = format!("older code still uses {old}, which becomes {new}");
        self.report(&rules::RENAMED, step, message, "keep the name in the database: `db_column`, `db_table`");
    }

    pub(super) fn unique_added(&mut self, step: &Step<'_>, what: &str) {
        let message = format!("older code may write what {what} no longer allows");
        self.report(&rules::UNIQUE_ADDED, step, message, "let the code keep to it a release before");
    }

    pub(super) fn blocks_writes(&mut self, step: &Step<'_>, model: &str) {
        if self.range.database == Some(Vendor::Sqlite) {
            return;
        }
        let message =
            format!("on PostgreSQL nobody can write to the table of {model} while the index is built");
        self.report(
            &rules::BLOCKS_WRITES,
            step,
            message,
            "AddIndexConcurrently, in a migration with `atomic = False`",
        );
    }

    pub(super) fn rewrites(&mut self, step: &Step<'_>, why: &str) {
        if self.range.database == Some(Vendor::Sqlite) {
            return;
        }
        let message = format!("PostgreSQL writes the table anew while nobody can read or write it: {why}");
        self.report(
            &rules::REWRITES_TABLE,
            step,
            message,
            "add a column, fill it in batches, and change over",
        );
    }

    /// Going back fails with some rows, not with every one.
    pub(super) fn fails_with(&mut self, step: &Step<'_>, message: String, hint: &str) {
        self.report(&rules::REVERSE_FAILS, step, message, hint);
        if let Some(Finding { level, .. }) = self.found.last_mut() {
            *level = Level::Warning;
        }
    }

    pub(super) fn report(&mut self, rule: &'static Rule, step: &Step<'_>, message: String, hint: &str) {
        self.add(rule, step.id, step.operation.span.clone(), message, hint);
    }
}
