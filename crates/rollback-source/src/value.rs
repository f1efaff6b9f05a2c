//! Values of expressions, as far as the text determines them.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{ExprLambda, StmtFunctionDef};

/// Where a value was written: the module, by its number, and the range in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) module: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Origin {
    /// The origin of a value that is not in any text.
    pub(crate) const fn nowhere() -> Self {
        Self { module: usize::MAX, start: 0, end: 0 }
    }
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) origin: Origin,
}

/// The names of a module, a class or a call.
pub(crate) type Scope<'a> = HashMap<&'a str, Spanned<'a>>;

/// The value of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Str(Rc<str>),
    /// A list, a tuple or a set. All names of one list share its items.
    Sequence(Kind, Rc<Vec<Spanned<'a>>>),
    Dict(Rc<Vec<(Spanned<'a>, Spanned<'a>)>>),
    /// Something from another module, by its dotted path.
    Name(Rc<str>),
    /// `getattr(settings, name, default)`: a setting with a default.
    Setting {
        path: Rc<str>,
        default: Option<Rc<str>>,
    },
    /// The result of calling a class.
    Instance(Rc<Instance<'a>>),
    /// A class of a module that was read, by its place in the interpreter's list.
    Class(usize),
    /// A function of a module that was read.
    Function(&'a Function<'a>),
    /// A lambda and its module. `None` if it is inside a function, because it may use names of that.
    Lambda(&'a ExprLambda, Option<usize>),
    /// The first argument of a method.
    Itself,
    /// A text of unknown contents; why, as the end of a sentence that starts with "it".
    Text(Rc<str>),
    /// In a sequence: an unknown number of unknown items; why.
    Rest(Rc<str>),
    /// Unknown; why, as the end of a sentence that starts with "it".
    Unknown(Rc<str>),
}

/// A kind of sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    Tuple,
    Set,
}

/// A call that is not followed.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) callee: Spanned<'a>,
    pub(crate) arguments: Arguments<'a>,
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments<'a> {
    pub(crate) positional: Vec<Spanned<'a>>,
    pub(crate) named: Vec<(Rc<str>, Spanned<'a>)>,
    /// Why some of them are unknown: `**options`.
    pub(crate) missing: Option<Spanned<'a>>,
}

impl<'a> Arguments<'a> {
    /// The argument at this place or with this name.
    pub(crate) fn get(&self, place: usize, name: &str) -> Option<&Spanned<'a>> {
        self.positional.get(place).or_else(|| self.named(name))
    }

    /// The argument with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Spanned<'a>> {
        self.named.iter().rev().find(|(given, _)| &**given == name).map(|(_, value)| value)
    }
}

/// A function of a module that was read.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) definition: &'a StmtFunctionDef,
    pub(crate) module: usize,
    /// The defaults of its parameters.
    pub(crate) defaults: Scope<'a>,
    /// Whether it is defined inside another function, whose names it may use.
    pub(crate) is_inner: bool,
}

/// A class of a module that was read.
#[derive(Clone, Debug)]
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    pub(crate) bases: Vec<Spanned<'a>>,
    pub(crate) scope: Scope<'a>,
    pub(crate) origin: Origin,
    /// Whether something may change it: a decorator, a metaclass, a condition.
    pub(crate) is_changed: bool,
}

impl<'a> Spanned<'a> {
    /// The same value, written elsewhere.
    pub(crate) fn at(self, origin: Origin) -> Self {
        Self { value: self.value, origin }
    }

    pub(crate) fn unknown(reason: impl Into<Rc<str>>, origin: Origin) -> Self {
        Self { value: Value::Unknown(reason.into()), origin }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&Rc<Vec<Spanned<'a>>>> {
        match &self.value {
            Value::Sequence(_, items) => Some(items),
            _ => None,
        }
    }

    /// Why it is unknown. `None` if it is known.
    pub(crate) fn why(&self) -> Option<&str> {
        match &self.value {
            Value::Unknown(why) | Value::Text(why) | Value::Rest(why) => Some(why),
            _ => None,
        }
    }

    /// Why it cannot be used as a known value.
    pub(crate) fn reason(&self) -> String {
        match &self.value {
            Value::Unknown(why) | Value::Text(why) | Value::Rest(why) => why.to_string(),
            Value::Name(path) => format!("depends on {}", described(path)),
            Value::Setting { path, .. } => format!("depends on {}", described(path)),
            Value::Sequence(_, items) if has_rest(items) => {
                items.iter().find_map(rest).unwrap_or_default().to_owned()
            }
            Value::Itself | Value::Lambda(..) | Value::Function(_) | Value::Class(_) => {
                "is a function or a class".to_owned()
            }
            Value::Instance(instance) => match &instance.callee.value {
                Value::Name(path) => format!("is the result of {path}()"),
                _ => "is the result of a call".to_owned(),
            },
            _ => "has an unexpected type".to_owned(),
        }
    }
}

/// Why an item stands for an unknown number of items. `None` if it is one item.
pub(crate) fn rest<'v>(item: &'v Spanned<'_>) -> Option<&'v str> {
    match &item.value {
        Value::Rest(why) => Some(why),
        _ => None,
    }
}

/// Whether the number of items is unknown.
pub(crate) fn has_rest(items: &[Spanned<'_>]) -> bool {
    items.iter().any(|item| rest(item).is_some())
}

/// A dotted path in words.
fn described(path: &str) -> String {
    match path.strip_prefix("django.conf.settings.") {
        Some(setting) => format!("the setting {setting}"),
        None if path.ends_with(".vendor") => "the kind of database".to_owned(),
        None => path.to_owned(),
    }
}

/// Whether a value comes from another module, which may be why a result is unknown.
pub(crate) fn is_foreign(value: &Value<'_>) -> bool {
    matches!(value, Value::Name(_) | Value::Setting { .. } | Value::Instance(_))
}
