//! What each new operation means for a way back, and for the older code that still runs beside it.

use std::collections::BTreeSet;

use rollback_core::MigrationId;
use rollback_source::facts::{Action, DatabaseDefault, Field, MigrationSource, Operation};

use super::{Checker, Vendor};
use crate::columns;
use crate::finding::{Finding, Level};
use crate::release::{described, is_irreversible, is_undone_by_nothing};
use crate::rules::{self, Rule};
use crate::state::{Known, Model, Models, column};

/// Constraints that are indexes.
const UNIQUE: &[&str] = &["UniqueConstraint", "ExclusionConstraint"];

/// One operation where it happens.
struct Step<'s> {
    id: &'s MigrationId,
    operation: &'s Operation,
    models: &'s Models,
}

impl Step<'_> {
    fn app(&self) -> &str {
        &self.id.app
    }

    /// Whether the older release has the model's table.
    fn is_older_table(&self, model: &str) -> bool {
        self.models.get(self.app(), model).is_none_or(Model::is_older_table)
    }

    fn field(&self, model: &str, name: &str) -> Option<&Known> {
        self.models.field(self.app(), model, name)
    }
}

impl Checker<'_> {
    /// Walks all operations in the order in which Django applies them, and looks at the new ones.
    pub(super) fn operations(&mut self, undo: &[MigrationId]) {
        let undo: BTreeSet<&MigrationId> = undo.iter().collect();
        let folders = self.folders();
        let mut models = Models::default();
        let order: Vec<MigrationId> = self.graph.full_plan().into_iter().cloned().collect();
        let head = self.range.head;
        for id in &order {
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
        let only_indexes =
            source.operations.iter().all(|operation| operation.class.ends_with("Concurrently"));
        if let (false, span, false) = (source.atomic.0, &source.atomic.1, only_indexes) {
            let message = format!("{id} runs outside a transaction: if it fails, part of it stays");
            let hint = "leave only operations in it that need that, each safe to repeat";
            self.add(&rules::NOT_ATOMIC, id, span.clone(), message, hint);
        }
        for import in &source.imports {
            let module = self.absolute(id, &import.module);
            let named = import.name.as_ref().map(|name| format!("{module}.{name}"));
            let is_project = |path: &str| (self.range.is_project)(path);
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
        if let Action::Separate { database, .. } = &step.operation.action {
            self.reversible(step);
            // Between operations inside of another the models are as before all of them: none depends on one of them.
            for operation in database {
                self.changes(&Step { operation, ..*step });
            }
            return;
        }
        self.reversible(step);
        self.changes(step);
    }

    fn reversible(&mut self, step: &Step<'_>) {
        if is_irreversible(step.operation) {
            let missing = match step.operation.action {
                Action::RunPython { .. } => "has no reverse_code",
                Action::RunSql { .. } => "has no reverse_sql",
                Action::Separate { .. } => "has an operation inside that cannot be undone",
                _ => "says that it cannot be undone",
            };
            let message = format!("{} of {} {missing}", described(step.operation), step.id);
            self.report(
                &rules::IRREVERSIBLE,
                step,
                message,
                "give it a reverse, `noop` where nothing has to be done",
            );
        } else if is_undone_by_nothing(step.operation) {
            let message =
                format!("going back leaves what {} of {} did as it is", described(step.operation), step.id);
            self.report(&rules::CANNOT_RESTORE, step, message, "see that the older code can live with it");
        }
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
            Action::AddConstraint { model, class, .. }
                if step.is_older_table(model) && UNIQUE.contains(&class.as_str()) =>
            {
                self.unique_added(step, &format!("{class} of {model}"));
                self.blocks_writes(step, model);
            }
            Action::AlterUniqueTogether { name, sets } if step.is_older_table(name) => {
                let before = step.models.get(step.app(), name).map(|model| model.unique_together.clone());
                let before = before.unwrap_or_default();
                let added = sets.iter().flatten().any(|set| !before.contains(set));
                if added {
                    self.unique_added(step, &format!("unique_together of {name}"));
                    self.blocks_writes(step, name);
                }
            }
            _ => {}
        }
    }

    fn field_added(&mut self, step: &Step<'_>, model: &str, name: &str, field: &Field) {
        if !step.is_older_table(model) {
            return;
        }
        let what = if field.is_many_to_many() { "the table" } else { "the column" };
        let message = format!("going back drops {what} of {model}.{name} with all that was written into it");
        self.report(&rules::LOSES_DATA, step, message, "export what must not be lost before a rollback");
        if field.is_many_to_many() {
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
        if field.class == "GeneratedField" {
            self.rewrites(step, &format!("{model}.{name} is computed for each row"));
        }
        if field.unique == Some(true) && field.db_default == DatabaseDefault::Constant {
            self.unique_added(step, &format!("{model}.{name}, which has the same default for every row,"));
        }
        if field.unique == Some(true) || field.db_index == Some(true) {
            self.blocks_writes(step, model);
        }
    }

    fn field_removed(&mut self, step: &Step<'_>, model: &str, name: &str) {
        let known = step.field(model, name);
        if !step.is_older_table(model) || known.is_some_and(|known| known.is_new) {
            return;
        }
        let is_many = known.is_some_and(|known| known.field.is_many_to_many());
        let (what, comes_back) =
            if is_many { ("table", "an empty table") } else { ("column", "an empty column") };
        let message = format!("going back brings {comes_back} for {model}.{name}, not what was in it");
        self.report(
            &rules::CANNOT_RESTORE,
            step,
            message,
            "remove it a release later, when nobody needs it back",
        );
        let message = format!("older code still reads the {what} of {model}.{name}");
        let hint = "remove the field from the state first, and the column in the next release";
        self.report(&rules::REMOVED_COLUMN, step, message, hint);
        if known.and_then(|known| columns::fills_rows(&known.field)) == Some(false) {
            let message = format!(
                "going back fails once {model} has a row: {model}.{name} takes no NULL and has no default"
            );
            self.report(
                &rules::REVERSE_FAILS,
                step,
                message,
                "give the field a default before it is removed",
            );
        } else if let Some(Known { field, .. }) = known
            && field.unique == Some(true)
            && field.null == Some(false)
        {
            let message = format!(
                "going back fails once {model} has two rows: both get the same {name}, which is unique"
            );
            self.fails_with(step, message, "take `unique` away before the field is removed");
        }
    }

    fn field_altered(&mut self, step: &Step<'_>, model: &str, name: &str, new: &Field) {
        let Some(known) = step.field(model, name) else { return };
        if !step.is_older_table(model)
            || known.is_new
            || known.field.is_many_to_many()
            || new.is_many_to_many()
        {
            return;
        }
        let old = &known.field;
        let field = format!("{model}.{name}");
        let (column, renamed) = (known.column_as(name), column(new, name));
        if column != renamed {
            self.renamed(step, &format!("the column {column} of {model}"), &renamed);
        }
        self.narrowed(step, &field, old, new);
        match (old.null, new.null) {
            (Some(true), Some(false)) => {
                let message = format!("older code may still write NULL into {field}");
                self.report(&rules::NOT_NULL, step, message, "let the code write a value a release before");
            }
            (Some(false), Some(true)) if columns::fills_rows(old) == Some(false) => {
                let message = format!("going back fails once {field} has a NULL");
                self.fails_with(step, message, "fill such rows before a rollback");
            }
            _ => {}
        }
        match (old.unique, new.unique) {
            (Some(false), Some(true)) => {
                self.unique_added(step, &field);
                self.blocks_writes(step, model);
            }
            (Some(true), Some(false)) => {
                let message = format!("going back fails once two rows have the same {field}");
                self.fails_with(step, message, "remove such rows before a rollback");
            }
            _ if old.db_index == Some(false) && new.db_index == Some(true) => self.blocks_writes(step, model),
            _ => {}
        }
        if columns::is_rewritten(old, new) {
            self.rewrites(step, &format!("the type of {field} changes"));
        }
    }

    /// What the new type takes less of than the old one, and the old one less of than the new one.
    fn narrowed(&mut self, step: &Step<'_>, field: &str, old: &Field, new: &Field) {
        // SQLite enforces no lengths.
        if self.range.database == Some(Vendor::Sqlite) {
            return;
        }
        if let Some(how) = columns::narrowed(old, new) {
            let message = format!("{field} takes {how}: older code may write more");
            self.report(&rules::NARROWED, step, message, "let the code write less a release before");
        }
        let Some(how) = columns::narrowed(new, old) else { return };
        if new.class == "TextField" {
            let message = format!("going back cuts off what does not fit into {field}: {how}");
            self.report(&rules::LOSES_DATA, step, message, "shorten such values before a rollback");
        } else {
            let message = format!(
                "going back fails once {field} has a value that the older column does not take: {how}"
            );
            self.fails_with(step, message, "change such values before a rollback");
        }
    }

    fn field_renamed(&mut self, step: &Step<'_>, model: &str, old: &str, new: &str) {
        let Some(known) = step.field(model, old) else { return };
        let (column, renamed) = (known.column_as(old), known.column_as(new));
        if step.is_older_table(model) && !known.is_new && !known.field.is_many_to_many() && column != renamed
        {
            self.renamed(step, &format!("the column {column} of {model}"), &renamed);
        }
    }

    /// A table gets another name, or its former one back.
    fn table_renamed(&mut self, step: &Step<'_>, model: &Model, name: &str, after: &str) {
        let before = model.table_as(step.app(), name);
        let older = model.older_table.as_ref().unwrap_or(&before);
        let what = format!("the table {older}");
        if !model.is_older_table() {
            return;
        }
        let is_about_it = |finding: &Finding| {
            finding.rule == &rules::RENAMED && finding.message.contains(&format!("{what},"))
        };
        self.found.retain(|finding| !is_about_it(finding));
        if older != after {
            self.renamed(step, &what, after);
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

    fn renamed(&mut self, step: &Step<'_>, old: &str, new: &str) {
        let message = format!("older code still uses {old}, which becomes {new}");
        self.report(&rules::RENAMED, step, message, "keep the name in the database: `db_column`, `db_table`");
    }

    fn unique_added(&mut self, step: &Step<'_>, what: &str) {
        let message = format!("older code may write what {what} no longer allows");
        self.report(&rules::UNIQUE_ADDED, step, message, "let the code keep to it a release before");
    }

    fn blocks_writes(&mut self, step: &Step<'_>, model: &str) {
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

    fn rewrites(&mut self, step: &Step<'_>, why: &str) {
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
    fn fails_with(&mut self, step: &Step<'_>, message: String, hint: &str) {
        self.report(&rules::REVERSE_FAILS, step, message, hint);
        if let Some(Finding { level, .. }) = self.found.last_mut() {
            *level = Level::Warning;
        }
    }

    fn report(&mut self, rule: &'static Rule, step: &Step<'_>, message: String, hint: &str) {
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
