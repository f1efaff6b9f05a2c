//! Reads a module as Python would run it, without running anything: what cannot be known stays unknown, with the reason.
//!
//! Lists are values here, not places: a list that two names share and one of them changes would be misread, so a list
//! that is handed to code that is not followed counts as unknown from there on.

mod calls;
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
use crate::value::{Class, Function, Origin, Scope, Spanned, Value};

/// How many expressions and statements are looked at before a module is given up: far more than any real one has.
const FUEL: u32 = 2_000_000;

/// How deep calls may be nested.
const DEEPEST: u32 = 40;

/// Where what is read lives.
#[derive(Default)]
pub(crate) struct Memory<'a> {
    modules: Arena<Parsed<ModModule>>,
    functions: Arena<Function<'a>>,
}

/// Reads one module, and others as far as it needs them.
pub(crate) struct Interpreter<'a, 'm> {
    memory: &'a Memory<'a>,
    others: &'m dyn Modules,
    modules: Vec<Module<'a>>,
    loaded: HashMap<String, Option<usize>>,
    pub(crate) classes: Vec<Class<'a>>,
    fuel: u32,
    depth: u32,
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
    /// The arguments of `super().__init__(…)`, once it was called.
    super_call: Option<crate::value::Arguments<'a>>,
    /// What a method set on `self`.
    attributes: Scope<'a>,
}

impl<'a> Frame<'a> {
    fn of(module: usize, scopes: Vec<Scope<'a>>) -> Self {
        Self { module, scopes, super_call: None, attributes: Scope::new() }
    }
}

impl<'a, 'm> Interpreter<'a, 'm> {
    pub(crate) fn new(memory: &'a Memory<'a>, others: &'m dyn Modules) -> Self {
        let (modules, loaded, classes) = (Vec::new(), HashMap::new(), Vec::new());
        Self { memory, others, modules, loaded, classes, fuel: FUEL, depth: 0 }
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
        self.statements(&mut frame, &tree.body);
        Ok(tree)
    }

    /// A name of the first module.
    pub(crate) fn global(&self, name: &str) -> Option<Spanned<'a>> {
        self.modules.first().and_then(|module| module.globals.get(name)).cloned()
    }

    /// The values of the first module.
    pub(crate) fn globals(&self) -> Vec<Spanned<'a>> {
        self.modules.first().map(|module| module.globals.values().cloned().collect()).unwrap_or_default()
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

    /// A name of a class, or of the classes that it is made from.
    pub(crate) fn attribute_of_class(&mut self, class: &Value<'a>, name: &str) -> Option<Spanned<'a>> {
        let Value::Class(id) = class else { return None };
        if let Some(value) = self.classes[*id].scope.get(name) {
            return Some(value.clone());
        }
        for base in self.classes[*id].bases.clone() {
            let base = self.concrete(base);
            if let Some(value) = self.attribute_of_class(&base.value, name) {
                return Some(value);
            }
        }
        None
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
        for star in self.modules[frame.module].stars.clone() {
            if let Some(value) = self.follow(&format!("{star}.{name}")) {
                return value.at(origin);
            }
        }
        if BUILTINS.contains(&name) {
            return Spanned { value: Value::Name(format!("builtins.{name}").into()), origin };
        }
        match self.modules[frame.module].stars.first() {
            Some(star) => Spanned::unknown(format!("may come from `from {star} import *`"), origin),
            None => Spanned::unknown(format!("depends on {name}, which is not defined in the file"), origin),
        }
    }

    fn bind(&mut self, frame: &mut Frame<'a>, name: &'a str, value: Spanned<'a>) {
        self.scope(frame).insert(name, value);
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

    /// Uses up a little; false when all is used up.
    fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }
}

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
];

/// A text that is shared.
fn text(text: impl Into<Rc<str>>) -> Rc<str> {
    text.into()
}
