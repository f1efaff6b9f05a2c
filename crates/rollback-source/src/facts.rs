//! Facts about a migration file, with their places in the text.

use std::ops::Range;

use rollback_core::MigrationId;

/// A range of a file's text, in bytes.
pub type Span = Range<usize>;

/// The facts about one migration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationSource {
    /// The place of the name of the class `Migration`. `None` if the module has none; Django refuses such a migration.
    pub class: Option<Span>,
    /// `Migration.dependencies`.
    pub dependencies: Vec<Reference>,
    /// `Migration.run_before`.
    pub run_before: Vec<Reference>,
    /// `Migration.replaces`: what a squash replaces.
    pub replaces: Vec<Reference>,
    /// `Migration.initial`, if it is set.
    pub initial: Option<bool>,
    /// `Migration.atomic`, and where it is set.
    pub atomic: (bool, Span),
    /// `Migration.operations`, in order.
    pub operations: Vec<Operation>,
    /// Methods of Django's class that this one overrides, such as `apply`: what they do is unknown.
    pub overrides: Vec<(String, Span)>,
    /// The imports of the module, anywhere in the file.
    pub imports: Vec<Import>,
    /// What the text does not determine.
    pub unknown: Vec<Unknown>,
}

impl MigrationSource {
    /// Whether Django's loader may see something else than these facts.
    pub fn is_unknown(&self) -> bool {
        self.unknown.iter().any(|unknown| unknown.what.is_structural())
            || self
                .operations
                .iter()
                .any(|operation| operation.reversible.is_none() || operation.elidable.is_none())
    }

    /// Frees unused memory of its lists: a repository has thousands of these.
    pub(crate) fn shrink_to_fit(&mut self) {
        for references in [&mut self.dependencies, &mut self.run_before, &mut self.replaces] {
            references.shrink_to_fit();
        }
        self.operations.iter_mut().for_each(Operation::shrink_to_fit);
        self.operations.shrink_to_fit();
        self.imports.shrink_to_fit();
    }

    /// All operations, also those inside others.
    pub fn all_operations(&self) -> Vec<&Operation> {
        let mut all = Vec::new();
        for operation in &self.operations {
            operation.collect(&mut all);
        }
        all
    }
}

/// A reference to another migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The migration.
    pub target: Target,
    /// Its place in the text.
    pub span: Span,
}

/// How one migration names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By app label and name; the name may be `__first__` or `__latest__`.
    Migration(MigrationId),
    /// `swappable_dependency`: the first migration of the app that a setting names.
    Swappable {
        /// The setting: `AUTH_USER_MODEL`.
        setting: String,
        /// The default if the setting is missing, if the file gives one.
        default: Option<String>,
    },
}

/// One imported name or module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module's dotted path; it starts with dots if it is relative.
    pub module: String,
    /// The name that is imported from it. `None` for `import module`.
    pub name: Option<String>,
    /// Its place in the text.
    pub span: Span,
}

/// Something that the text does not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What is unknown.
    pub what: What,
    /// Why, as the end of a sentence that starts with "it": `depends on the database`.
    pub reason: String,
    /// The place in the text.
    pub span: Span,
}

/// What is unknown about a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// All of it.
    Migration,
    /// Some of `dependencies`.
    Dependencies,
    /// Some of `run_before`.
    RunBefore,
    /// Some of `replaces`.
    Replaces,
    /// `initial`.
    Initial,
    /// `atomic`.
    Atomic,
    /// Some of `operations`.
    Operations,
    /// An argument of an operation.
    Argument,
}

impl What {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Migration => "migration",
            Self::Dependencies => "dependencies",
            Self::RunBefore => "run_before",
            Self::Replaces => "replaces",
            Self::Initial => "initial",
            Self::Atomic => "atomic",
            Self::Operations => "operations",
            Self::Argument => "argument",
        }
    }

    /// Whether the graph or the list of operations depends on it.
    pub fn is_structural(self) -> bool {
        !matches!(self, Self::Argument | Self::Initial)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The name of its class.
    pub class: String,
    /// Its place in the text, from its class to the closing parenthesis.
    pub span: Span,
    /// What it does.
    pub action: Action,
    /// Django's `operation.reversible`. `None` if it is unknown.
    pub reversible: Option<bool>,
    /// Whether a squash may leave it out. `None` if that is unknown.
    pub elidable: Option<bool>,
}

