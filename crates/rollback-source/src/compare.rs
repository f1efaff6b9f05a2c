//! Whether values are true, equal or the same, as far as the text determines it.

use std::rc::Rc;

use crate::value::{Arguments, Kind, Spanned, Value, has_rest, rest};

/// Whether a value is true in a condition. `None` if that is unknown.
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

/// Whether two values are equal in Python. `None` if that is unknown.
pub(crate) fn equal(one: &Value<'_>, other: &Value<'_>) -> Option<bool> {
    equal_within(one, other, &mut LARGEST.clone())
}

/// The databases that django-rollback supports: the reader assumes one of them.
const VENDORS: &[&str] = &["postgresql", "sqlite"];

/// The largest number of values that are compared.
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

/// One of two values, unknown which. If both are lists, their common beginning stays known.
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

/// Whether two values are the same for a reader of facts.
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

impl<'a> Arguments<'a> {
    /// Whether these are the same arguments for a reader of facts.
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
}

/// Whether two values are the same object in Python: one list, one mapping, one instance.
pub(crate) fn is_one(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Sequence(Kind::Tuple, _), _) => false,
        (Value::Sequence(_, one), Value::Sequence(_, other)) => Rc::ptr_eq(one, other),
        (Value::Dict(one), Value::Dict(other)) => Rc::ptr_eq(one, other),
        (Value::Instance(one), Value::Instance(other)) => Rc::ptr_eq(one, other),
        _ => false,
    }
}

/// A value in which an object is replaced by its changed version. `None` if the value does not contain the object.
/// `budget` limits how many values it visits: a list of lists of one list can be larger than any memory.
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

/// The items without duplicates, for a set.
pub(crate) fn without_doubles(items: Vec<Spanned<'_>>) -> Vec<Spanned<'_>> {
    let mut once: Vec<Spanned<'_>> = Vec::with_capacity(items.len());
    for item in items {
        if !once.iter().any(|known| equal(&known.value, &item.value) == Some(true)) {
            once.push(item);
        }
    }
    once
}

/// Whether a value is certain to be a text.
pub(crate) fn is_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Str(_) | Value::Text(_))
}
