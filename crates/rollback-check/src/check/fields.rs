//! What new, removed and renamed fields mean.

use rollback_source::facts::{DatabaseDefault, Field};

use super::checker::Checker;
use super::step::Step;
use crate::columns;
use crate::rules;
use crate::state::Known;

impl Checker<'_> {
    pub(super) fn field_added(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        if !step.is_older_table(model) || !field.is_in_database() {
            return;
        }
        if field.is_generated() {
            if field.is_stored != Some(false) {
                self.rewrites(step, &format!("{model}.{name} is computed for each row"));
            }
            return;
        }
        let what = kind(field.is_many_to_many());
        let message = format!("a rollback drops the {what} {model}.{name} and all data in it");
        self.report(&rules::LOSES_DATA, step, message, "export the data before a rollback if you need it");
        if !field.is_many_to_many() {
            self.column_added(step, model, name, field);
        }
    }

    fn column_added(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        if columns::is_auto_numbered(field) {
            self.rewrites(step, &format!("{model}.{name} gets a number for each row"));
            return;
        }
        if field.null == Some(false) && field.db_default == DatabaseDefault::Missing {
            let message = format!(
                "the older code cannot insert into {model}: it does not fill {name}, which is NOT NULL and has no default in the database"
            );
            self.report(
                &rules::NOT_NULL,
                step,
                message,
                "set `db_default`, or use `null=True` for one release",
            );
        }
        if field.db_default == DatabaseDefault::Expression {
            self.rewrites(step, &format!("the default of {model}.{name} may differ between rows"));
        }
        if field.unique == Some(true) && field.db_default == DatabaseDefault::Constant {
            self.unique_added(
                step,
                &format!("the unique constraint on {model}.{name}: every row gets the same default"),
            );
        }
        if field.unique == Some(true) || field.db_index == Some(true) {
            self.blocks_writes(step, model);
        }
    }

    pub(super) fn field_removed(&mut self, step: &Step<'_>, model: &str, name: &str) {
        let known = step.field(model, name);
        let field = known.map(|known| known.field);
        let is_virtual = field.is_some_and(|field| !field.is_in_database());
        if !step.is_older_table(model) || known.is_some_and(|known| known.is_new) || is_virtual {
            return;
        }
        let what = kind(field.is_some_and(Field::is_many_to_many));
        let older = known.and_then(|known| known.older_column.as_ref());
        let older = older.map_or_else(String::new, |column| format!(", which it knows as {column}"));
        let message = format!("the older code still reads the {what} {model}.{name}{older}");
        let hint = "remove the field from the state first (`state_operations`), and drop the column in the next release";
        self.report(&rules::REMOVED_COLUMN, step, message, hint);
        if field.is_some_and(Field::is_generated) {
            return;
        }
        let message = format!("a rollback restores the {what} {model}.{name} without its data");
        self.report(
            &rules::CANNOT_RESTORE,
            step,
            message,
            "remove it in a later release, when you no longer need to go back",
        );
        if let Some(field) = field {
            self.cannot_fill_again(step, model, name, field);
        }
    }

    /// The rows that are there need a value when a rollback adds the column again.
    fn cannot_fill_again(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        let is_unique = field.unique == Some(true) && field.null == Some(false);
        if columns::fills_rows(field) == Some(false) {
            let message = format!(
                "a rollback fails if {model} has rows: {model}.{name} is NOT NULL and has no default"
            );
            self.report(
                &rules::REVERSE_FAILS,
                step,
                message,
                "give the field a default before you remove it",
            );
        } else if is_unique && !columns::is_auto_numbered(field) {
            let message = format!(
                "a rollback fails if {model} has two rows: both get the same value of the unique {name}"
            );
            self.fails_with(step, message, "remove `unique` before you remove the field");
        }
    }

    pub(super) fn field_renamed(&mut self, step: &Step<'_>, model: &str, old: &str, new: &str) {
        let Some(known) = step.field(model, old) else { return };
        if !step.is_older_table(model) || known.is_new {
            return;
        }
        if !known.field.is_many_to_many() {
            self.column_renamed(step, model, known, old, &known.column_as(new));
        } else if known.field.has_own_table() && known.field.table.is_none() {
            self.renamed(
                step,
                &format!("the join table of {model}.{old}"),
                &format!("that of {model}.{new}"),
            );
        }
    }

    pub(super) fn column_renamed(
        &mut self,
        step: &Step<'_>,
        model: &str,
        known: &Known<'_>,
        name: &str,
        after: &str,
    ) {
        let before = known.column_as(name);
        let older = known.older_column.as_ref().unwrap_or(&before);
        if before != after {
            self.renamed_from(step, &format!("the column {older} of {model}"), after, older == after);
        }
    }
}

/// What a field has in the database.
fn kind(is_many_to_many: bool) -> &'static str {
    if is_many_to_many { "join table" } else { "column" }
}
