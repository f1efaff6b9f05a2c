//! What each new operation means for a rollback, and for the older code that still runs beside it.

use std::collections::HashSet;

use rollback_core::MigrationId;
use rollback_source::facts::{Action, Reverse};

use super::checker::Checker;
use super::step::Step;
use crate::rules;
use crate::state::{Model, Models};
use crate::wording::{described, is_irreversible, is_undone_by_nothing};

impl Checker<'_> {
    /// Walks all operations in the order in which Django applies them, and looks at the new ones.
    pub(super) fn operations(&mut self, undo: &[MigrationId]) {
        let undo: HashSet<&MigrationId> = undo.iter().collect();
        let folders = self.folders();
        let mut models = Models::default();
        let head = self.range.head;
        for id in self.order {
            let Some(source) = head.source(id) else { continue };
            let is_new = undo.contains(id);
            if is_new {
                self.migration(id, source, &folders);
            }
            for operation in &source.operations {
                if is_new {
                    self.operation(&Step { id, operation, models: &models });
                }
                models.apply(&id.app, operation, is_new);
            }
        }
    }

    fn operation(&mut self, step: &Step<'_>) {
        self.irreversible(step);
        self.inside(step);
    }

    /// The operation, or the operations inside it that change the database. Each of these sees the models as they are
    /// before all of them.
    fn inside(&mut self, step: &Step<'_>) {
        if let Action::Separate { database, .. } = &step.operation.action {
            for operation in database {
                self.inside(&Step { operation, ..*step });
            }
            return;
        }
        let does_nothing = match &step.operation.action {
            Action::RunPython { code, .. } => code == "noop",
            Action::RunSql { does_nothing, .. } => *does_nothing,
            _ => false,
        };
        if is_undone_by_nothing(step.operation) && !does_nothing {
            let message =
                format!("a rollback does not undo what {} of {} did", described(step.operation), step.id);
            self.report(
                &rules::CANNOT_RESTORE,
                step,
                message,
                "make sure that the older code works with the result",
            );
        }
        self.changes(step);
    }

    fn irreversible(&mut self, step: &Step<'_>) {
        if !is_irreversible(step.operation) {
            return;
        }
        let (why, hint) = match step.operation.action {
            Action::RunPython { reverse: Reverse::Missing, .. } => {
                ("has no reverse_code", "add `reverse_code`: `RunPython.noop` if nothing needs undoing")
            }
            Action::RunSql { reverse: Reverse::Missing, .. } => {
                ("has no reverse_sql", "add `reverse_sql`: `RunSQL.noop` if nothing needs undoing")
            }
            Action::Separate { .. } => (
                "contains an operation that cannot be undone",
                "give that operation a reverse: `noop` if nothing needs undoing",
            ),
            _ => ("is declared irreversible", "write what undoes it, and remove `reversible = False`"),
        };
        let message = format!("{} of {} {why}", described(step.operation), step.id);
        self.report(&rules::IRREVERSIBLE, step, message, hint);
    }

    fn changes(&mut self, step: &Step<'_>) {
        match &step.operation.action {
            Action::CreateModel { name, has_table, .. } if *has_table != Some(false) => {
                let message = format!("a rollback drops the table of {}.{name} and all its rows", step.app());
                self.report(
                    &rules::LOSES_DATA,
                    step,
                    message,
                    "export the data before a rollback if you need it",
                );
            }
            Action::AddField { model, name, field } => self.field_added(step, model, name, field),
            Action::RemoveField { model, name } => self.field_removed(step, model, name),
            Action::AlterField { model, name, field } => self.field_altered(step, model, name, field),
            Action::RenameField { model, old, new } => self.field_renamed(step, model, old, new),
            Action::RenameModel { old, new } => {
                let Some(model) = step.models.get(step.app(), old) else { return };
                self.table_renamed(step, model, old, &model.table_as(step.app(), new));
            }
            Action::AlterModelTable { name, table } => {
                let Some(model) = step.models.get(step.app(), name) else { return };
                let after = Model { table: table.clone(), ..Model::default() }.table_as(step.app(), name);
                self.table_renamed(step, model, name, &after);
            }
            Action::DeleteModel { name } => self.model_deleted(step, name),
            Action::AddIndex { model, concurrently: false } if step.is_older_table(model) => {
                self.blocks_writes(step, model);
            }
            Action::AddConstraint { model, class, name } if step.is_older_table(model) => {
                self.constraint_added(step, model, class, name.as_deref());
            }
            Action::RemoveConstraint { model, name } => self.constraint_removed(step, model, name),
            Action::AlterUniqueTogether { name, sets } if step.is_older_table(name) => {
                self.unique_together(step, name, sets.as_deref().unwrap_or_default());
            }
            Action::AlterOrder { model, is_ordered } if step.is_older_table(model) => {
                self.ordered(step, model, *is_ordered);
            }
            Action::AlterIndexTogether { name, sets } if step.is_older_table(name) => {
                let known = step.models.get(step.app(), name);
                let is_new =
                    |set: &Vec<String>| known.is_none_or(|model| !model.index_together.contains(set));
                if sets.as_deref().unwrap_or_default().iter().any(is_new) {
                    self.blocks_writes(step, name);
                }
            }
            _ => {}
        }
    }
}
