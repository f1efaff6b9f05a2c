//! Forgets what code may change that is not followed.

use ruff_python_ast::{Expr, Stmt};

use super::search::Search;
use super::state::{Frame, Interpreter, text};
use crate::value::{Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    /// Forgets what statements would change.
    pub(super) fn forget(&mut self, frame: &mut Frame<'a>, statements: &'a [Stmt], why: &str) {
        for owner in Search::of(statements).calls {
            self.forget_target(frame, owner, why);
        }
        for statement in statements {
            match statement {
                Stmt::Delete(deleted) => {
                    for target in &deleted.targets {
                        self.forget_target(frame, target, why);
                    }
                }
                Stmt::Assign(assign) => {
                    for target in &assign.targets {
                        self.forget_target(frame, target, why);
                    }
                }
                Stmt::AugAssign(assign) => self.forget_target(frame, &assign.target, why),
                Stmt::AnnAssign(assign) => self.forget_target(frame, &assign.target, why),
                Stmt::If(choice) => {
                    self.forget(frame, &choice.body, why);
                    for clause in &choice.elif_else_clauses {
                        self.forget(frame, &clause.body, why);
                    }
                }
                Stmt::For(repeated) => self.forget(frame, &repeated.body, why),
                Stmt::While(repeated) => self.forget(frame, &repeated.body, why),
                Stmt::With(with) => self.forget(frame, &with.body, why),
                Stmt::Try(attempt) => {
                    self.forget(frame, &attempt.body, why);
                    self.forget(frame, &attempt.finalbody, why);
                }
                Stmt::Import(_) | Stmt::ImportFrom(_) | Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {
                    let _ = self.statement(frame, statement);
                }
                _ => {}
            }
        }
    }

    /// Forgets the variable behind an expression.
    pub(super) fn forget_target(&mut self, frame: &mut Frame<'a>, target: &'a Expr, why: &str) {
        let origin = self.origin(frame, target);
        match target {
            Expr::Name(name) => {
                let known = self.name(frame, name.id.as_str(), origin);
                if matches!(known.value, Value::Sequence(..) | Value::Dict(_)) {
                    self.change(frame, &known.value, Value::Unknown(text(why)));
                }
                if !matches!(known.value, Value::Name(_) | Value::Class(_) | Value::Function(_)) {
                    self.bind(frame, name.id.as_str(), Spanned::unknown(why, origin));
                }
            }
            Expr::Attribute(attribute) => {
                let (unknown, name) = (Spanned::unknown(why, origin), attribute.attr.id.as_str());
                match self.expression(frame, &attribute.value).value {
                    Value::Class(id) => {
                        self.classes[id].scope.insert(name, unknown);
                    }
                    Value::Itself => {
                        frame.made.attributes.insert(name, unknown);
                    }
                    _ => {}
                }
            }
            Expr::Subscript(place) => {
                let owner = self.expression(frame, &place.value);
                self.change(frame, &owner.value, Value::Unknown(text(why)));
                self.forget_target(frame, &place.value, why);
            }
            Expr::Tuple(targets) => {
                targets.elts.iter().for_each(|target| self.forget_target(frame, target, why));
            }
            Expr::Starred(starred) => self.forget_target(frame, &starred.value, why),
            _ => {}
        }
    }
}
