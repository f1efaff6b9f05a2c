//! What a piece of code calls, and how it ends, without following it.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

/// What a piece of code calls, and how it ends, without the functions and classes in it.
#[derive(Default)]
pub(super) struct Search<'a> {
    /// The owners of called methods, and the arguments of calls.
    pub(super) calls: Vec<&'a Expr>,
    pub(super) returns: bool,
    /// Whether it is the body of a generator.
    pub(super) yields: bool,
}

impl<'a> Search<'a> {
    pub(super) fn of(statements: &'a [Stmt]) -> Self {
        let mut search = Self::default();
        search.visit_body(statements);
        search
    }
}

impl<'a> Visitor<'a> for Search<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            Stmt::Return(_) => {
                self.returns = true;
                walk_stmt(self, statement);
            }
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Lambda(_) => return,
            Expr::Yield(_) | Expr::YieldFrom(_) => self.yields = true,
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func {
                    self.calls.push(&method.value);
                }
                let keywords = call.arguments.keywords.iter().map(|keyword| &keyword.value);
                self.calls.extend(call.arguments.args.iter().chain(keywords));
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}