impl Operation {
    /// The operations inside it that change the database. Most have none.
    pub fn database_operations(&self) -> &[Operation] {
        match &self.action {
            Action::Separate { database, .. } => database,
            _ => &[],
        }
    }

    fn shrink_to_fit(&mut self) {
        match &mut self.action {
            Action::CreateModel { fields, .. } => fields.shrink_to_fit(),
            Action::Separate { database, state } => {
                for operations in [database, state] {
                    operations.iter_mut().for_each(Self::shrink_to_fit);
                    operations.shrink_to_fit();
                }
            }
            _ => {}
        }
    }

    fn collect<'o>(&'o self, all: &mut Vec<&'o Operation>) {
        all.push(self);
        if let Action::Separate { database, state } = &self.action {
            for inner in database.iter().chain(state) {
                inner.collect(all);
            }
        }
    }
}

/// What an operation does. Names are as written: Django compares those of models without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `CreateModel`.
    CreateModel {
        /// The model.
        name: String,
        /// Its fields.
        fields: Vec<(String, Field)>,
        /// `options["db_table"]`.
        table: Option<String>,
        /// `options["unique_together"]`.
        unique_together: Vec<Vec<String>>,
        /// `options["index_together"]`.
        index_together: Vec<Vec<String>>,
        /// `options["constraints"]`: name and class of each, as far as they are known.
        constraints: Vec<(String, String)>,
        /// Whether it has `order_with_respect_to`, and so the column `_order`.
        is_ordered: bool,
        /// Whether it has a table: proxies and unmanaged models have none. `None` if that is unknown.
        has_table: Option<bool>,
        /// Whether it is certainly a proxy.
        is_proxy: bool,
    },
    /// `DeleteModel`.
    DeleteModel {
        /// The model.
        name: String,
    },
    /// `RenameModel`.
    RenameModel {
        /// The former name.
        old: String,
        /// The new one.
        new: String,
    },
    /// `AlterModelTable`.
    AlterModelTable {
        /// The model.
        name: String,
        /// The table. `None` for Django's default name.
        table: Option<String>,
    },
    /// `AlterUniqueTogether`.
    AlterUniqueTogether {
        /// The model.
        name: String,
        /// The sets of fields. `None` if they are unknown.
        sets: Option<Vec<Vec<String>>>,
    },
    /// `AlterIndexTogether`.
    AlterIndexTogether {
        /// The model.
        name: String,
        /// The sets of fields. `None` if they are unknown.
        sets: Option<Vec<Vec<String>>>,
    },
    /// `AlterModelOptions`.
    AlterOptions {
        /// The model.
        name: String,
        /// `options["managed"]`. `None` if it is unknown.
        is_managed: Option<bool>,
    },
    /// `AddField`.
    AddField {
        /// The model.
        model: String,
        /// The field's name.
        name: String,
        /// The field.
        field: Field,
    },
    /// `RemoveField`.
    RemoveField {
        /// The model.
        model: String,
        /// The field's name.
        name: String,
    },
    /// `AlterField`.
    AlterField {
        /// The model.
        model: String,
        /// The field's name.
        name: String,
        /// The field afterwards.
        field: Field,
    },
    /// `RenameField`.
    RenameField {
        /// The model.
        model: String,
        /// The former name.
        old: String,
        /// The new one.
        new: String,
    },
    /// `AddIndex`, and `AddIndexConcurrently`.
    AddIndex {
        /// The model.
        model: String,
        /// Whether writes continue meanwhile.
        concurrently: bool,
    },
    /// `AddConstraint`, and `AddConstraintNotValid`.
    AddConstraint {
        /// The model.
        model: String,
        /// The class of the constraint: `UniqueConstraint`.
        class: String,
        /// Its name, if it is known.
        name: Option<String>,
    },
    /// `RemoveConstraint`.
    RemoveConstraint {
        /// The model.
        model: String,
        /// The constraint's name.
        name: String,
    },
    /// `AlterOrderWithRespectTo`.
    AlterOrder {
        /// The model.
        model: String,
        /// Whether the model has the column `_order` afterwards.
        is_ordered: bool,
    },
    /// `RunPython`.
    RunPython {
        /// The function's name, or `<lambda>`.
        code: String,
        /// The function that undoes it.
        reverse: Reverse,
    },
    /// `RunSQL`.
    RunSql {
        /// Whether it is `noop`, or has no statement.
        does_nothing: bool,
        /// What undoes it.
        reverse: Reverse,
        /// What it does to the state of the models.
        state: Vec<Operation>,
    },
    /// `SeparateDatabaseAndState`.
    Separate {
        /// What is done to the database.
        database: Vec<Operation>,
        /// What is done to the state of the models.
        state: Vec<Operation>,
    },
    /// Another operation of Django, which loses no data and breaks no code: options, removed indexes.
    Other {
        /// The model, if it has one.
        model: Option<String>,
    },
    /// A class of the project or of another package.
    Custom,
    /// An operation of Django with unknown arguments.
    Unknown,
}

