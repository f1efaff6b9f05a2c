//! Reads modules, and follows names into the modules that they are imported from.

use ruff_python_ast::ModModule;

use super::state::{DEEPEST, Frame, Interpreter, Module};
use crate::syntax::{self, SyntaxError};
use crate::value::{Scope, Spanned, Value};

impl<'a> Interpreter<'a, '_> {
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

    /// The value behind an imported name, if its module can be read.
    pub(crate) fn concrete(&mut self, value: Spanned<'a>) -> Spanned<'a> {
        let Value::Name(path) = &value.value else { return value };
        match self.follow(&path.clone()) {
            Some(found) => found.at(value.origin),
            None => value,
        }
    }

    /// The value behind a dotted path, if its module can be read.
    pub(super) fn follow(&mut self, path: &str) -> Option<Spanned<'a>> {
        if self.depth > DEEPEST || path.starts_with("django.") || path.starts_with("builtins.") {
            return None;
        }
        self.depth += 1;
        let found = self.look_up(path);
        self.depth -= 1;
        found
    }

    pub(super) fn look_up(&mut self, path: &str) -> Option<Spanned<'a>> {
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

    /// The number of another module, which is read on first use.
    pub(super) fn module(&mut self, path: &str) -> Option<usize> {
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

    /// The absolute path of an imported module.
    pub(super) fn absolute(&self, module: usize, level: u32, name: &str) -> String {
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

    /// Follows `from module import *`, if the module can be read.
    pub(super) fn import_all(&mut self, frame: &mut Frame<'a>, module: &str) {
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
}
