//! What the interpreter knows while it reads: modules, classes, the frame that runs, and how much it may still do.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::ModModule;
use ruff_python_parser::Parsed;
use ruff_text_size::Ranged;
use typed_arena::Arena;

use super::merge::merge;
use crate::modules::Modules;
use crate::value::{Arguments, Class, Function, Origin, Scope, Spanned, Value};

/// How many expressions and statements are looked at before a module is given up: far more than any real one has.
const FUEL: u32 = 1_000_000;

/// How deep calls may be nested.
pub(super) const DEEPEST: u32 = 40;

/// Where what is read lives.
#[derive(Default)]
pub(crate) struct Memory<'a> {
    pub(super) modules: Arena<Parsed<ModModule>>,
    pub(super) functions: Arena<Function<'a>>,
    pub(super) names: Arena<String>,
}

/// Reads one module, and others as far as it needs them.
pub(crate) struct Interpreter<'a, 'm> {
    pub(super) memory: &'a Memory<'a>,
    pub(super) others: &'m dyn Modules,
    pub(super) modules: Vec<Module<'a>>,
    pub(super) loaded: HashMap<String, Option<usize>>,
    pub(crate) classes: Vec<Class<'a>>,
    /// What was changed in a call, the old and the new one: the names of whoever called it change, too.
    pub(super) changes: Vec<(Value<'a>, Value<'a>)>,
    /// Dynamic code of the module, which may change anything: what it calls, and where.
    pub(crate) dynamic_code: Option<(String, Origin)>,
    pub(super) fuel: u32,
    pub(super) depth: u32,
    /// How many calls are under way in the module that is being read.
    pub(super) calls: u32,
}

pub(super) struct Module<'a> {
    /// The package that relative imports start from.
    pub(super) package: String,
    pub(super) globals: Scope<'a>,
    /// The modules of `from module import *`.
    pub(super) stars: Vec<String>,
}

/// Where code runs: in a module, and inside of it in classes, calls and comprehensions.
pub(crate) struct Frame<'a> {
    pub(super) module: usize,
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) made: Made<'a>,
    /// Names that a function takes from its module, by `global`.
    pub(super) globals: Vec<&'a str>,
    /// Whether it is a call.
    pub(super) is_call: bool,
    /// Whether the scopes are those of class bodies, which comprehensions do not see.
    pub(super) is_class: bool,
}

/// What an `__init__` makes of an object.
#[derive(Clone, Default)]
pub(super) struct Made<'a> {
    /// The arguments of `super().__init__(…)`, once it was called.
    pub(super) super_call: Option<Arguments<'a>>,
    /// What was set on `self`.
    pub(super) attributes: Scope<'a>,
}

impl<'a> Made<'a> {
    /// What both of two ways agree on stays.
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

    /// A name that lives as long as what is read.
    pub(super) fn keep(&self, name: &str) -> &'a str {
        self.memory.names.alloc(name.to_owned())
    }

    pub(super) fn origin(&self, frame: &Frame<'a>, node: &impl Ranged) -> Origin {
        let range = node.range();
        Origin { module: frame.module, start: range.start().to_usize(), end: range.end().to_usize() }
    }

    /// Whether it took too long: then what was found is not all.
    pub(crate) fn is_given_up(&self) -> bool {
        self.fuel == 0
    }

    /// Uses up a little; false when all is used up.
    pub(super) fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }
}

/// A text that is shared.
pub(super) fn text(text: impl Into<Rc<str>>) -> Rc<str> {
    text.into()
}
