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

    /// Whether these are the same as others in every respect that matters.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is_same_within(other, &mut LARGEST.clone())
    }

    fn is_same_within(&self, other: &Self, budget: &mut u32) -> bool {
        let positional = self.positional.iter().zip(&other.positional);
        let mut named = self.named.iter().zip(&other.named);
        self.positional.len() == other.positional.len()
            && self.named.len() == other.named.len()
            && self.missing.is_none()
            && other.missing.is_none()
            && positional.into_iter().all(|(one, other)| same_within(&one.value, &other.value, budget))
            && named.all(|(one, other)| one.0 == other.0 && same_within(&one.1.value, &other.1.value, budget))
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
            Value::Itself | Value::Lambda(..) | Value::Function(_) | Value::Class(_) => "is code".to_owned(),
            Value::Instance(instance) => match &instance.callee.value {
                Value::Name(path) => format!("is made by {path}()"),
                _ => "is made by a call".to_owned(),
            },
            _ => "is no value that fits here".to_owned(),
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
        None if path.ends_with(".vendor") => "which database it is".to_owned(),
        None => path.to_owned(),
    }
}

/// Whether something counts as true in a condition; none where that is not known.
pub(crate) fn truth(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::None => Some(false),
        Value::Bool(value) => Some(*value),
        Value::Int(value) => Some(*value != 0),
        Value::Str(text) => Some(!text.is_empty()),
        Value::Sequence(_, items) if items.is_empty() => Some(false),
        Value::Sequence(_, items) => items.iter().any(|item| rest(item).is_none()).then_some(true),
        Value::Dict(items) => Some(!items.is_empty()),
        Value::Class(_) | Value::Function(_) | Value::Lambda(..) => Some(true),
        Value::Name(path) if &**path == "typing.TYPE_CHECKING" => Some(false),
        _ => None,
    }
}

/// Whether two values are equal in Python; none where that is not known.
pub(crate) fn equal(one: &Value<'_>, other: &Value<'_>) -> Option<bool> {
    equal_within(one, other, &mut LARGEST.clone())
}

/// The databases that django-rollback supports: the reader counts on one of them.
const VENDORS: &[&str] = &["postgresql", "sqlite"];

/// How many values are compared at most.
const LARGEST: u32 = 100_000;

fn equal_within(one: &Value<'_>, other: &Value<'_>, budget: &mut u32) -> Option<bool> {
    *budget = budget.checked_sub(1)?;
    match (one, other) {
        (Value::Bool(_) | Value::Int(_), Value::Bool(_) | Value::Int(_)) => {
            Some(number(one) == number(other))
        }
        (Value::Str(one), Value::Str(other)) => Some(one == other),
        (Value::Sequence(Kind::Set, _), Value::Sequence(..))
        | (Value::Sequence(..), Value::Sequence(Kind::Set, _)) => None,
        (Value::Sequence(_, one), Value::Sequence(_, other)) if has_rest(one) || has_rest(other) => None,
        (Value::Sequence(kind, one), Value::Sequence(other_kind, other)) => {
            let pairs = one.iter().zip(other.iter());
            let all = pairs.map(|(one, other)| equal_within(&one.value, &other.value, budget));
            if kind == other_kind && one.len() == other.len() {
                all.into_iter().try_fold(true, |all, next| Some(all && next?))
            } else {
                Some(false)
            }
        }
        (Value::None, Value::None) => Some(true),
        (Value::Name(path), Value::Str(vendor)) | (Value::Str(vendor), Value::Name(path))
            if &**path == "django.db.connection.vendor" && !VENDORS.contains(&&**vendor) =>
        {
            Some(false)
        }
        (one, other) if is_plain(one) && is_plain(other) => Some(false),
        _ => None,
    }
}

fn is_plain(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Str(_) | Value::Sequence(..) | Value::Dict(_)
    )
}

