//! Reads a module as Python would run it, without running anything: what cannot be known stays unknown, with the reason.
//!
//! A list that is changed is changed for every name that it has ([`Interpreter::change`]); one that is handed to code
//! that is not followed counts as unknown from there on.

pub(crate) mod calls;
mod expressions;
mod statements;

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::ModModule;
use ruff_python_parser::Parsed;
use ruff_text_size::Ranged;
use typed_arena::Arena;

use crate::Modules;
use crate::syntax::{self, SyntaxError};
use crate::value::{Arguments, Class, Function, Origin, Scope, Spanned, Value, is_one, replaced};

/// How many expressions and statements are looked at before a module is given up: far more than any real one has.
const FUEL: u32 = 1_000_000;

/// How deep calls may be nested.
const DEEPEST: u32 = 40;

/// Where what is read lives.
#[derive(Default)]
pub(crate) struct Memory<'a> {
    modules: Arena<Parsed<ModModule>>,
    functions: Arena<Function<'a>>,
    names: Arena<String>,
}

/// Reads one module, and others as far as it needs them.
pub(crate) struct Interpreter<'a, 'm> {
    memory: &'a Memory<'a>,
    others: &'m dyn Modules,
    modules: Vec<Module<'a>>,
    loaded: HashMap<String, Option<usize>>,
    pub(crate) classes: Vec<Class<'a>>,
    /// What was changed in a call, the old and the new one: the names of whoever called it change, too.
    changes: Vec<(Value<'a>, Value<'a>)>,
    /// What the module uses that may change anything.
    pub(crate) trick: Option<(String, Origin)>,
    fuel: u32,
    depth: u32,
    /// How many calls are under way in the module that is being read.
    calls: u32,
}

struct Module<'a> {
    /// The package that relative imports start from.
    package: String,
    globals: Scope<'a>,
    /// The modules of `from module import *`.
    stars: Vec<String>,
}

/// Where code runs: in a module, and inside of it in classes, calls and comprehensions.
pub(crate) struct Frame<'a> {
    module: usize,
    scopes: Vec<Scope<'a>>,
    made: Made<'a>,
    /// Names that a function takes from its module, by `global`.
    globals: Vec<&'a str>,
    /// Whether it is a call.
    is_call: bool,
    /// Whether the scopes are those of class bodies, which comprehensions do not see.
    is_class: bool,
}

/// What an `__init__` makes of an object.
#[derive(Clone, Default)]
struct Made<'a> {
    /// The arguments of `super().__init__(…)`, once it was called.
    super_call: Option<Arguments<'a>>,
    /// What was set on `self`.
    attributes: Scope<'a>,
}

impl<'a> Made<'a> {
    /// What both of two ways agree on stays.
    fn merge(&mut self, other: Self, why: &Spanned<'a>) {
        statements::merge(&mut self.attributes, other.attributes, why);
        let same = match (&self.super_call, &other.super_call) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        if !same {
            self.super_call = Some(Arguments { missing: Some(why.clone()), ..Arguments::default() });
        }
    }
}

impl<'a> Frame<'a> {
    fn of(module: usize, scopes: Vec<Scope<'a>>) -> Self {
        let (made, globals) = (Made::default(), Vec::new());
        Self { module, scopes, made, globals, is_call: false, is_class: false }
    }

    fn of_call(module: usize, scope: Scope<'a>) -> Self {
        Self { is_call: true, ..Self::of(module, vec![scope]) }
    }
}

impl<'a, 'm> Interpreter<'a, 'm> {
    pub(crate) fn new(memory: &'a Memory<'a>, others: &'m dyn Modules) -> Self {
        let (modules, loaded, classes, changes) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
        Self {
            memory,
            others,
            modules,
            loaded,
            classes,
            changes,
            trick: None,
            fuel: FUEL,
            depth: 0,
            calls: 0,
        }
    }

