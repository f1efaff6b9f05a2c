//! Operations: which of Django's they are, what they do, and whether they can be undone.

use crate::facts::{Action, Operation, Reverse, Span, Unknown, What};
use crate::field::{Options, is_managed, options};
use crate::interpreter::Interpreter;
use crate::value::{Arguments, Instance, Scope, Spanned, Value, truth};

/// Turns values into facts.
pub(crate) struct Reader<'i, 'a, 'm> {
    pub(crate) interpreter: &'i mut Interpreter<'a, 'm>,
    pub(crate) unknown: Vec<Unknown>,
    /// How many operations may still be read: a list in itself can have more than any memory holds.
    pub(crate) left: u32,
    /// Where the value that is being read stands in the file itself: for what was written elsewhere.
    pub(crate) here: Span,
}

/// Where Django's operations come from.
const DJANGO: &[&str] = &["django.db.migrations.", "django.contrib.postgres.operations."];

impl<'a> Reader<'_, 'a, '_> {
    /// Where a value stands in the file.
    pub(crate) fn span(&self, value: &Spanned<'_>) -> Span {
        if value.origin.module == 0 { value.origin.start..value.origin.end } else { self.here.clone() }
    }

    /// Notes that something is not known.
    pub(crate) fn note(&mut self, what: What, reason: impl Into<String>, span: Span) {
        self.unknown.push(Unknown { what, reason: reason.into(), span });
    }

    /// The operations that a list has.
    pub(crate) fn operations(&mut self, list: &Spanned<'a>) -> Vec<Operation> {
        let list = self.interpreter.concrete(list.clone());
        let Some(items) = list.items().cloned() else {
            self.note(What::Operations, list.reason(), self.span(&list));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.operation(item)).collect()
    }

