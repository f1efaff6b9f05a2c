//! What changed, renamed and deleted models mean.

use rollback_source::facts::Action;

use super::checker::Checker;
use super::step::Step;
use crate::rules;
use crate::state::{Known, Model};

/// Constraints that PostgreSQL enforces with an index.
const UNIQUE: &[&str] = &["UniqueConstraint", "ExclusionConstraint"];

impl Checker<'_> {
    pub(super) fn constraint_added(&mut self, step: &Step<'_>, model: &str, class: &str, name: Option<&str>) {
        let what = name.map_or_else(|| format!("{class} of {model}"), |name| format!("{class} {name}"));
        if UNIQUE.contains(&class) {
            self.unique_added(step, &what);
            self.blocks_writes(step, model);
        } else {
            let message = format!("the older code may write rows that violate {what}");
            let hint = "first deploy code that complies, then add the constraint";
            self.report(&rules::NARROWED, step, message, hint);
        }
    }

    pub(super) fn constraint_removed(&mut self, step: &Step<'_>, model: &str, name: &str) {
        let known = step.models.get(step.app(), model).filter(|model| model.is_older_table());
        if let Some(class) = known.and_then(|model| model.constraints.get(name)) {
            let message = format!("a rollback fails if a row of {model} violates {class} {name}");
            self.fails_with(step, message, "fix such rows before a rollback");
        }
    }

    pub(super) fn unique_together(&mut self, step: &Step<'_>, model: &str, sets: &[Vec<String>]) {
        let before = step.models.get(step.app(), model).map(|model| model.unique_together.clone());
        let before = before.unwrap_or_default();
        if sets.iter().any(|set| !before.contains(set)) {
            self.unique_added(step, &format!("unique_together of {model}"));
            self.blocks_writes(step, model);
        }
        if before.iter().any(|set| !sets.contains(set)) {
            let message = format!("a rollback fails if rows of {model} violate the former unique_together");
            self.fails_with(step, message, "fix such rows before a rollback");
        }
    }

    /// The column `_order`, which Django adds for `order_with_respect_to`.
    pub(super) fn ordered(&mut self, step: &Step<'_>, model: &str, is_ordered: bool) {
        let was_ordered = step.models.get(step.app(), model).is_some_and(|model| model.is_ordered);
        match (was_ordered, is_ordered) {
            (false, true) => {
                let message = format!("a rollback drops the column {model}._order and all data in it");
                self.report(
                    &rules::LOSES_DATA,
                    step,
                    message,
                    "export the data before a rollback if you need it",
                );
                let message = format!(
                    "the older code cannot insert into {model}: it does not fill _order, which is NOT NULL"
                );
                self.report(
                    &rules::NOT_NULL,
                    step,
                    message,
                    "order rows by your own field, with a `db_default`",
                );
            }
            (true, false) => {
                let message = format!("a rollback restores the column {model}._order without its data");
                self.report(&rules::CANNOT_RESTORE, step, message, "remove it in a later release");
                let message = format!("the older code still reads the column {model}._order");
                self.report(&rules::REMOVED_COLUMN, step, message, "remove it in a later release");
            }
            _ => {}
        }
    }

    /// A table gets another name, or its former one back.
    pub(super) fn table_renamed(&mut self, step: &Step<'_>, model: &Model<'_>, name: &str, after: &str) {
        if !model.is_older_table() {
            return;
        }
        let before = model.table_as(step.app(), name);
        let older = model.older_table.as_ref().unwrap_or(&before);
        self.renamed_from(step, &format!("the table {older}"), after, older == after);
        let has_join_table = |known: &Known<'_>| known.field.is_many_to_many() && known.field.has_own_table();
        let Action::RenameModel { new, .. } = &step.operation.action else { return };
        if before == after && model.fields.values().any(has_join_table) {
            let column = |model: &str| format!("{}_id", model.to_lowercase());
            self.renamed(step, &format!("the column {} in its join tables", column(name)), &column(new));
        }
    }

    pub(super) fn model_deleted(&mut self, step: &Step<'_>, name: &str) {
        let Some(model) = step.models.get(step.app(), name) else { return };
        if !model.is_older_table() {
            return;
        }
        let message = format!("a rollback restores the table of {}.{name} without its rows", step.app());
        self.report(
            &rules::CANNOT_RESTORE,
            step,
            message,
            "delete it in a later release, when you no longer need to go back",
        );
        let message = format!("the older code still uses the table of {}.{name}", step.app());
        let hint = "remove the model from the state first (`state_operations`), and drop the table in the next release";
        self.report(&rules::REMOVED_TABLE, step, message, hint);
    }
}
