//! The models as they are before an operation: as much of them as the rules about columns need.

use std::collections::BTreeMap;

use rollback_source::facts::{Action, Field, Operation};

/// The models of all apps, by app label and lower-case name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models<'f> {
    models: BTreeMap<Key, Model<'f>>,
}

/// One model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model<'f> {
    /// Its fields by lower-case name. Unknown fields are missing.
    pub(crate) fields: BTreeMap<String, Known<'f>>,
    /// Its `db_table`; `None` for Django's default name.
    pub(crate) table: Option<String>,
    /// Whether it has a table.
    pub(crate) has_table: bool,
    /// Whether it is a proxy of another one.
    pub(crate) is_proxy: bool,
    /// Whether it was added to the state only: its table existed before, usually under another model's name.
    pub(crate) is_adopted: bool,
    /// The sets of `unique_together`.
    pub(crate) unique_together: Vec<Vec<String>>,
    /// The sets of `index_together`.
    pub(crate) index_together: Vec<Vec<String>>,
    /// The classes of its constraints by name, as far as they are known.
    pub(crate) constraints: BTreeMap<String, String>,
    /// Whether it has `order_with_respect_to`.
    pub(crate) is_ordered: bool,
    /// Whether a new migration creates it.
    pub(crate) is_new: bool,
    /// The table that the older code uses for it, if a new migration renames that.
    pub(crate) older_table: Option<String>,
}

/// A field of a model.
#[derive(Clone, Debug)]
pub(crate) struct Known<'f> {
    pub(crate) field: &'f Field,
    /// Whether a new migration adds it.
    pub(crate) is_new: bool,
    /// The column that the older code uses for it, if a new migration renames that.
    pub(crate) older_column: Option<String>,
    /// The model that a relation refers to.
    pub(crate) to: Option<Key>,
}

type Key = (String, String);

impl<'f> Models<'f> {
    /// A model; the case of its name does not matter.
    pub(crate) fn get(&self, app: &str, model: &str) -> Option<&Model<'f>> {
        self.models.get(&key(app, model))
    }

    /// A field of a model.
    pub(crate) fn field(&self, app: &str, model: &str, name: &str) -> Option<&Known<'f>> {
        self.get(app, model)?.fields.get(&name.to_lowercase())
    }

    /// Applies an operation to the models. `is_new` says whether a new migration has it.
    pub(crate) fn apply(&mut self, app: &str, operation: &'f Operation, is_new: bool) {
        match &operation.action {
            Action::CreateModel { name, .. } => {
                self.models.insert(key(app, name), Model::made(app, &operation.action, is_new));
            }
            Action::DeleteModel { name } => {
                self.models.remove(&key(app, name));
            }
            Action::RenameModel { old, new } => {
                if let Some(mut model) = self.models.remove(&key(app, old)) {
                    model.remember_table(is_new, app, old);
                    self.models.insert(key(app, new), model);
                    self.redirect_relations(&key(app, old), &key(app, new));
                }
            }
            Action::Separate { database, state } => {
                for operation in state {
                    let adopts = !database.iter().any(|made| may_make(made, operation));
                    self.apply(app, operation, is_new);
                    if let (Action::CreateModel { name, .. }, true) = (&operation.action, adopts) {
                        self.model(app, name).adopt();
                    }
                }
            }
            Action::RunSql { state, .. } => {
                for operation in state {
                    self.apply(app, operation, is_new);
                }
            }
            action => self.change_model(app, action, is_new),
        }
    }

    /// Applies a change of a model's options, constraints or fields.
    fn change_model(&mut self, app: &str, action: &'f Action, is_new: bool) {
        match action {
            Action::AlterModelTable { name, table } => {
                let model = self.model(app, name);
                model.remember_table(is_new, app, name);
                model.table.clone_from(table);
            }
            Action::AlterUniqueTogether { name, sets } => {
                self.model(app, name).unique_together = sets.clone().unwrap_or_default();
            }
            Action::AlterIndexTogether { name, sets } => {
                self.model(app, name).index_together = sets.clone().unwrap_or_default();
            }
            Action::AlterOptions { name, is_managed: Some(is_managed) } => {
                let model = self.model(app, name);
                model.has_table = *is_managed && !model.is_proxy;
            }
            Action::AlterOrder { model, is_ordered } => self.model(app, model).is_ordered = *is_ordered,
            Action::AddConstraint { model, class, name: Some(name) } => {
                self.model(app, model).constraints.insert(name.clone(), class.clone());
            }
            Action::RemoveConstraint { model, name } => {
                self.model(app, model).constraints.remove(name);
            }
            action => self.change_field(app, action, is_new),
        }
    }

    fn change_field(&mut self, app: &str, action: &'f Action, is_new: bool) {
        match action {
            Action::AddField { model, name, field } => {
                let known = Known::new(&key(app, model), field, is_new);
                self.model(app, model).fields.insert(name.to_lowercase(), known);
            }
            Action::AlterField { model, name, field } => {
                let fields = &mut self.model(app, model).fields;
                let before = fields.remove(&name.to_lowercase());
                let was_new = before.as_ref().is_some_and(|known| known.is_new);
                let mut known = Known::new(&key(app, model), field, was_new);
                if let Some(mut before) = before {
                    before.remember_column(is_new, name);
                    known.older_column = before.older_column;
                }
                fields.insert(name.to_lowercase(), known);
            }
            Action::RemoveField { model, name } => {
                self.model(app, model).fields.remove(&name.to_lowercase());
            }
            Action::RenameField { model, old, new } => {
                let fields = &mut self.model(app, model).fields;
                if let Some(mut known) = fields.remove(&old.to_lowercase()) {
                    known.remember_column(is_new, old);
                    fields.insert(new.to_lowercase(), known);
                }
            }
            _ => {}
        }
    }

    /// Makes relations to a renamed model refer to its new name.
    fn redirect_relations(&mut self, old: &Key, new: &Key) {
        let fields = self.models.values_mut().flat_map(|model| model.fields.values_mut());
        for known in fields.filter(|known| known.to.as_ref() == Some(old)) {
            known.to = Some(new.clone());
        }
    }

    /// The model that a relation refers to.
    pub(crate) fn target_of(&self, known: &Known<'_>) -> Option<(&Key, &Model<'f>)> {
        self.models.get_key_value(known.to.as_ref()?)
    }

    fn model(&mut self, app: &str, name: &str) -> &mut Model<'f> {
        let unseen = || Model { has_table: true, ..Model::default() };
        self.models.entry(key(app, name)).or_insert_with(unseen)
    }
}