/// One of two, and nobody knows which: of two lists it is known how both begin.
pub(crate) fn either<'a>(one: &Value<'a>, other: &Value<'a>, why: &Spanned<'a>) -> Value<'a> {
    let reason: Rc<str> = why.reason().into();
    match (one, other) {
        (one, other) if is_text(one) && is_text(other) => Value::Text(reason),
        (Value::Sequence(kind, one), Value::Sequence(other_kind, other))
            if kind == other_kind && *kind != Kind::Set =>
        {
            let pairs = one.iter().zip(other.iter());
            let begin = pairs.take_while(|(one, other)| same(&one.value, &other.value));
            let rest = Spanned { value: Value::Rest(reason), origin: why.origin };
            Value::Sequence(*kind, Rc::new(begin.map(|(one, _)| one.clone()).chain([rest]).collect()))
        }
        _ => Value::Unknown(reason),
    }
}

/// Whether a value is certain to be a text.
pub(crate) fn is_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Str(_) | Value::Text(_))
}

/// Whether two values are the same in every respect that matters to a reader of facts.
pub(crate) fn same(one: &Value<'_>, other: &Value<'_>) -> bool {
    same_within(one, other, &mut LARGEST.clone())
}

fn same_within(one: &Value<'_>, other: &Value<'_>, budget: &mut u32) -> bool {
    *budget = budget.saturating_sub(1);
    if *budget == 0 {
        return false;
    }
    match (one, other) {
        (Value::Sequence(kind, one), Value::Sequence(other_kind, other)) => {
            kind == other_kind
                && one.len() == other.len()
                && one
                    .iter()
                    .zip(other.iter())
                    .all(|(one, other)| same_within(&one.value, &other.value, budget))
        }
        (Value::Dict(one), Value::Dict(other)) => {
            let pairs = || one.iter().zip(other.iter());
            one.len() == other.len()
                && pairs().all(|(one, other)| {
                    same_within(&one.0.value, &other.0.value, budget)
                        && same_within(&one.1.value, &other.1.value, budget)
                })
        }
        (Value::Name(one), Value::Name(other)) => one == other,
        (Value::Class(one), Value::Class(other)) => one == other,
        (Value::Function(one), Value::Function(other)) => std::ptr::eq(*one, *other),
        (Value::Instance(one), Value::Instance(other)) => {
            same_within(&one.callee.value, &other.callee.value, budget)
                && one.arguments.is_same_within(&other.arguments, budget)
        }
        (one, other) => is_plain(one) && is_plain(other) && equal(one, other) == Some(true),
    }
}

fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

/// Whether two values are one list, one mapping or one object in Python.
pub(crate) fn is_one(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Sequence(Kind::Tuple, _), _) => false,
        (Value::Sequence(_, one), Value::Sequence(_, other)) => Rc::ptr_eq(one, other),
        (Value::Dict(one), Value::Dict(other)) => Rc::ptr_eq(one, other),
        (Value::Instance(one), Value::Instance(other)) => Rc::ptr_eq(one, other),
        _ => false,
    }
}

/// A value with another in the place of one that was changed; none where it does not hold that one. `budget` is how
/// many values are looked at: a list of lists of one list can be larger than any memory.
pub(crate) fn replaced<'a>(
    value: &Value<'a>,
    old: &Value<'a>,
    new: &Value<'a>,
    budget: &mut u32,
) -> Option<Value<'a>> {
    *budget = budget.checked_sub(1)?;
    if is_one(value, old) {
        return Some(new.clone());
    }
    let mut inside = |value: &Spanned<'a>| {
        let replaced = replaced(&value.value, old, new, budget)?;
        Some(Spanned { value: replaced, origin: value.origin })
    };
    match value {
        Value::Sequence(kind, items) => {
            let changed: Vec<Option<Spanned<'a>>> = items.iter().map(inside).collect();
            if changed.iter().all(Option::is_none) {
                return None;
            }
            let items =
                items.iter().zip(changed).map(|(item, changed)| changed.unwrap_or_else(|| item.clone()));
            Some(Value::Sequence(*kind, Rc::new(items.collect())))
        }
        Value::Dict(items) => {
            let changed: Vec<Option<Spanned<'a>>> = items.iter().map(|(_, value)| inside(value)).collect();
            if changed.iter().all(Option::is_none) {
                return None;
            }
            let items = items.iter().zip(changed);
            let items =
                items.map(|((key, value), changed)| (key.clone(), changed.unwrap_or_else(|| value.clone())));
            Some(Value::Dict(Rc::new(items.collect())))
        }
        _ => None,
    }
}
