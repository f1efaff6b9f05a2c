//! Model fields: what their arguments say.

use crate::compare::truth;
use crate::facts::{DatabaseDefault, Field};
use crate::reader::Reader;
use crate::value::{Instance, Spanned, Value};

/// Fields that are unique by default.
const UNIQUE: &[&str] = &["OneToOneField", "AutoField", "BigAutoField", "SmallAutoField"];

/// Fields that have an index by default.
const INDEXED: &[&str] = &["ForeignKey", "OneToOneField", "SlugField"];

impl<'a> Reader<'_, 'a, '_> {
    /// A value as a field. `None` if it is not one.
    pub(crate) fn field(&mut self, value: &Spanned<'a>) -> Option<Field> {
        let Value::Instance(instance) = &value.value else { return None };
        let (class, path) = self.class_of(&instance.callee);
        let class = class?;
        let is_django = path.is_some_and(|path| path.starts_with("django."));
        let unsure = self.is_made_its_own_way(&instance.callee);
        let known_unless = |usual: bool| (!unsure).then_some(usual);
        let known = &instance.arguments;
        let relation =
            known.positional.first().filter(|_| class.ends_with("Key") || class.ends_with("Field"));
        let to = known.named("to").or(relation).and_then(|to| model_name(to));
        let unique_by_kind = UNIQUE.contains(&class.as_str());
        let primary_key = self.flag(instance, "primary_key", known_unless(class.ends_with("AutoField")));
        let unique = match (self.flag(instance, "unique", known_unless(unique_by_kind)), primary_key) {
            (_, Some(true)) => Some(true),
            (unique, _) => unique,
        };
        Some(Field {
            null: self.flag(instance, "null", known_unless(class == "NullBooleanField")),
            blank: self.flag(instance, "blank", known_unless(false)),
            default: self.default(instance).filter(|given| *given || !unsure),
            db_default: self.database_default(instance),
            unique,
            primary_key,
            db_index: self.flag(instance, "db_index", known_unless(INDEXED.contains(&class.as_str()))),
            max_length: int(known.named("max_length")).or_else(|| usual_length(&class, instance)),
            digits: int(known.named("max_digits")).zip(int(known.named("decimal_places"))),
            column: known.named("db_column").and_then(|column| column.str()).map(str::to_owned),
            table: known.named("db_table").and_then(|table| table.str()).map(str::to_owned),
            has_through: known.named("through").is_some_and(|through| !matches!(through.value, Value::None)),
            to,
            is_constrained: self.flag(instance, "db_constraint", known_unless(true)),
            auto_now: ["auto_now", "auto_now_add"]
                .iter()
                .any(|name| self.flag(instance, name, known_unless(false)) == Some(true)),
            is_stored: known.named("db_persist").and_then(|persist| truth(&persist.value)),
            is_whole: known.missing.is_none(),
            span: self.span(value),
            is_django,
            class,
        })
    }

    /// Whether a class of the project may pass other arguments to its base than it gets.
    fn is_made_its_own_way(&mut self, callee: &Spanned<'a>) -> bool {
        let callee = self.interpreter.concrete(callee.clone());
        let order = self.interpreter.resolution_order(&callee.value).unwrap_or_default();
        order.iter().any(|class| match class.value {
            Value::Class(id) => self.interpreter.classes[id].scope.contains_key("__init__"),
            _ => false,
        })
    }

    fn flag(&mut self, instance: &Instance<'a>, name: &str, usual: Option<bool>) -> Option<bool> {
        match instance.arguments.named(name) {
            Some(given) => truth(&self.interpreter.concrete(given.clone()).value),
            None => usual.filter(|_| instance.arguments.missing.is_none()),
        }
    }

    fn default(&mut self, instance: &Instance<'a>) -> Option<bool> {
        match instance.arguments.named("default") {
            Some(Spanned { value: Value::Name(path), .. }) if path.ends_with("NOT_PROVIDED") => Some(false),
            Some(Spanned { value: Value::None, .. }) => Some(false),
            Some(_) => Some(true),
            None => instance.arguments.missing.is_none().then_some(false),
        }
    }

    fn database_default(&mut self, instance: &Instance<'a>) -> DatabaseDefault {
        match instance.arguments.named("db_default") {
            None if instance.arguments.missing.is_none() => DatabaseDefault::Missing,
            None => DatabaseDefault::Unknown,
            Some(given) => match &given.value {
                Value::Name(path) if path.ends_with("NOT_PROVIDED") => DatabaseDefault::Missing,
                Value::None | Value::Bool(_) | Value::Int(_) | Value::Str(_) => DatabaseDefault::Constant,
                Value::Instance(made) => self.expression_default(made),
                _ => DatabaseDefault::Unknown,
            },
        }
    }

    /// `Value(1)` and `Now()` are the same for every row of a statement, so PostgreSQL does not rewrite the table.
    fn expression_default(&mut self, made: &Instance<'a>) -> DatabaseDefault {
        match self.class_of(&made.callee).0.as_deref() {
            Some("Value" | "Now" | "TransactionNow") => DatabaseDefault::Constant,
            Some(_) => DatabaseDefault::Expression,
            None => DatabaseDefault::Unknown,
        }
    }
}

/// The lengths that Django gives fields without `max_length`.
fn usual_length(class: &str, instance: &Instance<'_>) -> Option<i64> {
    match class {
        _ if instance.arguments.named("max_length").is_some() => None,
        "SlugField" => Some(50),
        "EmailField" => Some(254),
        "URLField" => Some(200),
        "FileField" | "ImageField" | "FilePathField" => Some(100),
        _ => None,
    }
}

fn int(value: Option<&Spanned<'_>>) -> Option<i64> {
    match value?.value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

/// The model that a relation names.
fn model_name(value: &Spanned<'_>) -> Option<String> {
    match &value.value {
        Value::Str(text) => Some(text.to_string()),
        Value::Name(path) | Value::Setting { path, .. } => {
            path.strip_prefix("django.conf.").map(str::to_owned)
        }
        _ => None,
    }
}