impl<'f> Model<'f> {
    /// The model that `CreateModel` creates.
    fn made(app: &str, action: &'f Action, is_new: bool) -> Self {
        let Action::CreateModel {
            name,
            fields,
            table,
            unique_together,
            index_together,
            constraints,
            is_ordered,
            has_table,
            is_proxy,
        } = action
        else {
            return Self::default();
        };
        let model = key(app, name);
        let known =
            |(name, field): &'f (String, Field)| (name.to_lowercase(), Known::new(&model, field, is_new));
        Self {
            fields: fields.iter().map(known).collect(),
            table: table.clone(),
            has_table: has_table.unwrap_or(true),
            is_proxy: *is_proxy,
            unique_together: unique_together.clone(),
            index_together: index_together.clone(),
            constraints: constraints.iter().cloned().collect(),
            is_ordered: *is_ordered,
            is_new,
            ..Self::default()
        }
    }

    /// Notes that its table existed before.
    fn adopt(&mut self) {
        (self.is_adopted, self.is_new) = (true, false);
        self.fields.values_mut().for_each(|known| known.is_new = false);
    }

    /// The table that it has under this name.
    pub(crate) fn table_as(&self, app: &str, name: &str) -> String {
        self.table.clone().unwrap_or_else(|| format!("{app}_{}", name.to_lowercase()))
    }

    fn remember_table(&mut self, is_new: bool, app: &str, name: &str) {
        if is_new && self.older_table.is_none() {
            self.older_table = Some(self.table_as(app, name));
        }
    }

    /// Whether its table is one that the older code uses.
    pub(crate) fn is_older_table(&self) -> bool {
        self.has_table && !self.is_new
    }
}

impl<'f> Known<'f> {
    pub(crate) fn new(model: &Key, field: &'f Field, is_new: bool) -> Self {
        let to = field.to.as_deref().and_then(|to| match to.split_once('.') {
            Some(("settings", _)) => None,
            Some((app, name)) => Some(key(app, name)),
            None if to == "self" => Some(model.clone()),
            None => Some(key(&model.0, to)),
        });
        Self { field, is_new, older_column: None, to }
    }

    fn remember_column(&mut self, is_new: bool, name: &str) {
        if is_new && self.older_column.is_none() {
            self.older_column = Some(self.column_as(name));
        }
    }

    /// The column that the field has under this name.
    pub(crate) fn column_as(&self, name: &str) -> String {
        column(self.field, name)
    }
}

/// The column of a field of this name.
pub(crate) fn column(field: &Field, name: &str) -> String {
    let usual = || if field.is_foreign_key() { format!("{name}_id") } else { name.to_owned() };
    field.column.clone().unwrap_or_else(usual)
}

/// Whether an operation on the database may create the table of a model that is added to the state.
fn may_make(operation: &Operation, state: &Operation) -> bool {
    match (&operation.action, &state.action) {
        (Action::CreateModel { name, .. }, Action::CreateModel { name: made, .. }) => {
            name.eq_ignore_ascii_case(made)
        }
        (Action::Separate { database, .. }, _) => database.iter().any(|inner| may_make(inner, state)),
        (Action::RunPython { .. } | Action::RunSql { .. } | Action::Custom | Action::Unknown, _) => true,
        _ => false,
    }
}

pub(crate) fn key(app: &str, model: &str) -> Key {
    (app.to_owned(), model.to_lowercase())
}
