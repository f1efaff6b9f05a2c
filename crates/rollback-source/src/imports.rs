//! The imports of a module, anywhere in it.

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{ModModule, Stmt};

use crate::facts::Import;
use crate::syntax;

/// The imports of a module, also inside functions and classes.
pub(crate) fn imports(tree: &ModModule) -> Vec<Import> {
    let mut imports = Imports(Vec::new());
    imports.visit_body(&tree.body);
    imports.0
}

struct Imports(Vec<Import>);

impl<'t> Visitor<'t> for Imports {
    fn visit_stmt(&mut self, statement: &'t Stmt) {
        match statement {
            Stmt::Import(import) => {
                let span = syntax::span(import);
                let modules = import.names.iter().map(|alias| alias.name.id.to_string());
                self.0.extend(modules.map(|module| Import { module, name: None, span: span.clone() }));
            }
            Stmt::ImportFrom(import) => {
                let span = syntax::span(import);
                let dots = ".".repeat(import.level as usize);
                let module = import.module.as_ref().map_or("", |module| module.id.as_str());
                let module = format!("{dots}{module}");
                let names = import.names.iter().map(|alias| alias.name.id.to_string());
                self.0.extend(names.map(|name| Import {
                    module: module.clone(),
                    name: Some(name),
                    span: span.clone(),
                }));
            }
            other => walk_stmt(self, other),
        }
    }
}
