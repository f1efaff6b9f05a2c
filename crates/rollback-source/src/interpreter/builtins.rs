//! Builtin functions, and names that a module does not define.

use std::rc::Rc;

use super::state::{Frame, Interpreter};
use super::texts::shown;
use crate::compare::{truth, without_doubles};
use crate::global_settings::GLOBAL_SETTINGS;
use crate::value::{Arguments, Kind, Origin, Spanned, Value};

/// Builtins that run dynamic code: they may change any name.
const DYNAMIC_CODE: &[&str] = &["exec", "eval", "globals", "locals", "vars", "__import__", "delattr"];

/// The builtins that are followed.
const BUILTINS: &[&str] = &[
    "None",
    "list",
    "tuple",
    "set",
    "frozenset",
    "dict",
    "str",
    "int",
    "bool",
    "len",
    "range",
    "sorted",
    "reversed",
    "enumerate",
    "zip",
    "map",
    "filter",
    "getattr",
    "super",
    "object",
    "property",
    "staticmethod",
    "classmethod",
    "ImportError",
    "Exception",
    "setattr",
    "hasattr",
];

impl<'a> Interpreter<'a, '_> {
    /// The value of a name in a frame.
    pub(super) fn name(&mut self, frame: &Frame<'a>, name: &'a str, origin: Origin) -> Spanned<'a> {
        let near = frame.scopes.iter().rev().find_map(|scope| scope.get(name));
        if let Some(value) = near.or_else(|| self.modules[frame.module].globals.get(name)) {
            return value.clone().at(origin);
        }
        if DYNAMIC_CODE.contains(&name) && frame.module == 0 {
            self.dynamic_code.get_or_insert_with(|| (format!("uses {name}()"), origin));
        }
        if BUILTINS.contains(&name) && self.modules[frame.module].stars.is_empty() {
            return Spanned { value: Value::Name(format!("builtins.{name}").into()), origin };
        }
        match self.modules[frame.module].stars.first() {
            Some(star) => Spanned::unknown(format!("may come from `from {star} import *`"), origin),
            None => Spanned::unknown(format!("depends on {name}, which is not defined in the file"), origin),
        }
    }

    pub(super) fn builtin(&mut self, name: &str, arguments: &Arguments<'a>, origin: Origin) -> Spanned<'a> {
        let first = arguments.positional.first();
        let made = match (name, &arguments.positional[..]) {
            ("hasattr", [Spanned { value: Value::Name(owner), .. }, name])
                if &**owner == "django.conf.settings" =>
            {
                name.str().map(|name| self.has_setting(name))
            }
            ("getattr", [owner, attribute, default @ ..]) => {
                self.get_attribute(owner, attribute, default.first())
            }
            ("str", [of]) => shown(&of.value).map(|shown| Value::Str(shown.into())),
            ("len", [of]) => {
                self.iterate(of).and_then(|items| i64::try_from(items.len()).ok()).map(Value::Int)
            }
            ("bool", [of]) => truth(&of.value).map(Value::Bool),
            ("dict", []) => Some(dict_of(arguments, origin)),
            ("range", bounds) => range(bounds, origin),
            ("sorted", [of]) if arguments.named.is_empty() => self.sorted(of),
            (_, positional) => self.sequence_of(name, positional, origin),
        };
        match (made, first) {
            (Some(value), _) => Spanned { value, origin },
            (None, Some(first)) => Spanned::unknown(first.reason(), origin),
            (None, None) => Spanned::unknown(format!("depends on {name}()"), origin),
        }
    }

    /// Builtins that make a sequence of others.
    fn sequence_of(&mut self, name: &str, of: &[Spanned<'a>], origin: Origin) -> Option<Value<'a>> {
        let (kind, items) = match (name, of) {
            ("list" | "tuple" | "set" | "frozenset", []) => (kind(name), Vec::new()),
            ("list" | "tuple", [of]) => (kind(name), self.iterate(of)?.to_vec()),
            ("set" | "frozenset", [of]) => (Kind::Set, without_doubles(self.iterate(of)?.to_vec())),
            ("reversed", [of]) => (Kind::List, self.iterate(of)?.iter().rev().cloned().collect()),
            ("enumerate", [of]) => {
                let items = self.iterate(of)?;
                let number = |number| Spanned { value: Value::Int(number), origin };
                let pairs =
                    (0..).zip(items.iter()).map(|(place, item)| pair(number(place), item.clone(), origin));
                (Kind::List, pairs.collect())
            }
            ("zip", [one, other]) => {
                let (one, other) = (self.iterate(one)?, self.iterate(other)?);
                let pairs = one.iter().zip(other.iter());
                (Kind::List, pairs.map(|(one, other)| pair(one.clone(), other.clone(), origin)).collect())
            }
            ("map", [function, of]) => {
                let items = self.iterate(of)?;
                let call = |item: &Spanned<'a>| {
                    let arguments = Arguments { positional: vec![item.clone()], ..Arguments::default() };
                    self.apply(function.clone(), arguments, item.origin)
                };
                (Kind::List, items.iter().map(call).collect())
            }
            _ => return None,
        };
        Some(Value::Sequence(kind, Rc::new(items)))
    }

    /// `getattr(settings, "AUTH_USER_MODEL", "auth.User")`.
    pub(super) fn get_attribute(
        &mut self,
        owner: &Spanned<'a>,
        attribute: &Spanned<'a>,
        default: Option<&Spanned<'a>>,
    ) -> Option<Value<'a>> {
        let (Value::Name(owner), name) = (&owner.value, attribute.str()?) else { return None };
        let Some(default) = default else { return Some(Value::Name(format!("{owner}.{name}").into())) };
        let is_usual = GLOBAL_SETTINGS.binary_search(&name).is_ok();
        if &**owner == "django.conf.settings" && !is_usual && self.others.lacks_setting(name) {
            return Some(default.value.clone());
        }
        let path = format!("{owner}.{name}").into();
        Some(Value::Setting { path, default: default.str().map(Rc::from) })
    }

    /// `hasattr(settings, "SHOP_DEBUG")`.
    pub(super) fn has_setting(&self, name: &str) -> Value<'a> {
        if GLOBAL_SETTINGS.binary_search(&name).is_ok() {
            Value::Bool(true)
        } else if self.others.lacks_setting(name) {
            Value::Bool(false)
        } else {
            Value::Unknown(format!("depends on the setting {name}").into())
        }
    }

    pub(super) fn sorted(&mut self, of: &Spanned<'a>) -> Option<Value<'a>> {
        let mut items = self.iterate(of)?.to_vec();
        if items.iter().any(|item| item.str().is_none()) {
            return None;
        }
        items.sort_by(|one, other| one.str().cmp(&other.str()));
        Some(Value::Sequence(Kind::List, Rc::new(items)))
    }

    /// `setattr(Migration, "atomic", False)`.
    pub(super) fn set_attribute(
        &mut self,
        frame: &mut Frame<'a>,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Spanned<'a> {
        let nothing = Spanned { value: Value::None, origin };
        let [owner, name, value] = &arguments.positional[..] else { return nothing };
        match (&owner.value, name.str()) {
            (Value::Class(id), Some(name)) => {
                let name = self.keep(name);
                self.classes[*id].is_changed |= name.starts_with("__");
                self.classes[*id].scope.insert(name, value.clone());
            }
            (Value::Class(id), None) => self.classes[*id].is_changed = true,
            _ => self.forget_passed(frame, owner),
        }
        nothing
    }
}

fn kind(name: &str) -> Kind {
    match name {
        "tuple" => Kind::Tuple,
        "list" => Kind::List,
        _ => Kind::Set,
    }
}

fn range<'a>(bounds: &[Spanned<'a>], origin: Origin) -> Option<Value<'a>> {
    const LONGEST: i64 = 10_000;
    let number = |bound: &Spanned<'_>| match bound.value {
        Value::Int(number) => Some(number),
        _ => None,
    };
    let (from, to) = match bounds {
        [to] => (0, number(to)?),
        [from, to] | [from, to, _] => (number(from)?, number(to)?),
        _ => return None,
    };
    if to.checked_sub(from)? > LONGEST {
        return None;
    }
    let step = match bounds {
        [_, _, step] => number(step).and_then(|step| usize::try_from(step).ok()).filter(|step| *step > 0)?,
        _ => 1,
    };
    let items =
        (from..to).step_by(step).map(|number| Spanned { value: Value::Int(number), origin }).collect();
    Some(Value::Sequence(Kind::List, Rc::new(items)))
}

/// A tuple of two.
fn pair<'a>(one: Spanned<'a>, other: Spanned<'a>, origin: Origin) -> Spanned<'a> {
    Spanned { value: Value::Sequence(Kind::Tuple, Rc::new(vec![one, other])), origin }
}

/// `dict(a=1)`.
fn dict_of<'a>(arguments: &Arguments<'a>, origin: Origin) -> Value<'a> {
    let key = |name: &Rc<str>| Spanned { value: Value::Str(name.clone()), origin };
    Value::Dict(Rc::new(arguments.named.iter().map(|(name, value)| (key(name), value.clone())).collect()))
}
