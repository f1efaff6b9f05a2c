//! Compares two versions of a migration: is it the same program, and is it the same for a database?

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use ruff_python_ast::comparable::{ComparableExpr, ComparableStmt};
use ruff_python_ast::visitor::transformer::{self, Transformer};
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Alias, Arguments, Expr, ModModule, Stmt};

use crate::syntax::parse;

/// Whether two texts are the same program. It ignores comments, layout, quotes, the order of imports, unused imports,
/// and what classes assign to the names in `besides`. False if one text is not valid Python.
pub fn is_same_program(one: &str, other: &str, besides: &[&str]) -> bool {
    let (Ok(one), Ok(other)) = (parse(one), parse(other)) else { return one == other };
    let (mut one, mut other) = (one.into_syntax(), other.into_syntax());
    leave_out(&mut one, besides);
    leave_out(&mut other, besides);
    is_same(one, other)
}

/// Whether two modules are the same; imports are compared by what they bind.
fn is_same(mut one: ModModule, mut other: ModModule) -> bool {
    let pairs = |one: &ModModule, other: &ModModule| {
        one.body.len() == other.body.len()
            && one
                .body
                .iter()
                .zip(&other.body)
                .all(|(one, other)| ComparableStmt::from(one) == ComparableStmt::from(other))
    };
    take_imports(&mut one) == take_imports(&mut other) && pairs(&one, &other)
}

/// Whether both versions make the same database. Besides comments, layout and imports, it ignores arguments of fields
/// that only Python uses, and reverses that the newer version adds.
pub fn is_same_to_databases(older: &str, newer: &str) -> bool {
    let (Ok(older), Ok(newer)) = (parse(older), parse(newer)) else { return false };
    let (mut older, mut newer) = (older.into_syntax(), newer.into_syntax());
    let known: BTreeSet<String> = older.body.iter().filter_map(function_name).collect();
    newer.body.retain(|statement| function_name(statement).is_none_or(|name| known.contains(&name)));
    let (reverses, more) = (OnlyInPython::leave_out(&mut older), OnlyInPython::leave_out(&mut newer));
    let mut more = more.iter().map(ComparableExpr::from);
    let keeps_reverses =
        reverses.iter().all(|reverse| more.any(|other| other == ComparableExpr::from(reverse)));
    keeps_reverses && is_same(older, newer)
}

fn function_name(statement: &Stmt) -> Option<String> {
    statement.as_function_def_stmt().map(|function| function.name.id.to_string())
}

/// Removes arguments that have no effect on the database, and collects the reverses of `RunPython` and `RunSQL`.
#[derive(Default)]
struct OnlyInPython {
    reverses: RefCell<Vec<Expr>>,
}

impl OnlyInPython {
    /// Arguments of fields without effect on the database. `on_delete` is not one: Django 6.1 can leave it to the
    /// database.
    const OF_FIELDS: &[&str] = &[
        "blank",
        "choices",
        "editable",
        "error_messages",
        "help_text",
        "limit_choices_to",
        "related_name",
        "related_query_name",
        "validators",
        "verbose_name",
    ];

    fn leave_out(module: &mut ModModule) -> Vec<Expr> {
        let this = Self::default();
        this.visit_body(&mut module.body);
        this.reverses.into_inner()
    }

    fn operation(&self, arguments: &mut Arguments) {
        let is_reverse = |name: &str| matches!(name, "reverse_code" | "reverse_sql");
        arguments.keywords.retain(|keyword| match keyword.arg.as_ref().map(|name| name.id.as_str()) {
            Some(name) if is_reverse(name) => {
                self.reverses.borrow_mut().push(keyword.value.clone());
                false
            }
            Some("elidable") => false,
            _ => true,
        });
        if arguments.args.len() == 2 && !arguments.args.iter().any(Expr::is_starred_expr) {
            let mut positional = mem::take(&mut arguments.args).into_vec();
            self.reverses.borrow_mut().extend(positional.pop());
            arguments.args = positional.into();
        }
    }
}

impl Transformer for OnlyInPython {
    fn visit_expr(&self, expression: &mut Expr) {
        if let Expr::Call(call) = expression {
            let name = match &*call.func {
                Expr::Attribute(attribute) => attribute.attr.id.as_str(),
                Expr::Name(name) => name.id.as_str(),
                _ => "",
            };
            if name.ends_with("Field") || name.ends_with("Key") {
                let is_seen = |name: &str| !Self::OF_FIELDS.contains(&name);
                let keywords = &mut call.arguments.keywords;
                keywords.retain(|keyword| keyword.arg.as_ref().is_none_or(|name| is_seen(name.id.as_str())));
            } else if matches!(name, "RunPython" | "RunSQL") {
                self.operation(&mut call.arguments);
            }
        }
        transformer::walk_expr(self, expression);
    }
}

