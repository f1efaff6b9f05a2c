//! What each new operation means for a way back, and for the older code that still runs beside it.

use std::collections::{BTreeSet, HashSet};

use rollback_core::MigrationId;
use rollback_source::facts::{Action, MigrationSource, Operation, Reverse};

use super::{Checker, Vendor};
use crate::finding::Finding;
use crate::release::{described, is_irreversible, is_undone_by_nothing};
use crate::rules::{self, Level, Rule};
use crate::state::{Known, Model, Models};

/// Constraints that are indexes.
const UNIQUE: &[&str] = &["UniqueConstraint", "ExclusionConstraint"];

/// One operation where it happens.
pub(super) struct Step<'s> {
    pub(super) id: &'s MigrationId,
    pub(super) operation: &'s Operation,
    pub(super) models: &'s Models<'s>,
}

impl Step<'_> {
    pub(super) fn app(&self) -> &str {
        &self.id.app
    }

    /// Whether the older release has the model's table.
    pub(super) fn is_older_table(&self, model: &str) -> bool {
        self.models.get(self.app(), model).is_none_or(Model::is_older_table)
    }

    pub(super) fn field(&self, model: &str, name: &str) -> Option<&Known<'_>> {
        self.models.field(self.app(), model, name)
    }
}

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

    /// The folders of migrations, as dotted paths.
    fn folders(&self) -> BTreeSet<String> {
        let files = self.range.head.files.values();
        files.filter_map(|file| Some(file.path.rsplit_once('/')?.0.replace('/', "."))).collect()
    }

    fn migration(&mut self, id: &MigrationId, source: &MigrationSource, folders: &BTreeSet<String>) {
        let may_be_repeated = |class: &str| class.ends_with("Concurrently") || class == "ValidateConstraint";
        let only_indexes = source.operations.iter().all(|operation| may_be_repeated(&operation.class));
        if let (false, span, false) = (source.atomic.0, &source.atomic.1, only_indexes) {
            let message = format!("{id} runs outside a transaction: if it fails, part of it stays");
            let hint = "leave only operations in it that need that, each safe to repeat";
            self.add(&rules::NOT_ATOMIC, id, span.clone(), message, hint);
        }
        for import in &source.imports {
            let module = self.absolute(id, &import.module);
            let named = import.name.as_ref().map(|name| format!("{module}.{name}"));
            let is_django = |path: &str| path == "django" || path.starts_with("django.");
            let is_project = |path: &str| !is_django(path) && (self.range.is_project)(path);
            if !is_inside(&module, folders)
                && (is_project(&module) || named.as_deref().is_some_and(is_project))
            {
                let message =
                    format!("{id} imports {module}, which the code of another release may not have");
                let hint = "copy what the migration needs into it";
                self.add(&rules::PROJECT_IMPORT, id, import.span.clone(), message, hint);
            }
        }
    }

    /// A module that a migration imports, without dots in front.
    fn absolute(&self, id: &MigrationId, module: &str) -> String {
        let below = module.trim_start_matches('.');
        let level = module.len() - below.len();
        if level == 0 {
            return module.to_owned();
        }
        let path = self.range.head.files.get(id).map_or("", |file| file.path.as_str());
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.truncate(parts.len().saturating_sub(level));
        parts.extend(below.split('.').filter(|part| !part.is_empty()));
        parts.join(".")
    }

    fn operation(&mut self, step: &Step<'_>) {
        self.irreversible(step);
        self.inside(step);
    }

    /// The operation, or those inside of it that change the database. Between these the models are as before all of
    /// them: none depends on one of them.
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
                format!("going back leaves what {} of {} did as it is", described(step.operation), step.id);
            self.report(&rules::CANNOT_RESTORE, step, message, "see that the older code can live with it");
        }
        self.changes(step);
    }

    fn irreversible(&mut self, step: &Step<'_>) {
        if !is_irreversible(step.operation) {
            return;
        }
        let missing = match step.operation.action {
            Action::RunPython { reverse: Reverse::Missing, .. } => "has no reverse_code",
            Action::RunSql { reverse: Reverse::Missing, .. } => "has no reverse_sql",
            Action::Separate { .. } => "has an operation inside that cannot be undone",
            _ => "says that it cannot be undone",
        };
        let message = format!("{} of {} {missing}", described(step.operation), step.id);
        let hint = "give it a reverse, `noop` where nothing has to be done";
        self.report(&rules::IRREVERSIBLE, step, message, hint);
    }

    fn changes(&mut self, step: &Step<'_>) {
        match &step.operation.action {
            Action::CreateModel { name, has_table, .. } if *has_table != Some(false) => {
                let message = format!("going back drops the table of {}.{name} with all rows", step.app());
                self.report(
                    &rules::LOSES_DATA,
                    step,
                    message,
                    "export what must not be lost before a rollback",
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
            Action::AddConstraint { model, class, .. } if step.is_older_table(model) => {
                self.constraint_added(step, model, class);
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

    fn constraint_added(&mut self, step: &Step<'_>, model: &str, class: &str) {
        if UNIQUE.contains(&class) {
            self.unique_added(step, &format!("{class} of {model}"));
            self.blocks_writes(step, model);
        } else {
            let message = format!("older code may write what {class} of {model} no longer allows");
            self.report(&rules::NARROWED, step, message, "let the code keep to it a release before");
        }
    }

    fn constraint_removed(&mut self, step: &Step<'_>, model: &str, name: &str) {
        let known = step.models.get(step.app(), model).filter(|model| model.is_older_table());
        if let Some(class) = known.and_then(|model| model.constraints.get(name)) {
            let message = format!("going back fails once a row of {model} breaks {class} {name}");
            self.fails_with(step, message, "change such rows before a rollback");
        }
    }

    fn unique_together(&mut self, step: &Step<'_>, model: &str, sets: &[Vec<String>]) {
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
    fn ordered(&mut self, step: &Step<'_>, model: &str, is_ordered: bool) {
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
    fn table_renamed(&mut self, step: &Step<'_>, model: &Model<'_>, name: &str, after: &str) {
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

    fn model_deleted(&mut self, step: &Step<'_>, name: &str) {
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

/// Whether a module is a folder of migrations or in one; `src.shop.migrations` is imported as `shop.migrations`.
fn is_inside(module: &str, folders: &BTreeSet<String>) -> bool {
    let parent = module.rsplit_once('.').map_or("", |(parent, _)| parent);
    let is_folder = |path: &str| {
        folders.contains(path)
            || path.ends_with(".migrations")
                && folders.iter().any(|folder| folder.ends_with(&format!(".{path}")))
    };
    is_folder(module) || is_folder(parent)
}
