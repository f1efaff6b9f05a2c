//! What new, removed and renamed fields mean.

use rollback_source::facts::{DatabaseDefault, Field};

use super::checker::Checker;
use super::step::Step;
use crate::columns;
use crate::rules;
use crate::state::Known;

impl Checker<'_> {
    pub(super) fn field_added(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        if !step.is_older_table(model) {
            return;
        }
        if !field.is_in_database() {
            return;
        }
        if field.is_generated() {
            if field.is_stored != Some(false) {
                self.rewrites(step, &format!("{model}.{name} is computed for each row"));
            }
            return;
        }
        let what = if field.is_many_to_many() { "the table" } else { "the column" };
        let message = format!("going back drops {what} of {model}.{name} with all that was written into it");
        self.report(&rules::LOSES_DATA, step, message, "export what must not be lost before a rollback");
        if !field.is_many_to_many() {
            self.column_added(step, model, name, field);
        }
    }

    fn column_added(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        if columns::counts_by_itself(field) {
            self.rewrites(step, &format!("{model}.{name} is another number for each row"));
            return;
        }
        if field.null == Some(false) && field.db_default == DatabaseDefault::Missing {
            let message = format!(
                "older code cannot insert into {model} once {name} is there: it takes no NULL, and the database has no default for it"
            );
            self.report(
                &rules::NOT_NULL,
                step,
                message,
                "give it `db_default`, or let it be NULL for one release",
            );
        }
        if field.db_default == DatabaseDefault::Expression {
            self.rewrites(step, &format!("the default of {model}.{name} may be another for each row"));
        }
        if field.unique == Some(true) && field.db_default == DatabaseDefault::Constant {
            self.unique_added(step, &format!("{model}.{name}, which has the same default for every row,"));
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
        let is_many = field.is_some_and(Field::is_many_to_many);
        let what = if is_many { "table" } else { "column" };
        let older = known.and_then(|known| known.older_column.as_ref());
        let older = older.map_or_else(String::new, |column| format!(", which it knows as {column}"));
        let message = format!("older code still reads the {what} of {model}.{name}{older}");
        let hint = "remove the field from the state first, and the column in the next release";
        self.report(&rules::REMOVED_COLUMN, step, message, hint);
        if field.is_some_and(Field::is_generated) {
            return;
        }
        let message = format!("going back brings an empty {what} for {model}.{name}, not what was in it");
        self.report(
            &rules::CANNOT_RESTORE,
            step,
            message,
            "remove it a release later, when nobody needs it back",
        );
        if field.and_then(columns::fills_rows) == Some(false) {
            let message = format!(
                "going back fails once {model} has a row: {model}.{name} takes no NULL and has no default"
            );
            self.report(
                &rules::REVERSE_FAILS,
                step,
                message,
                "give the field a default before it is removed",
            );
        } else if field.is_some_and(|field| {
            field.unique == Some(true) && field.null == Some(false) && !columns::counts_by_itself(field)
        }) {
            let message = format!(
                "going back fails once {model} has two rows: both get the same {name}, which is unique"
            );
            self.fails_with(step, message, "take `unique` away before the field is removed");
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
            self.renamed(step, &format!("the table of {model}.{old}"), &format!("that of {model}.{new}"));
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
