//! Calls: those that can be followed are, the others are kept as they are written.

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall, Parameters};

use super::expressions::{LONGEST_TEXT, made_text, shown};
use super::statements::{Flow, Search};
use super::{DEEPEST, Frame, Interpreter};
use crate::global_settings::GLOBAL_SETTINGS;
use crate::value::{
    Arguments, Function, Instance, Kind, Origin, Scope, Spanned, Value, has_rest, rest, truth,
};

impl<'a> Interpreter<'a, '_> {
    pub(super) fn call(&mut self, frame: &mut Frame<'a>, call: &'a ExprCall, origin: Origin) -> Spanned<'a> {
        if let Some(done) = self.super_init(frame, call, origin) {
            return done;
        }
        let since = self.changes.len();
        let (callee, arguments) = if let Expr::Attribute(method) = &*call.func {
            let owner = self.expression(frame, &method.value);
            let arguments = self.arguments(frame, call);
            if let Some(done) = self.changing(frame, &owner, method.attr.id.as_str(), &arguments) {
                return done.at(origin);
            }
            if let Some(done) = self.method(&owner, method.attr.id.as_str(), &arguments, origin) {
                return done;
            }
            (self.expression(frame, &call.func), arguments)
        } else {
            (self.expression(frame, &call.func), self.arguments(frame, call))
        };
        if is_setattr(&callee) {
            return self.set_attribute(frame, &arguments, origin);
        }
        let may_change = may_change(&callee);
        let done = self.apply(callee, arguments.clone(), origin);
        self.catch_up(frame, since);
        if may_change || done.why().is_some() {
            let given = arguments.named.iter().map(|(_, value)| value);
            for value in arguments.positional.iter().chain(given) {
                self.give_away(frame, value);
            }
        }
        done
    }

    /// Methods that change a list or a mapping: what they return.
    fn changing(
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
                let why = format!("is changed by .{method}(), which is not followed");
                (Value::Unknown(why.clone().into()), Spanned::unknown(why, owner.origin))
            }
        };
        self.change(frame, &owner.value, changed);
        Some(returned)
    }

    /// The items of a list after `append` and the like, and what the method returns.
    fn changed(
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

    /// `setattr(Migration, "atomic", False)`.
    fn set_attribute(
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
            _ => self.give_away(frame, owner),
        }
        nothing
    }

    /// A statement that is only an expression: what it does counts.
    pub(super) fn effect(&mut self, frame: &mut Frame<'a>, expression: &'a Expr) {
        if !expression.is_string_literal_expr() {
            let _ = self.expression(frame, expression);
        }
    }

    fn arguments(&mut self, frame: &mut Frame<'a>, call: &'a ExprCall) -> Arguments<'a> {
        let mut arguments = Arguments::default();
        for argument in &call.arguments.args {
            if let Expr::Starred(starred) = argument {
                let inner = self.expression(frame, &starred.value);
                match self.iterate(&inner) {
                    Some(items) => arguments.positional.extend(items.iter().cloned()),
                    None => arguments.missing = Some(Spanned::unknown(inner.reason(), inner.origin)),
                }
            } else {
                let value = self.expression(frame, argument);
                arguments.positional.push(value);
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.expression(frame, &keyword.value);
            match (&keyword.arg, &value.value) {
                (Some(name), _) => arguments.named.push((name.id.as_str().into(), value)),
                (None, Value::Dict(items)) if items.iter().all(|(key, _)| key.str().is_some()) => {
                    let named =
                        items.iter().filter_map(|(key, value)| Some((key.str()?.into(), value.clone())));
                    arguments.named.extend(named);
                }
                (None, _) => arguments.missing = Some(Spanned::unknown(value.reason(), value.origin)),
            }
        }
        arguments
    }

    /// `super().__init__(…)`, and `Base.__init__(self, …)`: what they are given is what the base gets.
    fn super_init(
        &mut self,
        frame: &mut Frame<'a>,
        call: &'a ExprCall,
        origin: Origin,
    ) -> Option<Spanned<'a>> {
        let method = call.func.as_attribute_expr().filter(|method| method.attr.id.as_str() == "__init__")?;
        let is_super = method.value.as_call_expr().and_then(|inner| inner.func.as_name_expr());
        let is_super = is_super.is_some_and(|name| name.id.as_str() == "super");
        let mut arguments = self.arguments(frame, call);
        if !is_super {
            let is_itself = |value: &Spanned<'_>| matches!(value.value, Value::Itself);
            if !arguments.positional.first().is_some_and(is_itself) {
                return None;
            }
            arguments.positional.remove(0);
        }
        frame.made.super_call = Some(arguments);
        Some(Spanned { value: Value::None, origin })
    }

    /// Methods of texts, lists and mappings.
    fn method(
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
            let why = unknown.map_or_else(|| format!("is made by .{name}()"), Spanned::reason);
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
        let value = match (&owner.value, name, &arguments.positional[..]) {
            (Value::Str(text), "format", positional) => format(text, positional, &arguments.named)?,
            (Value::Str(text), "lower", []) => text.to_lowercase(),
            (Value::Str(text), "upper", []) => text.to_uppercase(),
            (Value::Str(text), "strip", []) => text.trim().to_owned(),
            (Value::Str(shown), "zfill", [Spanned { value: Value::Int(width), .. }]) => {
                super::expressions::padded(shown, &format!("0{width}"))?
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

    /// Calls a value.
    pub(super) fn apply(
        &mut self,
        callee: Spanned<'a>,
        arguments: Arguments<'a>,
        origin: Origin,
    ) -> Spanned<'a> {
        let is_kept = matches!(&callee.value, Value::Name(path) if &**path == SWAPPER);
        let callee = match if is_kept { callee.clone() } else { self.concrete(callee.clone()) } {
            found @ Spanned { value: Value::Function(_) | Value::Class(_) | Value::Lambda(..), .. } => found,
            _ => callee,
        };
        match &callee.value {
            Value::Name(path) if path.starts_with("builtins.") => {
                self.builtin(&path[9..], &arguments, origin)
            }
            Value::Function(function) => self.run(function, arguments, origin),
            Value::Lambda(lambda, module) => {
                let Some(module) = *module else {
                    return Spanned::unknown("is made by a lambda inside of a function", origin);
                };
                let parameters = lambda.parameters.as_deref();
                match self.bound(parameters, arguments, (module, &Scope::new())) {
                    Ok(scope) => {
                        let body = &lambda.body;
                        self.nested(Frame::of_call(module, scope), origin, |this, frame| {
                            let value = this.expression(frame, body);
                            Flow::Return(value)
                        })
                    }
                    Err(why) => Spanned::unknown(why, origin),
                }
            }
            Value::Unknown(why) => Spanned { value: Value::Unknown(why.clone()), origin },
            Value::Name(_) | Value::Class(_) => {
                Spanned { value: Value::Instance(Rc::new(Instance { callee, arguments })), origin }
            }
            _ => Spanned::unknown(callee.reason(), origin),
        }
    }

    /// Runs a function.
    fn run(&mut self, function: &'a Function<'a>, arguments: Arguments<'a>, origin: Origin) -> Spanned<'a> {
        let definition = function.definition;
        if let Some(reason) = not_followed(function) {
            return Spanned::unknown(reason, origin);
        }
        match self.bound(Some(&definition.parameters), arguments, (function.module, &function.defaults)) {
            Ok(scope) => self.nested(Frame::of_call(function.module, scope), origin, |this, frame| {
                this.statements(frame, &definition.body)
            }),
            Err(why) => Spanned::unknown(why, origin),
        }
    }

    /// Runs `__init__` of a class: the arguments that its base gets, if it calls that, and what it set on `self`.
    pub(crate) fn initialise(
        &mut self,
        function: &'a Function<'a>,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Result<(Option<Arguments<'a>>, Scope<'a>), String> {
        let definition = function.definition;
        if let Some(reason) = not_followed(function) {
            return Err(reason);
        }
        let mut given = arguments.clone();
        given.positional.insert(0, Spanned { value: Value::Itself, origin });
        let scope = self.bound(Some(&definition.parameters), given, (function.module, &function.defaults))?;
        let mut frame = Frame::of_call(function.module, scope);
        if self.depth > DEEPEST {
            return Err("calls itself".to_owned());
        }
        self.depth += 1;
        self.calls += 1;
        let ended = self.statements(&mut frame, &definition.body);
        self.calls -= 1;
        self.depth -= 1;
        match ended {
            Flow::Next | Flow::Return(_) => Ok((frame.made.super_call, frame.made.attributes)),
            Flow::Unsure(why) => Err(why.reason()),
            _ => Err("has an __init__ that raises an exception".to_owned()),
        }
    }

    /// What a property or a function without arguments but `self` returns.
    pub(crate) fn property(&mut self, function: &'a Function<'a>, origin: Origin) -> Spanned<'a> {
        let itself = Spanned { value: Value::Itself, origin };
        let arguments = Arguments { positional: vec![itself], ..Arguments::default() };
        let known = (function.module, &function.defaults);
        match self.bound(Some(&function.definition.parameters), arguments, known) {
            Ok(scope) => self.nested(Frame::of_call(function.module, scope), origin, |this, frame| {
                this.statements(frame, &function.definition.body)
            }),
            Err(why) => Spanned::unknown(why, origin),
        }
    }

    fn nested(
        &mut self,
        mut frame: Frame<'a>,
        origin: Origin,
        body: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
    ) -> Spanned<'a> {
        if self.depth > DEEPEST {
            return Spanned::unknown("calls itself, or too many others", origin);
        }
        self.depth += 1;
        self.calls += 1;
        let ended = body(self, &mut frame);
        self.calls -= 1;
        self.depth -= 1;
        match ended {
            Flow::Return(value) => value.at(origin),
            Flow::Next => Spanned { value: Value::None, origin },
            Flow::Raise => Spanned::unknown("raises an exception", origin),
            Flow::Unsure(why) => Spanned::unknown(why.reason(), origin),
            Flow::Loop { .. } => Spanned::unknown("leaves a loop that is not there", origin),
        }
    }

    /// The defaults of parameters, as they are now.
    pub(super) fn defaults(&mut self, frame: &mut Frame<'a>, parameters: &'a Parameters) -> Scope<'a> {
        let places = parameters.posonlyargs.iter().chain(&parameters.args).chain(&parameters.kwonlyargs);
        let given =
            places.filter_map(|parameter| Some((parameter.name().id.as_str(), parameter.default.as_ref()?)));
        given.map(|(name, default)| (name, self.expression(frame, default))).collect()
    }

    /// The parameters of a function with their values.
    fn bound(
        &mut self,
        parameters: Option<&'a Parameters>,
        arguments: Arguments<'a>,
        (module, defaults): (usize, &Scope<'a>),
    ) -> Result<Scope<'a>, String> {
        let mut scope = Scope::new();
        let Some(parameters) = parameters else { return Ok(scope) };
        if let Some(missing) = &arguments.missing {
            return Err(missing.reason());
        }
        let origin = Origin { module, start: 0, end: 0 };
        let mut positional = arguments.positional.into_iter();
        let mut named = arguments.named;
        let places = parameters.posonlyargs.iter().chain(&parameters.args);
        let mut without = Vec::new();
        for parameter in places {
            match positional.next() {
                Some(value) => {
                    scope.insert(parameter.name().id.as_str(), value);
                }
                None => without.push(parameter),
            }
        }
        let rest: Vec<Spanned<'a>> = positional.collect();
        match &parameters.vararg {
            Some(name) => {
                let value = Value::Sequence(Kind::Tuple, Rc::new(rest));
                scope.insert(name.name.id.as_str(), Spanned { value, origin });
            }
            None if rest.is_empty() => {}
            None => return Err("has too many arguments".to_owned()),
        }
        for parameter in without.into_iter().chain(&parameters.kwonlyargs) {
            let name = parameter.name().id.as_str();
            let given = named.iter().position(|(given, _)| **given == *name);
            let value = match (given, &parameter.default) {
                (Some(place), _) => named.remove(place).1,
                (None, Some(_)) if defaults.contains_key(name) => defaults[name].clone(),
                (None, Some(default)) => self.expression(&mut Frame::of(module, Vec::new()), default),
                (None, None) => return Err(format!("has no argument {name}")),
            };
            scope.insert(name, value);
        }
        if let Some(name) = &parameters.kwarg {
            let key = |name: Rc<str>| Spanned { value: Value::Str(name), origin };
            let items = named.into_iter().map(|(name, value)| (key(name), value)).collect();
            scope.insert(name.name.id.as_str(), Spanned { value: Value::Dict(Rc::new(items)), origin });
        } else if !named.is_empty() {
            return Err("has an argument that is not there".to_owned());
        }
        Ok(scope)
    }

    fn builtin(&mut self, name: &str, arguments: &Arguments<'a>, origin: Origin) -> Spanned<'a> {
        let first = arguments.positional.first().cloned();
        let made = match (name, &arguments.positional[..]) {
            ("hasattr", [Spanned { value: Value::Name(owner), .. }, name])
                if &**owner == "django.conf.settings" =>
            {
                name.str().map(|name| self.has_setting(name))
            }
            ("getattr", [owner, attribute, default @ ..]) => {
                self.get_attribute(owner, attribute, default.first())
            }
            ("list" | "tuple" | "set" | "frozenset", []) => Some(Value::Sequence(kind(name), Rc::default())),
            ("list" | "tuple", [of]) => {
                self.iterate(of).map(|items| Value::Sequence(kind(name), Rc::new(items.to_vec())))
            }
            ("set" | "frozenset", [of]) => self.iterate(of).map(|items| {
                Value::Sequence(Kind::Set, Rc::new(super::expressions::without_doubles(items.to_vec())))
            }),
            ("dict", []) => {
                let key = |name: &Rc<str>| Spanned { value: Value::Str(name.clone()), origin };
                Some(Value::Dict(Rc::new(
                    arguments.named.iter().map(|(name, value)| (key(name), value.clone())).collect(),
                )))
            }
            ("reversed", [of]) => self
                .iterate(of)
                .map(|items| Value::Sequence(Kind::List, Rc::new(items.iter().rev().cloned().collect()))),
            ("sorted", [of]) if arguments.named.is_empty() => self.sorted(of),
            ("str", [of]) => shown(&of.value).map(|shown| Value::Str(shown.into())),
            ("len", [of]) => {
                self.iterate(of).and_then(|items| i64::try_from(items.len()).ok()).map(Value::Int)
            }
            ("bool", [of]) => truth(&of.value).map(Value::Bool),
            ("range", bounds) => range(bounds, origin),
            ("enumerate", [of]) => self.iterate(of).map(|items| {
                let pair = |(place, item): (i64, &Spanned<'a>)| {
                    let place = Spanned { value: Value::Int(place), origin };
                    Spanned {
                        value: Value::Sequence(Kind::Tuple, Rc::new(vec![place, item.clone()])),
                        origin,
                    }
                };
                Value::Sequence(Kind::List, Rc::new((0..).zip(items.iter()).map(pair).collect()))
            }),
            ("zip", [one, other]) => self.iterate(one).zip(self.iterate(other)).map(|(one, other)| {
                let pair = |(one, other): (&Spanned<'a>, &Spanned<'a>)| Spanned {
                    value: Value::Sequence(Kind::Tuple, Rc::new(vec![one.clone(), other.clone()])),
                    origin,
                };
                Value::Sequence(Kind::List, Rc::new(one.iter().zip(other.iter()).map(pair).collect()))
            }),
            ("map", [function, of]) => self.iterate(of).map(|items| {
                let call = |item: &Spanned<'a>| {
                    let arguments = Arguments { positional: vec![item.clone()], ..Arguments::default() };
                    self.apply(function.clone(), arguments, item.origin)
                };
                Value::Sequence(Kind::List, Rc::new(items.iter().map(call).collect()))
            }),
            _ => None,
        };
        match (made, first) {
            (Some(value), _) => Spanned { value, origin },
            (None, Some(first)) => Spanned::unknown(first.reason(), origin),
            (None, None) => Spanned::unknown(format!("depends on {name}()"), origin),
        }
    }

    /// `getattr(settings, "AUTH_USER_MODEL", "auth.User")`.
    fn get_attribute(
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
    fn has_setting(&self, name: &str) -> Value<'a> {
        if GLOBAL_SETTINGS.binary_search(&name).is_ok() {
            Value::Bool(true)
        } else if self.others.lacks_setting(name) {
            Value::Bool(false)
        } else {
            Value::Unknown(format!("depends on the setting {name}").into())
        }
    }

    fn sorted(&mut self, of: &Spanned<'a>) -> Option<Value<'a>> {
        let mut items = self.iterate(of)?.to_vec();
        if items.iter().any(|item| item.str().is_none()) {
            return None;
        }
        items.sort_by(|one, other| one.str().cmp(&other.str()));
        Some(Value::Sequence(Kind::List, Rc::new(items)))
    }
}

/// What migrations depend on a model by that a setting may swap, in the package `swapper`.
pub(crate) const SWAPPER: &str = "swapper.dependency";

/// Methods of texts that make texts.
const MAKE_TEXTS: &[&str] = &["format", "lower", "upper", "strip", "replace", "join", "zfill"];

/// Whether what is called may change what it is given: code that is not followed, and no class.
fn may_change(callee: &Spanned<'_>) -> bool {
    match &callee.value {
        Value::Name(path) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            let is_class = name.chars().next().is_some_and(char::is_uppercase);
            !is_class && !path.starts_with("builtins.") && !path.starts_with("django.")
        }
        Value::Unknown(_) | Value::Setting { .. } => true,
        _ => false,
    }
}