/// Removes the imports of a module; returns what they bind each used name to.
fn take_imports(module: &mut ModModule) -> BTreeMap<String, BTreeSet<String>> {
    let is_plain = |statement: &Stmt| match statement {
        Stmt::Import(_) => true,
        Stmt::ImportFrom(import) => import.names.iter().all(|alias| alias.name.id.as_str() != "*"),
        _ => false,
    };
    let (imports, rest): (Vec<Stmt>, Vec<Stmt>) = mem::take(&mut module.body).into_iter().partition(is_plain);
    module.body = rest.into();
    let mut names = Names(BTreeSet::new());
    names.visit_body(&module.body);
    let mut bound: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, path) in imports.iter().flat_map(bindings).filter(|(name, _)| names.0.contains(name.as_str()))
    {
        let known = bound.entry(name).or_default();
        // `import a.b` adds to `a`; any other import replaces it.
        if path.contains(':') || known.iter().any(|path| path.contains(':')) {
            known.clear();
        }
        known.insert(path);
    }
    bound
}

/// The names that an import binds, each with its path.
fn bindings(import: &Stmt) -> Vec<(String, String)> {
    match import {
        Stmt::Import(import) => import
            .names
            .iter()
            .map(|alias| {
                let path = alias.name.id.to_string();
                let first = path.split('.').next().unwrap_or_default().to_owned();
                match &alias.asname {
                    Some(name) => (name.id.to_string(), format!("{path}:")),
                    None => (first, path),
                }
            })
            .collect(),
        Stmt::ImportFrom(import) => {
            let module = import.module.as_ref().map_or("", |module| module.id.as_str());
            let module = format!("{}{module}", ".".repeat(import.level as usize));
            let of = |alias: &Alias| {
                let name = alias.asname.as_ref().unwrap_or(&alias.name).id.to_string();
                (name, format!("{module}:{}", alias.name.id))
            };
            import.names.iter().map(of).collect()
        }
        _ => Vec::new(),
    }
}

/// The names that a program uses.
struct Names<'t>(BTreeSet<&'t str>);

impl<'t> Visitor<'t> for Names<'t> {
    fn visit_expr(&mut self, expression: &'t Expr) {
        if let Expr::Name(name) = expression {
            self.0.insert(name.id.as_str());
        }
        visitor::walk_expr(self, expression);
    }
}

fn leave_out(module: &mut ModModule, names: &[&str]) {
    let assigns = |statement: &Stmt| match statement {
        Stmt::Assign(assign) => assign
            .targets
            .iter()
            .all(|target| target.as_name_expr().is_some_and(|name| names.contains(&name.id.as_str()))),
        _ => false,
    };
    for statement in &mut module.body {
        if let Stmt::ClassDef(class) = statement {
            class.body.retain(|statement| !assigns(statement));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_layout_is_the_same_program() {
        assert!(is_same_program(
            "x = f(1,2)  # why\ny = 'a'\n",
            "x = f(\n    1,\n    2,\n)\n\ny = \"a\"\n",
            &[]
        ));
        assert!(!is_same_program("x = 'a b'\n", "x = 'a  b'\n", &[]));
        assert!(!is_same_program("x = (1)\n", "x = (1,)\n", &[]));
        assert!(!is_same_program("if a:\n  b\nc\n", "if a:\n  b\n  c\n", &[]));
        assert!(!is_same_program("x = 1\n", "x = 1\ny = 1\n", &[]));
        let sorted = "import a\nfrom b import c, d\nx = a(c, d)\n";
        assert!(is_same_program(
            "from b import d\nimport e\nfrom b import c\nimport a\nx = a(c, d)\n",
            sorted,
            &[]
        ));
        assert!(!is_same_program("import a\nfrom e import c\nfrom b import d\nx = a(c, d)\n", sorted, &[]));
        assert!(!is_same_program(
            "from a import x\nfrom b import x\nx()\n",
            "from b import x\nfrom a import x\nx()\n",
            &[]
        ));
        assert!(!is_same_program("from b import *\nx = 1\n", "x = 1\n", &[]));
        let class = |body: &str| format!("class A:\n    x = 1\n    {body}\n");
        assert!(is_same_program(&class("y = 1"), &class("y = 2"), &["y"]));
        assert!(!is_same_program(&class("y = 1"), &class("y = 2"), &["x"]));
    }
}