    fn operation(&mut self, value: &Spanned<'a>) -> Option<Operation> {
        let value = &self.interpreter.concrete(value.clone());
        let span = self.span(value);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.note(What::Operations, "has more operations than are followed", span);
            return None;
        }
        let Value::Instance(instance) = &value.value else {
            self.note(What::Operations, value.reason(), span);
            return None;
        };
        let outer = std::mem::replace(&mut self.here, span.clone());
        let operation = self.instance(instance, span.clone());
        self.here = outer;
        if operation.is_none() {
            self.note(What::Operations, value.reason(), span);
        }
        operation
    }

    fn instance(&mut self, instance: &Instance<'a>, span: Span) -> Option<Operation> {
        let (class, _) = self.class_of(&instance.callee);
        let class = class?;
        if self.is_made_unusually(&instance.callee) {
            return None;
        }
        let traced = match self.trace(&instance.callee, instance.arguments.clone()) {
            Ok(traced) => traced,
            Err(reason) => {
                self.note(What::Argument, reason, span.clone());
                let (action, elidable) = (Action::Custom, None);
                return Some(Operation { class, span, action, reversible: None, elidable });
            }
        };
        let (action, usual) = match &traced.django {
            Some(django) => self.django(django, &traced.arguments, &span),
            None => (Action::Custom, Some(true)),
        };
        let reversible = if traced.overrides.is_empty() { usual } else { self.overridden(&traced.overrides) };
        let elidable = self.is_elidable(&traced);
        self.explain(&traced, reversible, elidable, &span);
        let is_own = traced.is_own || (traced.django.is_none() && !is_django(&instance.callee));
        let keeps =
            matches!(action, Action::RunPython { .. } | Action::RunSql { .. } | Action::Separate { .. });
        let action = if is_own && !keeps { Action::Custom } else { action };
        Some(Operation { class, span, action, reversible, elidable })
    }

    /// Says why it is not known whether an operation can be undone or left out.
    fn explain(
        &mut self,
        traced: &Traced<'a>,
        reversible: Option<bool>,
        elidable: Option<bool>,
        span: &Span,
    ) {
        if (reversible.is_some() && elidable.is_some())
            || self.unknown.iter().any(|known| known.span == *span)
        {
            return;
        }
        let arguments = &traced.arguments;
        let reverse = ["reverse_code", "reverse_sql"].into_iter().find_map(|name| arguments.get(1, name));
        let value = match reversible {
            None => traced.overrides.first().or(reverse),
            Some(_) => traced.elidable.as_ref().or_else(|| arguments.named("elidable")),
        };
        let value = value.or(arguments.missing.as_ref()).cloned();
        let value = value.map(|value| self.interpreter.concrete(value));
        let reason = value.map_or_else(|| "is not written out".to_owned(), |value| value.reason());
        self.note(What::Argument, reason, span.clone());
    }

    /// Whether a class may give something else than an object of itself.
    fn is_made_unusually(&mut self, callee: &Spanned<'a>) -> bool {
        const HIDDEN: &[&str] = &["__new__", "__getattribute__", "__getattr__", "__init_subclass__"];
        let callee = self.interpreter.concrete(callee.clone());
        let order = self.interpreter.resolution_order(&callee.value).unwrap_or_default();
        order.iter().any(|class| match class.value {
            Value::Class(id) => {
                let class = &self.interpreter.classes[id];
                class.is_changed || HIDDEN.iter().any(|method| class.scope.contains_key(method))
            }
            _ => false,
        })
    }

    fn is_elidable(&mut self, traced: &Traced<'a>) -> Option<bool> {
        const PLACE: usize = 4;
        let takes_it = matches!(traced.django.as_deref(), Some("RunPython" | "RunSQL"));
        let given = traced.arguments.get(PLACE, "elidable").filter(|_| takes_it).or(traced.elidable.as_ref());
        match given.cloned() {
            Some(value) => truth(&self.interpreter.concrete(value).value),
            None => (!takes_it || traced.arguments.missing.is_none()).then_some(false),
        }
    }

    /// The name of a class, and its dotted path where it is imported.
    pub(crate) fn class_of(&mut self, callee: &Spanned<'a>) -> (Option<String>, Option<String>) {
        match &self.interpreter.concrete(callee.clone()).value {
            Value::Class(id) => (Some(self.interpreter.classes[*id].name.to_owned()), None),
            Value::Name(path) => {
                let name = path.rsplit('.').next().unwrap_or(path);
                let is_class = name.chars().next().is_some_and(char::is_uppercase);
                (is_class.then(|| name.to_owned()), Some(path.to_string()))
            }
            _ => (None, None),
        }
    }

    /// Follows a class to the one of Django that it is made from.
    fn trace(&mut self, callee: &Spanned<'a>, arguments: Arguments<'a>) -> Result<Traced<'a>, String> {
        let mut traced = Traced {
            django: None,
            arguments,
            overrides: Vec::new(),
            elidable: None,
            is_own: false,
            is_cut: false,
        };
        let class = self.interpreter.concrete(callee.clone());
        let order = match &class.value {
            Value::Class(id) => {
                let name = self.interpreter.classes[*id].name;
                let order = self.interpreter.resolution_order(&class.value);
                order.ok_or_else(|| format!("depends on {name}, whose bases are not followed"))?
            }
            _ => vec![class],
        };
        for class in order {
            match &class.value {
                Value::Class(id) => self.enter(*id, &mut traced)?,
                Value::Name(path) => match django_class(path) {
                    Some("Operation") => return Ok(traced),
                    Some(_) if traced.is_cut => {
                        return Err("has an __init__ that does not lead to that of its base".to_owned());
                    }
                    Some(django) => {
                        traced.django = Some(django.to_owned());
                        return Ok(traced);
                    }
                    None if path.starts_with("builtins.") => {}
                    None => return Err(format!("depends on {path}, which is not in this repository")),
                },
                _ => return Err(class.reason()),
            }
        }
        Err("is no operation of Django's".to_owned())
    }

    /// One step up: what a class of the project changes.
    fn enter(&mut self, id: usize, traced: &mut Traced<'a>) -> Result<(), String> {
        let class = self.interpreter.classes[id].clone();
        if let Some(init) = class.scope.get("__init__").filter(|_| !traced.is_cut) {
            let Value::Function(function) = init.value else {
                return Err(format!("depends on {}.__init__", class.name));
            };
            let (arguments, attributes) =
                self.interpreter.initialise(function, &traced.arguments, class.origin)?;
            if attributes.contains_key("reverse_code") || attributes.contains_key("reverse_sql") {
                return Err(format!("depends on what {}.__init__ sets", class.name));
            }
            traced.is_cut = arguments.is_none();
            traced.arguments = arguments.unwrap_or_default();
            traced.is_own = true;
            traced.override_by(&attributes);
        }
        traced.is_own |= ["database_forwards", "database_backwards", "state_forwards"]
            .iter()
            .any(|method| class.scope.contains_key(method));
        traced.override_by(&class.scope);
        Ok(())
    }

    /// What a class of the project says about being undone: its own word counts before that of its base.
    fn overridden(&mut self, overrides: &[Spanned<'a>]) -> Option<bool> {
        let first = overrides.first()?;
        let value = match &first.value {
            Value::Function(function) => self.interpreter.property(function, first.origin),
            _ => first.clone(),
        };
        truth(&value.value)
    }

    /// One of Django's own.
    fn django(&mut self, class: &str, arguments: &Arguments<'a>, span: &Span) -> (Action, Option<bool>) {
        let reversible = self.is_reversible(class, arguments);
        let action = self.action(class, arguments);
        if action.is_none() {
            let reason = arguments.missing.as_ref().map_or_else(
                || "has an argument that is not written out".to_owned(),
                |missing| missing.reason(),
            );
            self.note(What::Argument, reason, span.clone());
        }
        (action.unwrap_or(Action::Unknown), reversible)
    }

    fn is_reversible(&mut self, class: &str, arguments: &Arguments<'a>) -> Option<bool> {
        let reverse = match class {
            "RunPython" => self.reverse(arguments, "reverse_code"),
            "RunSQL" => self.reverse(arguments, "reverse_sql"),
            _ => return Some(true),
        };
        match reverse {
            Reverse::Missing => Some(false),
            Reverse::Noop | Reverse::Given => Some(true),
            Reverse::Unknown => None,
        }
    }

    fn action(&mut self, class: &str, arguments: &Arguments<'a>) -> Option<Action> {
        let text = |place: usize, name: &str| {
            arguments.get(place, name).and_then(|value| value.str()).map(str::to_owned)
        };
        Some(match class {
            "CreateModel" => {
                let given = arguments.get(2, "options");
                let Options {
                    has_table,
                    is_proxy,
                    table,
                    unique_together,
                    index_together,
                    constraints,
                    is_ordered,
                } = options(given);
                let fields = self.fields(arguments.get(1, "fields")?);
                Action::CreateModel {
                    name: text(0, "name")?,
                    fields,
                    table,
                    unique_together,
                    index_together,
                    constraints: self.constraints(constraints),
                    is_ordered,
                    has_table,
                    is_proxy,
                }
            }
            "DeleteModel" => Action::DeleteModel { name: text(0, "name")? },
            "RenameModel" => Action::RenameModel { old: text(0, "old_name")?, new: text(1, "new_name")? },
            "AlterModelTable" => {
                let table = arguments.get(1, "table")?;
                let is_known = matches!(table.value, Value::None | Value::Str(_));
                let table = table.str().map(str::to_owned);
                return is_known.then(|| Some(Action::AlterModelTable { name: text(0, "name")?, table }))?;
            }
            "AlterUniqueTogether" => {
                let sets = arguments.get(1, "unique_together").and_then(sets);
                Action::AlterUniqueTogether { name: text(0, "name")?, sets }
            }
            "AlterIndexTogether" => {
                let sets = arguments.get(1, "index_together").and_then(sets);
                Action::AlterIndexTogether { name: text(0, "name")?, sets }
            }
            "AlterModelOptions" => Action::AlterOptions {
                name: text(0, "name")?,
                is_managed: is_managed(arguments.get(1, "options")),
            },
            "AddField" | "AlterField" => {
                let (model, name) = (text(0, "model_name")?, text(1, "name")?);
                let field = self.interpreter.concrete(arguments.get(2, "field")?.clone());
                let field = self.field(&field)?;
                match class {
                    "AddField" => Action::AddField { model, name, field },
                    _ => Action::AlterField { model, name, field },
                }
            }
            "RemoveField" => Action::RemoveField { model: text(0, "model_name")?, name: text(1, "name")? },
            "RenameField" => Action::RenameField {
                model: text(0, "model_name")?,
                old: text(1, "old_name")?,
                new: text(2, "new_name")?,
            },
            "AddIndex" | "AddIndexConcurrently" => Action::AddIndex {
                model: text(0, "model_name")?,
                concurrently: class.ends_with("Concurrently"),
            },
            "AddConstraint" | "AddConstraintNotValid" => {
                self.constraint(text(0, "model_name")?, arguments.get(1, "constraint")?)?
            }
            "RemoveConstraint" => {
                Action::RemoveConstraint { model: text(0, "model_name")?, name: text(1, "name")? }
            }
            "AlterOrderWithRespectTo" => {
                let order = arguments.get(1, "order_with_respect_to")?;
                Action::AlterOrder {
                    model: text(0, "name")?,
                    is_ordered: !matches!(order.value, Value::None),
                }
            }
            "RunPython" => Action::RunPython {
                code: self.function_name(arguments.get(0, "code")),
                reverse: self.reverse(arguments, "reverse_code"),
            },
            "RunSQL" => Action::RunSql {
                does_nothing: arguments.get(0, "sql").cloned().is_some_and(|sql| {
                    let sql = self.interpreter.concrete(sql);
                    is_no_statement(&sql.value)
                }),
                reverse: self.reverse(arguments, "reverse_sql"),
                state: self.state_of_sql(arguments),
            },
            "SeparateDatabaseAndState" => Action::Separate {
                database: self.nested(arguments.get(0, "database_operations")),
                state: self.nested(arguments.get(1, "state_operations")),
            },
            _ => Action::Other { model: text(0, "model_name").or_else(|| text(0, "name")) },
        })
    }

    fn nested(&mut self, list: Option<&Spanned<'a>>) -> Vec<Operation> {
        let list = list.filter(|list| !matches!(list.value, Value::None));
        list.map(|list| self.operations(list)).unwrap_or_default()
    }

    /// What `RunSQL` does to the state. The loader does not look at it, so nothing that is not known there is structural.
    fn state_of_sql(&mut self, arguments: &Arguments<'a>) -> Vec<Operation> {
        let before = self.unknown.len();
        let state = self.nested(arguments.get(2, "state_operations"));
        self.unknown[before..].iter_mut().for_each(|unknown| unknown.what = What::Argument);
        state
    }

    fn fields(&mut self, list: &Spanned<'a>) -> Vec<(String, crate::facts::Field)> {
        let list = self.interpreter.concrete(list.clone());
        let items = list.items().cloned().unwrap_or_default();
        let mut fields = Vec::with_capacity(items.len());
        for item in items.iter() {
            let pair = item.items().filter(|pair| pair.len() == 2).cloned();
            let field = pair.and_then(|pair| {
                let value = self.interpreter.concrete(pair[1].clone());
                Some((pair[0].str()?.to_owned(), self.field(&value)?))
            });
            match field {
                Some(field) => fields.push(field),
                None => {
                    let span = self.span(item);
                    self.note(What::Argument, item.reason(), span);
                }
            }
        }
        fields
    }

    /// The constraints that a model begins with, as far as they are known: nothing is made or undone for one of them.
    fn constraints(&mut self, list: Option<Spanned<'a>>) -> Vec<(String, String)> {
        let items = list.map(|list| self.interpreter.concrete(list)).and_then(|list| list.items().cloned());
        let items = items.unwrap_or_default();
        let known = items.iter().filter_map(|item| match self.constraint(String::new(), item)? {
            Action::AddConstraint { class, name, .. } => Some((name?, class)),
            _ => None,
        });
        known.collect()
    }

    fn constraint(&mut self, model: String, value: &Spanned<'a>) -> Option<Action> {
        let value = self.interpreter.concrete(value.clone());
        let Value::Instance(constraint) = &value.value else { return None };
        let class = self.class_of(&constraint.callee).0?;
        let name = constraint.arguments.named("name").and_then(|name| name.str()).map(str::to_owned);
        Some(Action::AddConstraint { model, class, name })
    }

    fn reverse(&mut self, arguments: &Arguments<'a>, name: &str) -> Reverse {
        let Some(value) = arguments.get(1, name) else {
            return if arguments.missing.is_none() { Reverse::Missing } else { Reverse::Unknown };
        };
        let value = self.interpreter.concrete(value.clone());
        match &value.value {
            Value::None => Reverse::Missing,
            nothing if is_no_statement(nothing) => Reverse::Noop,
            Value::Function(function) if does_nothing(function) => Reverse::Noop,
            Value::Lambda(lambda, _) if lambda.body.is_none_literal_expr() => Reverse::Noop,
            Value::Unknown(_) | Value::Setting { .. } => Reverse::Unknown,
            Value::Name(path) if may_be_none(path) => Reverse::Unknown,
            Value::Instance(made) if is_made_elsewhere(made) => Reverse::Unknown,
            _ => Reverse::Given,
        }
    }

    fn function_name(&mut self, code: Option<&Spanned<'a>>) -> String {
        match code.map(|code| &code.value) {
            Some(Value::Function(function)) => function.definition.name.id.to_string(),
            Some(Value::Name(path)) => path.rsplit('.').next().unwrap_or(path).to_owned(),
            Some(Value::Lambda(..)) => "<lambda>".to_owned(),
            _ => "code".to_owned(),
        }
    }
}

