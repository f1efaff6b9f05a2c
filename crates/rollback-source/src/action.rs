//! What Django's operations do, from their arguments.

use ruff_python_ast::{Expr, Stmt};

use crate::facts::{Action, Field, Operation, Reverse, Span, What};
use crate::options::{Options, is_managed, options, sets};
use crate::reader::Reader;
use crate::value::{Arguments, Function, Instance, Spanned, Value};

impl<'a> Reader<'_, 'a, '_> {
    /// What an operation of Django does, and whether it can be undone.
    pub(crate) fn django(
        &mut self,
        class: &str,
        arguments: &Arguments<'a>,
        span: &Span,
    ) -> (Action, Option<bool>) {
        let reversible = self.is_reversible(class, arguments);
        let action = self.action(class, arguments);
        if action.is_none() {
            let reason = arguments.missing.as_ref().map_or_else(
                || "has an argument that is not a literal value".to_owned(),
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
        match class {
            "CreateModel" => self.create_model(arguments),
            "AddField" | "AlterField" => {
                let (model, name) = (text(arguments, 0, "model_name")?, text(arguments, 1, "name")?);
                let field = self.interpreter.concrete(arguments.get(2, "field")?.clone());
                let field = self.field(&field)?;
                Some(match class {
                    "AddField" => Action::AddField { model, name, field },
                    _ => Action::AlterField { model, name, field },
                })
            }
            "AddConstraint" | "AddConstraintNotValid" => {
                self.constraint(text(arguments, 0, "model_name")?, arguments.get(1, "constraint")?)
            }
            "RunPython" => Some(Action::RunPython {
                code: self.function_name(arguments.get(0, "code")),
                reverse: self.reverse(arguments, "reverse_code"),
            }),
            "RunSQL" => Some(Action::RunSql {
                does_nothing: self.is_empty_sql(arguments),
                reverse: self.reverse(arguments, "reverse_sql"),
                state: self.state_of_sql(arguments),
            }),
            "SeparateDatabaseAndState" => Some(Action::Separate {
                database: self.nested(arguments.get(0, "database_operations")),
                state: self.nested(arguments.get(1, "state_operations")),
            }),
            _ => change(class, arguments),
        }
    }

    fn create_model(&mut self, arguments: &Arguments<'a>) -> Option<Action> {
        let options = options(arguments.get(2, "options"));
        let Options { has_table, is_proxy, table, unique_together, index_together, constraints, is_ordered } =
            options;
        let fields = self.fields(arguments.get(1, "fields")?);
        Some(Action::CreateModel {
            name: text(arguments, 0, "name")?,
            fields,
            table,
            unique_together,
            index_together,
            constraints: self.constraints(constraints),
            is_ordered,
            has_table,
            is_proxy,
        })
    }

    fn is_empty_sql(&mut self, arguments: &Arguments<'a>) -> bool {
        let Some(sql) = arguments.get(0, "sql") else { return false };
        is_no_statement(&self.interpreter.concrete(sql.clone()).value)
    }

    fn nested(&mut self, list: Option<&Spanned<'a>>) -> Vec<Operation> {
        let list = list.filter(|list| !matches!(list.value, Value::None));
        list.map(|list| self.operations(list)).unwrap_or_default()
    }

    /// The `state_operations` of a `RunSQL`. The loader ignores them, so an unknown there affects neither graph nor
    /// list.
    fn state_of_sql(&mut self, arguments: &Arguments<'a>) -> Vec<Operation> {
        let before = self.unknown.len();
        let state = self.nested(arguments.get(2, "state_operations"));
        self.unknown[before..].iter_mut().for_each(|unknown| unknown.what = What::Argument);
        state
    }

    fn fields(&mut self, list: &Spanned<'a>) -> Vec<(String, Field)> {
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

    /// The constraints in the options of a model, as far as they are known.
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

/// A change of models or fields whose arguments are plain.
fn change(class: &str, arguments: &Arguments<'_>) -> Option<Action> {
    let model = || text(arguments, 0, "model_name");
    let name = || text(arguments, 0, "name");
    Some(match class {
        "DeleteModel" => Action::DeleteModel { name: name()? },
        "RenameModel" => {
            Action::RenameModel { old: text(arguments, 0, "old_name")?, new: text(arguments, 1, "new_name")? }
        }
        "AlterModelTable" => {
            let table = arguments.get(1, "table")?;
            let is_known = matches!(table.value, Value::None | Value::Str(_));
            let table = table.str().map(str::to_owned);
            return is_known.then(|| Some(Action::AlterModelTable { name: name()?, table }))?;
        }
        "AlterUniqueTogether" => {
            let sets = arguments.get(1, "unique_together").and_then(sets);
            Action::AlterUniqueTogether { name: name()?, sets }
        }
        "AlterIndexTogether" => {
            let sets = arguments.get(1, "index_together").and_then(sets);
            Action::AlterIndexTogether { name: name()?, sets }
        }
        "AlterModelOptions" => {
            Action::AlterOptions { name: name()?, is_managed: is_managed(arguments.get(1, "options")) }
        }
        "AlterOrderWithRespectTo" => {
            let order = arguments.get(1, "order_with_respect_to")?;
            Action::AlterOrder { model: name()?, is_ordered: !matches!(order.value, Value::None) }
        }
        "RemoveField" => Action::RemoveField { model: model()?, name: text(arguments, 1, "name")? },
        "RenameField" => Action::RenameField {
            model: model()?,
            old: text(arguments, 1, "old_name")?,
            new: text(arguments, 2, "new_name")?,
        },
        "AddIndex" | "AddIndexConcurrently" => {
            Action::AddIndex { model: model()?, concurrently: class.ends_with("Concurrently") }
        }
        "RemoveConstraint" => Action::RemoveConstraint { model: model()?, name: text(arguments, 1, "name")? },
        _ => Action::Other { model: model().or_else(name) },
    })
}

/// An argument that is a text.
fn text(arguments: &Arguments<'_>, place: usize, name: &str) -> Option<String> {
    arguments.get(place, name).and_then(|value| value.str()).map(str::to_owned)
}

/// Whether SQL has no statement: `noop`, an empty text or an empty list.
fn is_no_statement(value: &Value<'_>) -> bool {
    match value {
        Value::Name(path) => path.ends_with(".noop"),
        Value::Str(text) => text.trim().is_empty(),
        Value::Sequence(_, items) => items.is_empty(),
        _ => false,
    }
}

/// Whether an imported name may be `None`: a setting or a constant.
fn may_be_none(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_constant =
        name.chars().all(|letter| letter.is_uppercase() || letter.is_ascii_digit() || letter == '_');
    path.starts_with("django.conf.settings") || is_constant
}

/// Functions of the standard library that never return `None`.
const NEVER_NONE: &[&str] = &["functools.partial", "inspect.cleandoc", "textwrap.dedent"];

/// Whether it is the result of an imported function, which may return `None`.
fn is_made_elsewhere(made: &Instance<'_>) -> bool {
    match &made.callee.value {
        Value::Name(path) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            !NEVER_NONE.contains(&&**path) && !name.chars().next().is_some_and(char::is_uppercase)
        }
        _ => false,
    }
}

/// Whether a function has only a docstring, `pass` and `return`.
fn does_nothing(function: &Function<'_>) -> bool {
    function.definition.body.iter().all(|statement| match statement {
        Stmt::Pass(_) => true,
        Stmt::Expr(expression) => {
            matches!(&*expression.value, Expr::StringLiteral(_) | Expr::EllipsisLiteral(_))
        }
        Stmt::Return(returned) => returned.value.as_ref().is_none_or(|value| value.is_none_literal_expr()),
        _ => false,
    })
}