    /// Reads a module. `path` is its dotted path.
    pub(crate) fn read(
        &mut self,
        path: &str,
        is_package: bool,
        text: &str,
    ) -> Result<&'a ModModule, SyntaxError> {
        let tree = self.memory.modules.alloc(syntax::parse(text)?).syntax();
        let package =
            if is_package { path } else { path.rsplit_once('.').map_or("", |(package, _)| package) };
        let number = self.modules.len();
        self.loaded.insert(path.to_owned(), Some(number));
        self.modules.push(Module { package: package.to_owned(), globals: Scope::new(), stars: Vec::new() });
        let mut frame = Frame::of(number, Vec::new());
        let calls = std::mem::take(&mut self.calls);
        self.statements(&mut frame, &tree.body);
        self.calls = calls;
        Ok(tree)
    }

    /// A name of the first module.
    pub(crate) fn global(&self, name: &str) -> Option<Spanned<'a>> {
        self.modules.first().and_then(|module| module.globals.get(name)).cloned()
    }

    /// The values of the first module, those of the modules that it takes everything from as well.
    pub(crate) fn globals(&mut self) -> Vec<Spanned<'a>> {
        self.modules.first().map(|module| module.globals.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether the first module takes names from modules that cannot be read.
    pub(crate) fn has_unread_stars(&self) -> bool {
        self.modules.first().is_some_and(|module| !module.stars.is_empty())
    }

    /// The names of the first module, in order.
    pub(crate) fn global_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            self.modules.first().map(|module| module.globals.keys().copied().collect()).unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// What a value comes to when the modules that it is imported from can be read.
    pub(crate) fn concrete(&mut self, value: Spanned<'a>) -> Spanned<'a> {
        let Value::Name(path) = &value.value else { return value };
        match self.follow(&path.clone()) {
            Some(found) => found.at(value.origin),
            None => value,
        }
    }

    /// The value behind a dotted path, where its module can be read.
    fn follow(&mut self, path: &str) -> Option<Spanned<'a>> {
        if self.depth > DEEPEST || path.starts_with("django.") || path.starts_with("builtins.") {
            return None;
        }
        self.depth += 1;
        let found = self.look_up(path);
        self.depth -= 1;
        found
    }

    fn look_up(&mut self, path: &str) -> Option<Spanned<'a>> {
        let dots: Vec<usize> = path.match_indices('.').map(|(place, _)| place).collect();
        for dot in dots.into_iter().rev() {
            let Some(module) = self.module(&path[..dot]) else { continue };
            let mut names = path[dot + 1..].split('.');
            let mut value = self.modules[module].globals.get(names.next()?).cloned()?;
            for name in names {
                value = self.attribute_of_class(&value.value, name)?;
            }
            return Some(self.concrete(value));
        }
        None
    }

    /// Another module, read when it is asked for the first time.
    fn module(&mut self, path: &str) -> Option<usize> {
        if let Some(known) = self.loaded.get(path) {
            return *known;
        }
        self.loaded.insert(path.to_owned(), None);
        let found = self.others.find(path)?;
        let number = match self.loaded.get(&found.path).copied().flatten() {
            Some(number) => number,
            None => {
                let number = self.modules.len();
                self.read(&found.path, found.is_package, &found.text).ok()?;
                number
            }
        };
        self.loaded.insert(path.to_owned(), Some(number));
        Some(number)
    }

    /// A name of a class, or of the classes that it is made from, in the order in which Python looks.
    pub(crate) fn attribute_of_class(&mut self, class: &Value<'a>, name: &str) -> Option<Spanned<'a>> {
        let Value::Class(id) = class else { return None };
        let origin = self.classes[*id].origin;
        let Some(order) = self.resolution_order(class) else {
            let class = self.classes[*id].name;
            return Some(Spanned::unknown(format!("depends on the bases of {class}"), origin));
        };
        for class in order {
            match &class.value {
                Value::Class(id) => {
                    if let Some(value) = self.classes[*id].scope.get(name) {
                        return Some(value.clone());
                    }
                }
                Value::Name(path) if is_known_base(path) => {}
                _ => return Some(Spanned::unknown(class.reason(), origin)),
            }
        }
        None
    }

    /// Python's method resolution order, by C3 (<https://docs.python.org/3/howto/mro.html>): the class itself first. None
    /// where the bases do not allow one.
    pub(crate) fn resolution_order(&mut self, class: &Value<'a>) -> Option<Vec<Spanned<'a>>> {
        if self.depth > DEEPEST {
            return None;
        }
        let Value::Class(id) = class else { return None };
        let itself = Spanned { value: class.clone(), origin: self.classes[*id].origin };
        let mut lists: Vec<Vec<Spanned<'a>>> = Vec::new();
        let mut bases = Vec::new();
        for base in self.classes[*id].bases.clone() {
            let base = self.concrete(base);
            let list = match &base.value {
                Value::Class(_) => {
                    self.depth += 1;
                    let order = self.resolution_order(&base.value);
                    self.depth -= 1;
                    order?
                }
                Value::Name(path) => match crate::operation::base_of(path) {
                    Some(above) => {
                        vec![base.clone(), Spanned { value: Value::Name(text(above)), origin: base.origin }]
                    }
                    None => vec![base.clone()],
                },
                _ => vec![base.clone()],
            };
            bases.push(base);
            lists.push(list);
        }
        lists.push(bases);
        let mut order = vec![itself];
        loop {
            lists.retain(|list| !list.is_empty());
            if lists.is_empty() {
                return Some(order);
            }
            let is_free = |candidate: &Spanned<'a>| {
                !lists.iter().any(|list| list[1..].iter().any(|other| is_same_class(candidate, other)))
            };
            let place = lists.iter().position(|list| is_free(&list[0]))?;
            let next = lists[place].remove(0);
            for list in
                lists.iter_mut().filter(|list| list.first().is_some_and(|head| is_same_class(head, &next)))
            {
                list.remove(0);
            }
            order.push(next);
        }
    }

    /// A list, a mapping or an object is another one from here on, whatever it is called.
    fn change(&mut self, frame: &mut Frame<'a>, old: &Value<'a>, new: Value<'a>) {
        change_in(frame, old, &new, &mut self.fuel);
        let modules = self.modules.iter_mut().map(|module| &mut module.globals);
        for scope in modules.chain(self.classes.iter_mut().map(|class| &mut class.scope)) {
            change_scope(scope, old, &new, &mut self.fuel);
        }
        self.fuel = self.fuel.saturating_sub(size(old) / 32);
        if self.calls == 0 {
            return;
        }
        match self.changes.last_mut() {
            Some((_, last)) if is_one(last, old) => *last = new,
            _ => self.changes.push((old.clone(), new)),
        }
    }

    /// What a call has changed is changed for whoever called.
    fn catch_up(&mut self, frame: &mut Frame<'a>, since: usize) {
        for (old, new) in self.changes.iter().skip(since) {
            change_in(frame, old, new, &mut self.fuel);
        }
        if self.calls == 0 {
            self.changes.clear();
        }
    }

    /// What was handed over may be changed by code that is not followed.
    fn give_away(&mut self, frame: &mut Frame<'a>, value: &Spanned<'a>) {
        const WHY: &str = "is handed to code that may change it";
        if !self.burn() {
            return;
        }
        match &value.value {
            Value::Sequence(_, items) => {
                for item in items.iter() {
                    self.give_away(frame, item);
                }
            }
            Value::Dict(items) => {
                for (_, item) in items.iter() {
                    self.give_away(frame, item);
                }
            }
            Value::Class(id) => self.classes[*id].is_changed = true,
            Value::Instance(_) => {}
            _ => return,
        }
        self.change(frame, &value.value, Value::Unknown(text(WHY)));
    }

    /// The module that a relative import means.
    fn absolute(&self, module: usize, level: u32, name: &str) -> String {
        if level == 0 {
            return name.to_owned();
        }
        let mut package = self.modules[module].package.as_str();
        for _ in 1..level {
            package = package.rsplit_once('.').map_or("", |(above, _)| above);
        }
        match (package, name) {
            (package, "") => package.to_owned(),
            ("", name) => name.to_owned(),
            (package, name) => format!("{package}.{name}"),
        }
    }

    /// The name as this place sees it.
    fn name(&mut self, frame: &Frame<'a>, name: &'a str, origin: Origin) -> Spanned<'a> {
        let near = frame.scopes.iter().rev().find_map(|scope| scope.get(name));
        if let Some(value) = near.or_else(|| self.modules[frame.module].globals.get(name)) {
            return value.clone().at(origin);
        }
        if TRICKS.contains(&name) && frame.module == 0 {
            self.trick.get_or_insert_with(|| (format!("uses {name}()"), origin));
        }
        if BUILTINS.contains(&name) && self.modules[frame.module].stars.is_empty() {
            return Spanned { value: Value::Name(format!("builtins.{name}").into()), origin };
        }
        match self.modules[frame.module].stars.first() {
            Some(star) => Spanned::unknown(format!("may come from `from {star} import *`"), origin),
            None => Spanned::unknown(format!("depends on {name}, which is not defined in the file"), origin),
        }
    }

    fn bind(&mut self, frame: &mut Frame<'a>, name: &'a str, value: Spanned<'a>) {
        if frame.globals.contains(&name) {
            self.modules[frame.module].globals.insert(name, value);
        } else {
            self.scope(frame).insert(name, value);
        }
    }

    /// A name that lives as long as what is read.
    fn keep(&self, name: &str) -> &'a str {
        self.memory.names.alloc(name.to_owned())
    }

    /// What `from module import *` brings, where the module can be read.
    fn import_all(&mut self, frame: &mut Frame<'a>, module: &str) {
        let Some(number) = self.module(module) else {
            self.modules[frame.module].stars.push(module.to_owned());
            return;
        };
        let stars = self.modules[number].stars.clone();
        self.modules[frame.module].stars.extend(stars);
        let all = self.modules[number].globals.get("__all__").cloned();
        let all: Option<Vec<String>> = all.map(|all| {
            let items = all.items().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item.str().map(str::to_owned)).collect()
        });
        let is_public = |name: &str| match &all {
            Some(all) => all.iter().any(|public| public == name),
            None => !name.starts_with('_'),
        };
        let globals: Vec<(&'a str, Spanned<'a>)> =
            self.modules[number].globals.iter().map(|(name, value)| (*name, value.clone())).collect();
        for (name, value) in globals.into_iter().filter(|(name, _)| is_public(name)) {
            self.bind(frame, name, value);
        }
    }

    fn scope<'f>(&'f mut self, frame: &'f mut Frame<'a>) -> &'f mut Scope<'a> {
        match frame.scopes.last_mut() {
            Some(scope) => scope,
            None => &mut self.modules[frame.module].globals,
        }
    }

    fn origin(&self, frame: &Frame<'a>, node: &impl Ranged) -> Origin {
        let range = node.range();
        Origin { module: frame.module, start: range.start().to_usize(), end: range.end().to_usize() }
    }

    /// Whether it took too long: then what was found is not all.
    pub(crate) fn is_given_up(&self) -> bool {
        self.fuel == 0
    }

    /// Uses up a little; false when all is used up.
    fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }
}