/// What following a class came to.
struct Traced<'a> {
    /// Django's class; none where it is the bare `Operation`.
    django: Option<String>,
    /// The arguments as Django's class gets them.
    arguments: Arguments<'a>,
    /// What the project's classes say of `reversible`, the nearest first.
    overrides: Vec<Spanned<'a>>,
    /// What they say of `elidable`.
    elidable: Option<Spanned<'a>>,
    /// Whether a class of the project changes what is done.
    is_own: bool,
    /// Whether the `__init__` of a class does not call that of its base: no other one is run.
    is_cut: bool,
}

impl<'a> Traced<'a> {
    fn override_by(&mut self, scope: &Scope<'a>) {
        self.overrides.extend(scope.get("reversible").cloned());
        if self.elidable.is_none() {
            self.elidable = scope.get("elidable").cloned();
        }
    }
}

fn is_django(callee: &Spanned<'_>) -> bool {
    matches!(&callee.value, Value::Name(path) if django_class(path).is_some())
}

/// The class above one of Django's operations, for the order in which Python looks at classes.
pub(crate) fn base_of(path: &str) -> Option<&'static str> {
    let class = django_class(path)?;
    (class != "Operation" && class != "Migration").then_some("django.db.migrations.operations.base.Operation")
}

/// The class of Django that a dotted path names, if it is an operation.
fn django_class(path: &str) -> Option<&str> {
    let is_django = DJANGO.iter().any(|start| path.starts_with(start));
    is_django.then(|| path.rsplit('.').next().unwrap_or(path))
}

