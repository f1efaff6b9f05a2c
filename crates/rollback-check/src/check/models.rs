//! What changed, renamed and deleted models mean.

use rollback_source::facts::Action;

use super::checker::Checker;
use super::step::Step;
use crate::rules;
use crate::state::{Known, Model};

/// Constraints that are indexes.
const UNIQUE: &[&str] = &["UniqueConstraint", "ExclusionConstraint"];

impl Checker<'_> {
    pub(super) fn constraint_added(&mut self, step: &Step<'_>, model: &str, class: &str) {
        if UNIQUE.contains(&class) {
            self.unique_added(step, &format!("{class} of {model}"));
            self.blocks_writes(step, model);
        } else {
            let message = format!("older code may write what {class} of {model} no longer allows");
            self.report(&rules::NARROWED, step, message, "let the code keep to it a release before");
        }
    }

    pub(super) fn constraint_removed(&mut self, step: &Step<'_>, model: &str, name: &str) {
        let known = step.models.get(step.app(), model).filter(|model| model.is_older_table());
        if let Some(class) = known.and_then(|model| model.constraints.get(name)) {
            let message = format!("going back fails once a row of {model} breaks {class} {name}");
            self.fails_with(step, message, "change such rows before a rollback");
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
            let message = format!("going back fails once rows of {model} break the former unique_together");
            self.fails_with(step, message, "change such rows before a rollback");
        }
    }

    /// The column `_order`, which `order_with_respect_to` brings.
    pub(super) fn ordered(&mut self, step: &Step<'_>, model: &str, is_ordered: bool) {
        let was_ordered = step.models.get(step.app(), model).is_some_and(|model| model.is_ordered);
        match (was_ordered, is_ordered) {
            (false, true) => {
                let message = format!("going back drops the column {model}._order");
                self.report(
                    &rules::LOSES_DATA,
                    step,
                    message,
                    "export what must not be lost before a rollback",
                );
                let message = format!("older code cannot insert into {model} once _order is there");
                self.report(&rules::NOT_NULL, step, message, "order rows by a field of your own");
            }
            (true, false) => {
                let message = format!("going back brings the column {model}._order without what was in it");
                self.report(&rules::CANNOT_RESTORE, step, message, "remove it a release later");
                let message = format!("older code still reads the column {model}._order");
                self.report(&rules::REMOVED_COLUMN, step, message, "remove it a release later");
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
        let renames_model = matches!(step.operation.action, Action::RenameModel { .. });
        if before == after && renames_model && model.fields.values().any(has_join_table) {
            self.renamed(step, &format!("the column for {name} in its join tables"), "another one");
        }
    }

    pub(super) fn model_deleted(&mut self, step: &Step<'_>, name: &str) {
        let Some(model) = step.models.get(step.app(), name) else { return };
        if !model.is_older_table() {
            return;
        }
        let message = format!("going back brings an empty table for {}.{name}, not its rows", step.app());
        self.report(
            &rules::CANNOT_RESTORE,
            step,
            message,
            "delete it a release later, when nobody needs it back",
        );
        let message = format!("older code still uses the table of {}.{name}", step.app());
        let hint = "delete the model from the state first, and the table in the next release";
        self.report(&rules::REMOVED_TABLE, step, message, hint);
    }
}
