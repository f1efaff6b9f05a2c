//! What an expression comes to without running anything.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{ExprLambda, StmtFunctionDef};

/// Where a value was written: in which of the modules that were read, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) module: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Origin {
    /// For what was not written anywhere.
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

/// What an expression comes to.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Str(Rc<str>),
    /// A list, a tuple or a set. Two names for one list share its items.
    Sequence(Kind, Rc<Vec<Spanned<'a>>>),
    Dict(Rc<Vec<(Spanned<'a>, Spanned<'a>)>>),
    /// Something from another module, by its dotted path.
    Name(Rc<str>),
    /// A setting of the project that a default stands in for.
    Setting {
        path: Rc<str>,
        default: Option<Rc<str>>,
    },
    /// What calling a class comes to.
    Instance(Rc<Instance<'a>>),
    /// A class of a module that was read, by its place in the interpreter's list.
    Class(usize),
    /// A function of a module that was read.
    Function(&'a Function<'a>),
    /// A lambda, and the module that it stands in; none inside of a function, whose names it may see.
    Lambda(&'a ExprLambda, Option<usize>),
    /// The first argument of a method.
    Itself,
    /// A text, and no more is known of it; why, as the end of a sentence that begins with "it".
    Text(Rc<str>),
    /// In a sequence: any number of items, or none, and nobody knows which; why.
    Rest(Rc<str>),
    /// Not known; why, as the end of a sentence that begins with "it".
    Unknown(Rc<str>),
}

/// What kind of sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    Tuple,
    Set,
}

/// A call that was not carried out.
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
    /// Why some of them are not known: `**options`.
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
    /// What its parameters are without an argument, from where the function was defined.
    pub(crate) defaults: Scope<'a>,
    /// Whether it stands inside of another function, whose names it may see.
    pub(crate) is_inner: bool,
}

/// A class of a module that was read.
#[derive(Clone, Debug)]
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    pub(crate) bases: Vec<Spanned<'a>>,
    pub(crate) scope: Scope<'a>,
    pub(crate) origin: Origin,
    /// Why it may be something else in the end: a decorator, a metaclass.
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

    /// Why it is not known, if it is not.
    pub(crate) fn why(&self) -> Option<&str> {
        match &self.value {
            Value::Unknown(why) | Value::Text(why) | Value::Rest(why) => Some(why),
            _ => None,
        }
    }

    /// Why it cannot be used as something that is known.
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

/// Why an item stands for any number of items, if it does.
pub(crate) fn rest<'v>(item: &'v Spanned<'_>) -> Option<&'v str> {
    match &item.value {
        Value::Rest(why) => Some(why),
        _ => None,
    }
}

/// Whether nobody knows how many items there are.
pub(crate) fn has_rest(items: &[Spanned<'_>]) -> bool {
    items.iter().any(|item| rest(item).is_some())
}

/// What a dotted path stands for, in words.
fn described(path: &str) -> String {
    match path.strip_prefix("django.conf.settings.") {
        Some(setting) => format!("the setting {setting}"),
        None if path.ends_with(".vendor") => "the kind of database".to_owned(),
        None => path.to_owned(),
    }
}

/// Whether a value comes from another module, which may be why something is not known.
pub(crate) fn is_foreign(value: &Value<'_>) -> bool {
    matches!(value, Value::Name(_) | Value::Setting { .. } | Value::Instance(_))
}