fn is_setattr(callee: &Spanned<'_>) -> bool {
    matches!(&callee.value, Value::Name(path) if &**path == "builtins.setattr")
}

fn kind(name: &str) -> Kind {
    match name {
        "tuple" => Kind::Tuple,
        "list" => Kind::List,
        _ => Kind::Set,
    }
}

/// Why a function is not followed.
fn not_followed(function: &Function<'_>) -> Option<String> {
    let definition = function.definition;
    let name = &definition.name.id;
    if function.is_inner {
        return Some(format!("is made by {name}(), which stands inside of another function"));
    }
    if Search::of(&definition.body).yields {
        return Some(format!("is made by {name}(), which is a generator"));
    }
    if definition.is_async {
        return Some(format!("is made by {name}(), which is async"));
    }
    (!definition.decorator_list.is_empty()).then(|| format!("is made by {name}(), which has a decorator"))
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

/// `text.format(…)`, where the pattern has only `{}`, `{0}` and `{name}`.
fn format<'a>(pattern: &str, positional: &[Spanned<'a>], named: &[(Rc<str>, Spanned<'a>)]) -> Option<String> {
    let mut made = String::new();
    let (mut rest, mut next) = (pattern, 0);
    while let Some(open) = rest.find(['{', '}']) {
        made.push_str(&rest[..open]);
        let close = open + rest[open..].find('}')?;
        let name = rest[open..].strip_prefix('{').map(|_| &rest[open + 1..close])?;
        let value = match name.parse::<usize>() {
            _ if name.is_empty() => {
                next += 1;
                positional.get(next - 1)
            }
            Ok(place) => positional.get(place),
            Err(_) => named.iter().find(|(given, _)| &**given == name).map(|(_, value)| value),
        };
        made.push_str(&shown(&value?.value)?);
        if made.len() > LONGEST_TEXT {
            return None;
        }
        rest = &rest[close + 1..];
    }
    made.push_str(rest);
    Some(made)
}
