//! The state of the interpreter: modules, classes, the current frame, and how many steps are left.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::ModModule;
use ruff_python_parser::Parsed;
use ruff_text_size::Ranged;
use typed_arena::Arena;

use super::merge::merge;
use crate::modules::Modules;
use crate::value::{Arguments, Class, Function, Origin, Scope, Spanned, Value};

/// How many expressions and statements are evaluated before it gives up: far more than any real module has.
const FUEL: u32 = 1_000_000;

/// How deep calls may be nested.
pub(super) const DEEPEST: u32 = 40;

/// The memory for syntax trees, functions and names.
#[derive(Default)]
pub(crate) struct Memory<'a> {
    pub(super) modules: Arena<Parsed<ModModule>>,
    pub(super) functions: Arena<Function<'a>>,
    pub(super) names: Arena<String>,
}

/// Reads a module, and others if they are needed.
pub(crate) struct Interpreter<'a, 'm> {
    pub(super) memory: &'a Memory<'a>,
    pub(super) others: &'m dyn Modules,
    pub(super) modules: Vec<Module<'a>>,
    pub(super) loaded: HashMap<String, Option<usize>>,
    pub(crate) classes: Vec<Class<'a>>,
    /// Objects that a call has changed, old and new: they change for its caller too.
    pub(super) changes: Vec<(Value<'a>, Value<'a>)>,
    /// Dynamic code of the module, which may change anything: what it calls, and where.
    pub(crate) dynamic_code: Option<(String, Origin)>,
    pub(super) fuel: u32,
    pub(super) depth: u32,
    /// The number of active calls in the current module.
    pub(super) calls: u32,
}

pub(super) struct Module<'a> {
    /// The package that relative imports start from.
    pub(super) package: String,
    pub(super) globals: Scope<'a>,
    /// The modules of `from module import *`.
    pub(super) stars: Vec<String>,
}

/// Where code runs: in a module, and there in classes, calls and comprehensions.
pub(crate) struct Frame<'a> {
    pub(super) module: usize,
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) made: Made<'a>,
    /// Names that a function declares with `global`.
    pub(super) globals: Vec<&'a str>,
    /// Whether it is a call.
    pub(super) is_call: bool,
    /// Whether the scopes are those of class bodies, which comprehensions cannot use.
    pub(super) is_class: bool,
}

/// What an `__init__` does to an object.
#[derive(Clone, Default)]
pub(super) struct Made<'a> {
    /// The arguments of `super().__init__(…)`, if it was called.
    pub(super) super_call: Option<Arguments<'a>>,
    /// The attributes that it set on `self`.
    pub(super) attributes: Scope<'a>,
}

impl<'a> Made<'a> {
    /// Keeps what two branches agree on.
    pub(super) fn merge(&mut self, other: Self, why: &Spanned<'a>) {
        merge(&mut self.attributes, other.attributes, why);
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
    pub(super) fn of(module: usize, scopes: Vec<Scope<'a>>) -> Self {
        let (made, globals) = (Made::default(), Vec::new());
        Self { module, scopes, made, globals, is_call: false, is_class: false }
    }

    pub(super) fn of_call(module: usize, scope: Scope<'a>) -> Self {
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
            dynamic_code: None,
            fuel: FUEL,
            depth: 0,
            calls: 0,
        }
    }

    /// A name of the first module.
    pub(crate) fn global(&self, name: &str) -> Option<Spanned<'a>> {
        self.modules.first().and_then(|module| module.globals.get(name)).cloned()
    }

    /// The values of the first module, with those from `import *`.
    pub(crate) fn globals(&mut self) -> Vec<Spanned<'a>> {
        self.modules.first().map(|module| module.globals.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether the first module has an `import *` from a module that cannot be read.
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

    pub(super) fn scope<'f>(&'f mut self, frame: &'f mut Frame<'a>) -> &'f mut Scope<'a> {
        match frame.scopes.last_mut() {
            Some(scope) => scope,
            None => &mut self.modules[frame.module].globals,
        }
    }

    pub(super) fn bind(&mut self, frame: &mut Frame<'a>, name: &'a str, value: Spanned<'a>) {
        if frame.globals.contains(&name) {
            self.modules[frame.module].globals.insert(name, value);
        } else {
            self.scope(frame).insert(name, value);
        }
    }

    /// A name that lives as long as the syntax trees.
    pub(super) fn keep(&self, name: &str) -> &'a str {
        self.memory.names.alloc(name.to_owned())
    }

    pub(super) fn origin(&self, frame: &Frame<'a>, node: &impl Ranged) -> Origin {
        let range = node.range();
        Origin { module: frame.module, start: range.start().to_usize(), end: range.end().to_usize() }
    }

    /// Whether it gave up: then what was found is incomplete.
    pub(crate) fn is_given_up(&self) -> bool {
        self.fuel == 0
    }

    /// Uses up one step. False if none is left.
    pub(super) fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }
}

/// A shared text.
pub(super) fn text(text: impl Into<Rc<str>>) -> Rc<str> {
    text.into()
}