/// What undoes `RunPython` and `RunSQL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// Nothing: it cannot be undone.
    Missing,
    /// `noop` or no statement: undoing it does nothing.
    Noop,
    /// Something.
    Given,
    /// Unknown.
    Unknown,
}

/// A model's field. `None` means unknown, except for lengths and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name of its class.
    pub class: String,
    /// Whether the class is Django's own.
    pub is_django: bool,
    /// Its place in the text.
    pub span: Span,
    /// `null`.
    pub null: Option<bool>,
    /// `blank`.
    pub blank: Option<bool>,
    /// Whether there is a `default`.
    pub default: Option<bool>,
    /// `db_default`.
    pub db_default: DatabaseDefault,
    /// Whether it is unique, by `unique` or otherwise.
    pub unique: Option<bool>,
    /// `primary_key`.
    pub primary_key: Option<bool>,
    /// `db_index`.
    pub db_index: Option<bool>,
    /// `max_length`.
    pub max_length: Option<i64>,
    /// `max_digits` and `decimal_places`.
    pub digits: Option<(i64, i64)>,
    /// `db_column`.
    pub column: Option<String>,
    /// `db_table` of a many-to-many relation.
    pub table: Option<String>,
    /// Whether a many-to-many relation has a model for its table: `through`.
    pub has_through: bool,
    /// The model that a relation refers to, as written.
    pub to: Option<String>,
    /// Whether the database enforces a relation: `db_constraint`.
    pub is_constrained: Option<bool>,
    /// `auto_now` or `auto_now_add`: Django sets its value.
    pub auto_now: bool,
    /// Whether the database stores what it computes. `None` if that is unknown, or if it computes nothing.
    pub is_stored: Option<bool>,
    /// Whether all arguments are known.
    pub is_whole: bool,
}

/// A field's `db_default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseDefault {
    /// There is none.
    Missing,
    /// It has the same value for every row, so the table is not rewritten.
    Constant,
    /// An expression that may differ between rows.
    Expression,
    /// Unknown.
    Unknown,
}

impl Field {
    /// Whether it is a many-to-many relation, which has a table instead of a column.
    pub fn is_many_to_many(&self) -> bool {
        self.class.ends_with("ManyToManyField") || self.class == "TaggableManager"
    }

    /// Whether Django creates the table of a many-to-many relation, because there is no `through` model.
    pub fn has_own_table(&self) -> bool {
        !self.has_through && self.class != "TaggableManager"
    }

    /// Whether it has a column or a table. A composite primary key has none.
    pub fn is_in_database(&self) -> bool {
        self.class != "CompositePrimaryKey" && (!self.is_many_to_many() || self.has_own_table())
    }

    /// Whether the database computes it.
    pub fn is_generated(&self) -> bool {
        self.class == "GeneratedField"
    }

    /// Whether it is a foreign key, including one-to-one.
    pub fn is_foreign_key(&self) -> bool {
        matches!(self.class.as_str(), "ForeignKey" | "OneToOneField" | "ParentalKey" | "TreeForeignKey")
    }
}
