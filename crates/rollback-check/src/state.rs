//! The models as the migrations before an operation have made them: as much as rules about columns need.

use std::collections::BTreeMap;

use rollback_source::facts::{Action, Field, Operation};

/// The models of all apps, by app label and the name in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    models: BTreeMap<(String, String), Model>,
}

/// One model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Its fields by their names in lower case; one that is not known is missing.
    pub(crate) fields: BTreeMap<String, Known>,
    /// Its table where it is not Django's own name for it.
    pub(crate) table: Option<String>,
    /// Whether it has a table.
    pub(crate) has_table: bool,
    /// The sets of `unique_together`.
    pub(crate) unique_together: Vec<Vec<String>>,
    /// Its constraints by name, with their classes, as far as migrations of their own have added them.
    pub(crate) constraints: BTreeMap<String, String>,
    /// Whether rows have an order of their own.
    pub(crate) is_ordered: bool,
    /// Whether the newer release makes it.
    pub(crate) is_new: bool,
    /// The table that the older release knows it by, where the newer one has changed that.
    pub(crate) older_table: Option<String>,
}

/// A field of a model.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) field: Field,
    /// Whether the newer release makes it.
    pub(crate) is_new: bool,
    /// The column that the older release knows it by, where the newer one has changed that.
    pub(crate) older_column: Option<String>,
}

impl Models {
    /// A model, whatever the case of its name.
    pub(crate) fn get(&self, app: &str, model: &str) -> Option<&Model> {
        self.models.get(&key(app, model))
    }

    /// A field of a model.
    pub(crate) fn field(&self, app: &str, model: &str, name: &str) -> Option<&Known> {
        self.get(app, model)?.fields.get(&name.to_lowercase())
    }

    /// Changes the models as the operation does; `is_new` where the newer release brings it.
    pub(crate) fn apply(&mut self, app: &str, operation: &Operation, is_new: bool) {
        match &operation.action {
            Action::CreateModel { name, fields, table, has_table, unique_together, is_ordered } => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| (name.to_lowercase(), Known::new(field, is_new)))
                    .collect();
                let has_table = has_table.unwrap_or(true);
                let (table, unique_together) = (table.clone(), unique_together.clone());
                let is_ordered = *is_ordered;
                let model = Model {
                    fields,
                    table,
                    has_table,
                    is_new,
                    unique_together,
                    is_ordered,
                    ..Model::default()
                };
                self.models.insert(key(app, name), model);
            }
            Action::DeleteModel { name } => {
                self.models.remove(&key(app, name));
            }
            Action::RenameModel { old, new } => {
                if let Some(mut model) = self.models.remove(&key(app, old)) {
                    model.leave_table(is_new, app, old);
                    self.models.insert(key(app, new), model);
                }
            }
            Action::AlterModelTable { name, table } => {
                let model = self.model(app, name);
                model.leave_table(is_new, app, name);
                model.table.clone_from(table);
            }
            Action::AlterUniqueTogether { name, sets } => {
                self.model(app, name).unique_together = sets.clone().unwrap_or_default();
            }
            Action::AddField { model, name, field } => {
                let known = Known::new(field, is_new);
                self.model(app, model).fields.insert(name.to_lowercase(), known);
            }
            Action::AlterField { model, name, field } => {
                let fields = &mut self.model(app, model).fields;
                let before = fields.remove(&name.to_lowercase());
                let mut known = Known::new(field, before.as_ref().is_some_and(|known| known.is_new));
                if let Some(mut before) = before {
                    before.leave_column(is_new, name);
                    known.older_column = before.older_column;
                }
                fields.insert(name.to_lowercase(), known);
            }
            Action::AlterOrder { model, is_ordered } => self.model(app, model).is_ordered = *is_ordered,
            Action::AddConstraint { model, class, name: Some(name) } => {
                self.model(app, model).constraints.insert(name.clone(), class.clone());
            }
            Action::RemoveConstraint { model, name } => {
                self.model(app, model).constraints.remove(name);
            }
            Action::RemoveField { model, name } => {
                self.model(app, model).fields.remove(&name.to_lowercase());
            }
            Action::RenameField { model, old, new } => {
                let fields = &mut self.model(app, model).fields;
                if let Some(mut known) = fields.remove(&old.to_lowercase()) {
                    known.leave_column(is_new, old);
                    fields.insert(new.to_lowercase(), known);
                }
            }
            Action::Separate { state, .. } => {
                for operation in state {
                    self.apply(app, operation, is_new);
                }
            }
            _ => {}
        }
    }

    fn model(&mut self, app: &str, name: &str) -> &mut Model {
        let unseen = || Model { has_table: true, ..Model::default() };
        self.models.entry(key(app, name)).or_insert_with(unseen)
    }
}

impl Model {
    /// The table that it has under this name.
    pub(crate) fn table_as(&self, app: &str, name: &str) -> String {
        self.table.clone().unwrap_or_else(|| format!("{app}_{}", name.to_lowercase()))
    }

    fn leave_table(&mut self, is_new: bool, app: &str, name: &str) {
        if is_new && self.older_table.is_none() {
            self.older_table = Some(self.table_as(app, name));
        }
    }

    /// Whether a change of it is one of a table that the older release has.
    pub(crate) fn is_older_table(&self) -> bool {
        self.has_table && !self.is_new
    }
}

impl Known {
    fn new(field: &Field, is_new: bool) -> Self {
        Self { field: field.clone(), is_new, older_column: None }
    }

    fn leave_column(&mut self, is_new: bool, name: &str) {
        if is_new && self.older_column.is_none() {
            self.older_column = Some(self.column_as(name));
        }
    }

    /// The column that the field has under this name.
    pub(crate) fn column_as(&self, name: &str) -> String {
        column(&self.field, name)
    }
}

/// The column of a field of this name.
pub(crate) fn column(field: &Field, name: &str) -> String {
    let usual = || if field.is_foreign_key() { format!("{name}_id") } else { name.to_owned() };
    field.column.clone().unwrap_or_else(usual)
}

fn key(app: &str, model: &str) -> (String, String) {
    (app.to_owned(), model.to_lowercase())
}