fn change_in<'a>(frame: &mut Frame<'a>, old: &Value<'a>, new: &Value<'a>, budget: &mut u32) {
    for scope in frame.scopes.iter_mut().chain([&mut frame.made.attributes]) {
        change_scope(scope, old, new, budget);
    }
}

fn change_scope<'a>(scope: &mut Scope<'a>, old: &Value<'a>, new: &Value<'a>, budget: &mut u32) {
    for value in scope.values_mut() {
        if let Some(changed) = replaced(&value.value, old, new, budget) {
            value.value = changed;
        }
    }
}

/// How many items it takes to copy a value.
fn size(value: &Value<'_>) -> u32 {
    let length = match value {
        Value::Sequence(_, items) => items.len(),
        Value::Dict(items) => items.len(),
        _ => 0,
    };
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Whether a base from elsewhere has no names that matter here.
fn is_known_base(path: &str) -> bool {
    path.starts_with("django.") || path.starts_with("builtins.")
}

fn is_same_class(one: &Spanned<'_>, other: &Spanned<'_>) -> bool {
    match (&one.value, &other.value) {
        (Value::Class(one), Value::Class(other)) => one == other,
        (Value::Name(one), Value::Name(other)) => {
            one == other
                || (is_known_base(one)
                    && is_known_base(other)
                    && one.rsplit('.').next() == other.rsplit('.').next())
        }
        _ => false,
    }
}

/// Builtins that may change any name.
const TRICKS: &[&str] = &["exec", "eval", "globals", "locals", "vars", "__import__", "delattr"];

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

/// A text that is shared.
fn text(text: impl Into<Rc<str>>) -> Rc<str> {
    text.into()
}
