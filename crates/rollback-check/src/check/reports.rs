//! Findings that several kinds of operations share.

use super::checker::Checker;
use super::step::Step;
use crate::finding::Finding;
use crate::rules::{self, Level, Rule};
use crate::vendor::Vendor;

impl Checker<'_> {
    /// Something that the older code knows as `what` gets another name. An earlier finding about it goes: only the last
    /// name counts, and none if it is the first one again.
    pub(super) fn renamed_from(&mut self, step: &Step<'_>, what: &str, after: &str, is_back: bool) {
        let beginning = still_uses(what);
        let is_about_it = |finding: &Finding| {
            finding.rule == &rules::RENAMED
                && finding.migration.app == step.app()
                && finding.message.starts_with(&beginning)
        };
        self.found.retain(|finding| !is_about_it(finding));
        if !is_back {
            self.renamed(step, what, after);
        }
    }

    pub(super) fn renamed(&mut self, step: &Step<'_>, old: &str, new: &str) {
        let message = format!("{}{new}", still_uses(old));
        self.report(
            &rules::RENAMED,
            step,
            message,
            "keep the name in the database with `db_column` or `db_table`",
        );
    }

    pub(super) fn unique_added(&mut self, step: &Step<'_>, what: &str) {
        let message = format!("the older code may write rows that violate {what}");
        self.report(
            &rules::UNIQUE_ADDED,
            step,
            message,
            "first deploy code that complies, then add the constraint",
        );
    }

    pub(super) fn blocks_writes(&mut self, step: &Step<'_>, model: &str) {
        if self.range.database == Some(Vendor::Sqlite) {
            return;
        }
        let message = format!("PostgreSQL blocks writes to the table of {model} while it builds the index");
        self.report(
            &rules::BLOCKS_WRITES,
            step,
            message,
            "use `AddIndexConcurrently`, in a migration with `atomic = False`",
        );
    }

    pub(super) fn rewrites(&mut self, step: &Step<'_>, why: &str) {
        if self.range.database == Some(Vendor::Sqlite) {
            return;
        }
        let message = format!("PostgreSQL rewrites the table and blocks reads and writes meanwhile: {why}");
        self.report(
            &rules::REWRITES_TABLE,
            step,
            message,
            "add a new column, fill it in batches, then switch to it",
        );
    }

    /// A rollback fails with some rows, not with every one.
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

/// How the message about a rename begins.
fn still_uses(old: &str) -> String {
    format!("the older code still uses {old}, which becomes ")
}
