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

    pub(super) fn made_by_method(
        &mut self,
        owner: &Spanned<'a>,
        name: &str,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Option<Spanned<'a>> {
        let value = match (&owner.value, name, &arguments.positional[..]) {
            (Value::Str(text), "format", positional) => format(text, positional, &arguments.named)?,
            (Value::Str(text), "lower", []) => text.to_lowercase(),
            (Value::Str(text), "upper", []) => text.to_uppercase(),
            (Value::Str(text), "strip", []) => text.trim().to_owned(),
            (Value::Str(shown), "zfill", [Spanned { value: Value::Int(width), .. }]) => {
                padded(shown, &format!("0{width}"))?
            }
            (Value::Str(text), "startswith" | "endswith", [part]) => {
                let part = part.str()?;
                let is = if name == "startswith" { text.starts_with(part) } else { text.ends_with(part) };
                return Some(Spanned { value: Value::Bool(is), origin });
            }
            (Value::Str(text), "split", []) => {
                let part = |part: &str| Spanned { value: Value::Str(part.into()), origin };
                let parts = text.split_whitespace().map(part).collect();
                return Some(Spanned { value: Value::Sequence(Kind::List, Rc::new(parts)), origin });
            }
            (Value::Str(text), "replace", [from, to]) if text.len() < 10_000 && to.str()?.len() < 100 => {
                text.replace(from.str()?, to.str()?)
            }
            (Value::Str(text), "join", [items]) => {
                let items = self.iterate(items)?;
                let parts: Option<Vec<String>> = items.iter().map(|item| shown(&item.value)).collect();
                let parts = parts?;
                let length = parts.iter().map(|part| part.len() + text.len()).fold(0, usize::saturating_add);
                if length > LONGEST_TEXT {
                    return None;
                }
                parts.join(text)
            }
            (Value::Str(text), "split", [separator]) => {
                let part = |part: &str| Spanned { value: Value::Str(part.into()), origin };
                let parts = text.split(separator.str()?).map(part).collect();
                return Some(Spanned { value: Value::Sequence(Kind::List, Rc::new(parts)), origin });
            }
            (Value::Sequence(kind, items), "copy", []) => {
                return Some(Spanned { value: Value::Sequence(*kind, Rc::new(items.to_vec())), origin });
            }
            (Value::Dict(items), "items", []) => {
                let pair = |(key, value): &(Spanned<'a>, Spanned<'a>)| Spanned {
                    value: Value::Sequence(Kind::Tuple, Rc::new(vec![key.clone(), value.clone()])),
                    origin: key.origin,
                };
                return Some(Spanned {
                    value: Value::Sequence(Kind::List, Rc::new(items.iter().map(pair).collect())),
                    origin,
                });
            }
            (Value::Dict(items), "keys" | "values", []) => {
                let part = |(key, value): &(Spanned<'a>, Spanned<'a>)| {
                    if name == "keys" { key.clone() } else { value.clone() }
                };
                return Some(Spanned {
                    value: Value::Sequence(Kind::List, Rc::new(items.iter().map(part).collect())),
                    origin,
                });
            }
            _ => return None,
        };
        Some(Spanned { value: made_text(value), origin })
    }
}
