//! Methods of lists, mappings and texts.

use std::rc::Rc;

use super::state::{Frame, Interpreter};
use super::texts::{LONGEST_TEXT, format, made_text, padded, shown};
use crate::value::{Arguments, Kind, Origin, Spanned, Value, has_rest, rest};

/// Methods of texts that return a text.
const MAKE_TEXTS: &[&str] = &["format", "lower", "upper", "strip", "replace", "join", "zfill"];

impl<'a> Interpreter<'a, '_> {
    /// A method that changes a list or a mapping: returns its result.
    pub(super) fn changing(
        &mut self,
        frame: &mut Frame<'a>,
        owner: &Spanned<'a>,
        method: &str,
        arguments: &Arguments<'a>,
    ) -> Option<Spanned<'a>> {
        const CHANGING: &[&str] = &[
            "append",
            "add",
            "extend",
            "update",
            "insert",
            "pop",
            "remove",
            "discard",
            "clear",
            "sort",
            "reverse",
            "setdefault",
            "popitem",
            "__setitem__",
            "__delitem__",
            "__iadd__",
        ];
        let is_list = matches!(owner.value, Value::Sequence(..) | Value::Dict(_));
        if !is_list || !CHANGING.contains(&method) {
            return None;
        }
        let nothing = Spanned { value: Value::None, origin: owner.origin };
        let (changed, returned) = match self.changed(owner, method, arguments) {
            Some((items, returned)) => {
                let Value::Sequence(kind, _) = owner.value else { return None };
                (Value::Sequence(kind, Rc::new(items)), returned.unwrap_or(nothing))
            }
            None => {
                let why = format!("is changed by .{method}() in a way that is not supported");
                (Value::Unknown(why.clone().into()), Spanned::unknown(why, owner.origin))
            }
        };
        self.change(frame, &owner.value, changed);
        Some(returned)
    }

    /// The items of a list after `append` and the like, and the result of the method.
    pub(super) fn changed(
        &mut self,
        list: &Spanned<'a>,
        method: &str,
        arguments: &Arguments<'a>,
    ) -> Option<(Vec<Spanned<'a>>, Option<Spanned<'a>>)> {
        let mut items = list.items()?.to_vec();
        match (method, &arguments.positional[..]) {
            ("append", [item]) => items.push(item.clone()),
            ("extend", [more]) => {
                let extended = self.extended(list.clone(), more);
                return Some((extended.items()?.to_vec(), None));
            }
            ("insert", [Spanned { value: Value::Int(place), .. }, item]) if !has_rest(&items) => {
                let from_end = || {
                    items.len().saturating_sub(usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX))
                };
                let place = usize::try_from(*place).unwrap_or_else(|_| from_end()).min(items.len());
                items.insert(place, item.clone());
            }
            ("pop", []) => {
                let last = items.pop().filter(|last| rest(last).is_none())?;
                return Some((items, Some(last)));
            }
            ("clear", []) => items.clear(),
            ("reverse", []) => items.reverse(),
            _ => return None,
        }
        Some((items, None))
    }

    /// Methods of texts, lists and mappings.
    pub(super) fn method(
        &mut self,
        owner: &Spanned<'a>,
        name: &str,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Option<Spanned<'a>> {
        let owner = self.concrete(owner.clone());
        if let (Value::Text(why), true) = (&owner.value, MAKE_TEXTS.contains(&name)) {
            return Some(Spanned { value: Value::Text(why.clone()), origin });
        }
        let made = self.made_by_method(&owner, name, arguments, origin);
        let makes_text = matches!(owner.value, Value::Str(_)) && MAKE_TEXTS.contains(&name);
        made.or_else(|| {
            let given = arguments.named.iter().map(|(_, value)| value);
            let unknown =
                arguments.positional.iter().chain(given).find(|value| shown(&value.value).is_none());
            let why = unknown.map_or_else(|| format!("is the result of .{name}()"), Spanned::reason);
            makes_text.then(|| Spanned { value: Value::Text(why.into()), origin })
        })
    }

    fn made_by_method(
        &mut self,
        owner: &Spanned<'a>,
        name: &str,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Option<Spanned<'a>> {
        let value = match &owner.value {
            Value::Str(text) => self.made_by_text(text, name, arguments, origin)?,
            Value::Sequence(kind, items) if name == "copy" && arguments.positional.is_empty() => {
                Value::Sequence(*kind, Rc::new(items.to_vec()))
            }
            Value::Dict(items) if arguments.positional.is_empty() => part_of_dict(items, name)?,
            _ => return None,
        };
        Some(Spanned { value, origin })
    }

    fn made_by_text(
        &mut self,
        text: &str,
        name: &str,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Option<Value<'a>> {
        let made = match (name, &arguments.positional[..]) {
            ("format", positional) => format(text, positional, &arguments.named)?,
            ("lower", []) => text.to_lowercase(),
            ("upper", []) => text.to_uppercase(),
            ("strip", []) => text.trim().to_owned(),
            ("zfill", [Spanned { value: Value::Int(width), .. }]) => padded(text, &format!("0{width}"))?,
            ("startswith", [part]) => return Some(Value::Bool(text.starts_with(part.str()?))),
            ("endswith", [part]) => return Some(Value::Bool(text.ends_with(part.str()?))),
            ("split", []) => return Some(list_of(text.split_whitespace(), origin)),
            ("split", [separator]) => return Some(list_of(text.split(separator.str()?), origin)),
            ("replace", [from, to]) if text.len() < 10_000 && to.str()?.len() < 100 => {
                text.replace(from.str()?, to.str()?)
            }
            ("join", [items]) => joined(text, &self.iterate(items)?)?,
            _ => return None,
        };
        Some(made_text(made))
    }
}

/// A list of texts.
fn list_of<'a, 't>(texts: impl Iterator<Item = &'t str>, origin: Origin) -> Value<'a> {
    let items = texts.map(|text| Spanned { value: Value::Str(text.into()), origin });
    Value::Sequence(Kind::List, Rc::new(items.collect()))
}

/// `separator.join(items)`. `None` if an item is not known, or if the text gets too long.
fn joined(separator: &str, items: &[Spanned<'_>]) -> Option<String> {
    let parts: Vec<String> = items.iter().map(|item| shown(&item.value)).collect::<Option<_>>()?;
    let length = parts.iter().map(|part| part.len() + separator.len()).fold(0, usize::saturating_add);
    (length <= LONGEST_TEXT).then(|| parts.join(separator))
}

/// `items()`, `keys()` and `values()` of a mapping.
fn part_of_dict<'a>(items: &[(Spanned<'a>, Spanned<'a>)], name: &str) -> Option<Value<'a>> {
    let pair = |key: &Spanned<'a>, value: &Spanned<'a>| Spanned {
        value: Value::Sequence(Kind::Tuple, Rc::new(vec![key.clone(), value.clone()])),
        origin: key.origin,
    };
    let parts = match name {
        "keys" => items.iter().map(|(key, _)| key.clone()).collect(),
        "values" => items.iter().map(|(_, value)| value.clone()).collect(),
        "items" => items.iter().map(|(key, value)| pair(key, value)).collect(),
        _ => return None,
    };
    Some(Value::Sequence(Kind::List, Rc::new(parts)))
}
