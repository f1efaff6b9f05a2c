//! What changed fields mean: their columns, types, defaults and relations.

use rollback_source::facts::{DatabaseDefault, Field};

use super::checker::Checker;
use super::step::Step;
use crate::columns::{self, Change};
use crate::rules;
use crate::state::{Known, column, key};
use crate::vendor::Vendor;

impl Checker<'_> {
    pub(super) fn field_altered(&mut self, step: &Step<'_>, model: &str, name: &str, new: &Field) {
        let Some(known) = step.field(model, name) else { return };
        let old = known.field;
        if !step.is_older_table(model) || known.is_new {
            return;
        }
        if old.is_many_to_many() || new.is_many_to_many() {
            if old.table != new.table && old.is_many_to_many() && new.is_many_to_many() {
                let table =
                    |field: &Field| field.table.clone().unwrap_or_else(|| "Django's default name".to_owned());
                self.renamed(step, &format!("the join table of {model}.{name}"), &table(new));
            }
            return;
        }
        self.column_renamed(step, model, known, name, &column(new, name));
        self.type_changed(step, model, name, (old, new));
        self.null_changed(step, &format!("{model}.{name}"), old, new);
        self.unique_changed(step, model, name, (old, new));
        self.relation_changed(
            step,
            &format!("{model}.{name}"),
            known,
            &Known::new(&key(step.app(), model), new, false),
        );
    }

    /// A foreign key that refers to another table than before: keys that one release writes may not exist in the table
    /// of the other.
    fn relation_changed(&mut self, step: &Step<'_>, field: &str, old: &Known<'_>, new: &Known<'_>) {
        let table = |known: &Known<'_>| {
            let (key, model) = step.models.target_of(known)?;
            let is_certain = known.field.is_foreign_key() && model.has_table && !model.is_adopted;
            is_certain.then(|| (format!("{}.{}", key.0, key.1), model.table_as(&key.0, &key.1)))
        };
        match (old.field.is_foreign_key(), new.field.is_foreign_key()) {
            (false, true) if new.field.is_constrained == Some(true) => {
                let message = format!("{field} accepts only existing keys: the older code may write others");
                self.report(&rules::NARROWED, step, message, "first deploy code that complies");
            }
            (true, false) if old.field.is_constrained == Some(true) => {
                let message = format!("a rollback fails if {field} has a key that does not exist");
                self.fails_with(step, message, "fix such rows before a rollback");
            }
            _ => {}
        }
        let (Some((former, before)), Some((latter, after))) = (table(old), table(new)) else { return };
        if before == after {
            return;
        }
        if new.field.is_constrained == Some(true) {
            let message = format!(
                "{field} accepts keys of {latter} instead of {former}: the older code writes those of {former}"
            );
            self.report(&rules::NARROWED, step, message, "add a new field for the new relation");
        }
        if old.field.is_constrained == Some(true) {
            let message = format!("a rollback fails if {field} has a key that {former} does not have");
            self.fails_with(step, message, "fix such rows before a rollback");
        }
    }

    fn null_changed(&mut self, step: &Step<'_>, field: &str, old: &Field, new: &Field) {
        let is_sqlite = self.range.database == Some(Vendor::Sqlite);
        let loses_default =
            old.db_default != DatabaseDefault::Missing && new.db_default == DatabaseDefault::Missing;
        match (old.null, new.null) {
            (Some(true), Some(false)) => {
                let message = format!("the older code may still write NULL to {field}");
                self.report(&rules::NOT_NULL, step, message, "first deploy code that always writes a value");
            }
            // On SQLite the INSERT of the older code has the value itself.
            (_, Some(false)) if loses_default && !is_sqlite => {
                let message = format!(
                    "the older code relies on the default of {field} in the database, which is removed"
                );
                self.report(&rules::NOT_NULL, step, message, "first deploy code that always writes a value");
            }
            // On PostgreSQL Django replaces NULLs only by a `default` of the field.
            (Some(false), Some(true))
                if old.default == Some(false)
                    && old.db_default == DatabaseDefault::Missing
                    && (!is_sqlite || columns::fills_rows(old) == Some(false)) =>
            {
                let message = format!("a rollback fails if {field} contains NULL");
                self.fails_with(step, message, "fill in such rows before a rollback");
            }
            _ => {}
        }
    }

    fn unique_changed(&mut self, step: &Step<'_>, model: &str, name: &str, (old, new): (&Field, &Field)) {
        match (old.unique, new.unique) {
            (Some(false), Some(true)) => {
                self.unique_added(step, &format!("the unique constraint on {model}.{name}"));
                self.blocks_writes(step, model);
            }
            (Some(true), Some(false)) => {
                let message = format!("a rollback fails if two rows have the same {model}.{name}");
                self.fails_with(step, message, "remove duplicates before a rollback");
                if new.db_index == Some(true) {
                    self.blocks_writes(step, model);
                }
            }
            (_, Some(false)) if old.db_index == Some(false) && new.db_index == Some(true) => {
                self.blocks_writes(step, model);
            }
            _ => {}
        }
    }

    /// What the new type accepts less of than the old one, and the other way round.
    fn type_changed(&mut self, step: &Step<'_>, model: &str, name: &str, (old, new): (&Field, &Field)) {
        let field = format!("{model}.{name}");
        // SQLite enforces neither lengths nor types, but it does check that a number is positive and that JSON is
        // valid.
        let is_enforced = |change: &Change| {
            let is_checked = change.how == columns::NO_NEGATIVE || change.how.starts_with("jsonb");
            self.range.database != Some(Vendor::Sqlite) || is_checked
        };
        let forward = columns::narrowed(old, new).filter(is_enforced);
        let back = columns::narrowed(new, old).filter(is_enforced);
        if let Some(Change { how, is_refused: true, .. }) = forward {
            let message = format!("{field} accepts less than before ({how}): the older code may write more");
            self.report(&rules::NARROWED, step, message, "first deploy code that writes only what fits");
        }
        if columns::rejects_older_values(old, new) && self.range.database != Some(Vendor::Sqlite) {
            let message = format!(
                "PostgreSQL rejects what the older code writes to {field}: it changes from {} to {}",
                old.class, new.class
            );
            self.report(&rules::NARROWED, step, message, "add a new field of the new type");
        }
        match back {
            Some(Change { how, is_cut: true, .. }) => {
                let message =
                    format!("a rollback truncates or rounds values of {field} that do not fit: {how}");
                self.report(&rules::LOSES_DATA, step, message, "check such values before a rollback");
            }
            Some(Change { how, is_cut: false, .. }) => {
                let message = format!(
                    "a rollback fails if {field} has a value that does not fit the older column: {how}"
                );
                self.fails_with(step, message, "fix such values before a rollback");
            }
            None => {}
        }
        if columns::is_rewritten(old, new) {
            self.rewrites(step, &format!("the type of {field} changes"));
        }
    }
}