/// Whether SQL is none: `noop`, an empty text, an empty list.
fn is_no_statement(value: &Value<'_>) -> bool {
    match value {
        Value::Name(path) => path.ends_with(".noop"),
        Value::Str(text) => text.trim().is_empty(),
        Value::Sequence(_, items) => items.is_empty(),
        _ => false,
    }
}

/// Whether a name from elsewhere may be `None`: a setting, or a constant.
fn may_be_none(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_constant =
        name.chars().all(|letter| letter.is_uppercase() || letter.is_ascii_digit() || letter == '_');
    path.starts_with("django.conf.settings") || is_constant
}

/// Functions of Python's library that never return `None`.
const NEVER_NONE: &[&str] = &["functools.partial", "inspect.cleandoc", "textwrap.dedent"];

/// Whether a function from elsewhere decides what it is.
fn is_made_elsewhere(made: &Instance<'_>) -> bool {
    match &made.callee.value {
        Value::Name(path) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            !NEVER_NONE.contains(&&**path) && !name.chars().next().is_some_and(char::is_uppercase)
        }
        _ => false,
    }
}

/// `{("a", "b")}`, or one set alone.
pub(crate) fn sets(value: &Spanned<'_>) -> Option<Vec<Vec<String>>> {
    if matches!(value.value, Value::None) {
        return Some(Vec::new());
    }
    let items = value.items()?;
    let names = |items: &[Spanned<'_>]| -> Option<Vec<String>> {
        items.iter().map(|item| item.str().map(str::to_owned)).collect()
    };
    match names(items) {
        Some(one) if !one.is_empty() => Some(vec![one]),
        _ => items.iter().map(|set| names(set.items()?)).collect(),
    }
}

/// Whether a function has nothing but a docstring, `pass` and `return`.
fn does_nothing(function: &crate::value::Function<'_>) -> bool {
    use ruff_python_ast::{Expr, Stmt};
    function.definition.body.iter().all(|statement| match statement {
        Stmt::Pass(_) => true,
        Stmt::Expr(expression) => {
            matches!(&*expression.value, Expr::StringLiteral(_) | Expr::EllipsisLiteral(_))
        }
        Stmt::Return(returned) => returned.value.as_ref().is_none_or(|value| value.is_none_literal_expr()),
        _ => false,
    })
}
