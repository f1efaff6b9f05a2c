//! Branches: conditions, loops and `try`.

use ruff_python_ast::{ElifElseClause, Stmt, StmtFor, StmtIf};

use super::flow::Flow;
use super::merge::merge;
use super::search::Search;
use super::state::{Frame, Interpreter};
use crate::compare::{either, same, truth};
use crate::value::{Origin, Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    pub(super) fn choice(&mut self, frame: &mut Frame<'a>, choice: &'a StmtIf) -> Flow<'a> {
        let test = self.expression(frame, &choice.test);
        self.branch(frame, &test, &choice.body, &choice.elif_else_clauses)
    }

    pub(super) fn branch(
        &mut self,
        frame: &mut Frame<'a>,
        test: &Spanned<'a>,
        body: &'a [Stmt],
        rest: &'a [ElifElseClause],
    ) -> Flow<'a> {
        match truth(&test.value) {
            Some(true) => self.statements(frame, body),
            Some(false) => self.otherwise(frame, rest),
            None => {
                let why = Spanned::unknown(test.reason(), test.origin);
                self.either(
                    frame,
                    &why,
                    |this, frame| this.statements(frame, body),
                    |this, frame| this.otherwise(frame, rest),
                )
            }
        }
    }

    pub(super) fn otherwise(&mut self, frame: &mut Frame<'a>, rest: &'a [ElifElseClause]) -> Flow<'a> {
        let Some((clause, rest)) = rest.split_first() else { return Flow::Next };
        match &clause.test {
            None => self.statements(frame, &clause.body),
            Some(test) => {
                let test = self.expression(frame, test);
                self.branch(frame, &test, &clause.body, rest)
            }
        }
    }

    /// Follows one of two branches, unknown which: what both agree on stays known.
    pub(super) fn either(
        &mut self,
        frame: &mut Frame<'a>,
        why: &Spanned<'a>,
        one: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
        other: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
    ) -> Flow<'a> {
        let before = (self.scope(frame).clone(), self.classes.clone());
        let before_made = frame.made.clone();
        let first_flow = one(self, frame);
        let first = (std::mem::replace(self.scope(frame), before.0), self.classes.clone());
        let first_made = std::mem::replace(&mut frame.made, before_made);
        for (class, before) in self.classes.iter_mut().zip(before.1) {
            *class = before;
        }
        let second_flow = other(self, frame);
        match (first_flow, second_flow) {
            (Flow::Raise, second) => return second,
            (first_flow, Flow::Raise) => {
                *self.scope(frame) = first.0;
                self.classes = first.1;
                frame.made = first_made;
                return first_flow;
            }
            (Flow::Next, Flow::Next) => {}
            (Flow::Return(one), Flow::Return(other)) if same(&one.value, &other.value) => {
                return Flow::Return(one);
            }
            (Flow::Return(one), Flow::Return(other)) => {
                return match either(&one.value, &other.value, why) {
                    Value::Unknown(_) => Flow::Unsure(why.clone()),
                    value => Flow::Return(Spanned { value, origin: why.origin }),
                };
            }
            _ => return Flow::Unsure(why.clone()),
        }
        merge(self.scope(frame), first.0, why);
        frame.made.merge(first_made, why);
        for (class, first) in self.classes.iter_mut().zip(first.1) {
            if class.origin == first.origin {
                merge(&mut class.scope, first.scope, why);
            }
        }
        Flow::Next
    }

    /// Follows a `try` statement: what its body and its handlers agree on stays known.
    pub(super) fn attempt(
        &mut self,
        frame: &mut Frame<'a>,
        body: &'a [Stmt],
        orelse: &'a [Stmt],
        handlers: &[&'a [Stmt]],
        finalbody: &'a [Stmt],
    ) -> Flow<'a> {
        const WHY: &str = "depends on what fails in a try statement";
        let before = self.scope(frame).clone();
        let before_made = frame.made.clone();
        let mut ended = self.statements(frame, body);
        if matches!(ended, Flow::Next) {
            ended = self.statements(frame, orelse);
        }
        let is_simple =
            body.iter().all(|statement| matches!(statement, Stmt::Import(_) | Stmt::ImportFrom(_)));
        let tried = self.scope(frame).clone();
        let mut unsure: Vec<(&'a str, Origin)> = Vec::new();
        for handler in handlers {
            *self.scope(frame) = before.clone();
            let tried_made = std::mem::replace(&mut frame.made, before_made.clone());
            let flow = self.statements(frame, handler);
            let handled_made = std::mem::replace(&mut frame.made, tried_made);
            if !matches!(flow, Flow::Raise) {
                frame.made.merge(handled_made, &Spanned::unknown(WHY, Origin::nowhere()));
            }
            let handled = match flow {
                Flow::Raise => continue,
                Flow::Next => std::mem::take(self.scope(frame)),
                _ => {
                    let origin = before.values().next().map_or(Origin::nowhere(), |value| value.origin);
                    ended = Flow::Unsure(Spanned::unknown(WHY, origin));
                    std::mem::take(self.scope(frame))
                }
            };
            // If only the body binds a name, the module cannot use it after the body fails.
            let differs = |name: &&&'a str| match (tried.get(**name), handled.get(**name)) {
                (Some(tried), Some(handled)) => !is_alike(&tried.value, &handled.value),
                (Some(_), None) => false,
                (None, _) => true,
            };
            let names: Vec<&&'a str> = tried.keys().chain(handled.keys()).collect();
            unsure.extend(names.iter().copied().filter(|name| differs(name)).map(|name| {
                let origin = handled.get(*name).or_else(|| tried.get(*name)).map(|value| value.origin);
                (*name, origin.unwrap_or(Origin::nowhere()))
            }));
        }
        if matches!(ended, Flow::Raise) {
            ended = Flow::Unsure(Spanned::unknown(WHY, Origin::nowhere()));
        } else if matches!(ended, Flow::Return(_)) && !handlers.is_empty() && !is_simple {
            let only_raise = handlers.iter().all(|handler| matches!(handler.last(), Some(Stmt::Raise(_))));
            if !only_raise {
                ended = Flow::Unsure(Spanned::unknown(WHY, Origin::nowhere()));
            }
        }
        *self.scope(frame) = tried;
        for (name, origin) in unsure {
            self.bind(frame, name, Spanned::unknown(WHY, origin));
        }
        match self.statements(frame, finalbody) {
            Flow::Next => ended,
            other => other,
        }
    }

    pub(super) fn repeat(&mut self, frame: &mut Frame<'a>, repeated: &'a StmtFor) -> Flow<'a> {
        let over = self.expression(frame, &repeated.iter);
        let Some(items) = self.iterate(&over) else {
            let why = over.reason();
            return self.forget_all(frame, &[&repeated.body], &why);
        };
        for item in items.iter() {
            self.assign(frame, &repeated.target, item.clone());
            match self.statements(frame, &repeated.body) {
                Flow::Next | Flow::Loop { ends: false } => {}
                Flow::Loop { ends: true } => return Flow::Next,
                ended => return ended,
            }
        }
        self.statements(frame, &repeated.orelse)
    }

    /// Forgets what the bodies would change. If one of them returns, it is unknown where the function ends.
    pub(super) fn forget_all(&mut self, frame: &mut Frame<'a>, bodies: &[&'a [Stmt]], why: &str) -> Flow<'a> {
        for body in bodies {
            self.forget(frame, body, why);
        }
        let origin = bodies.first().and_then(|body| body.first()).map(|first| self.origin(frame, first));
        let ends = bodies.iter().any(|body| Search::of(body).returns);
        match origin {
            Some(origin) if ends => Flow::Unsure(Spanned::unknown(why, origin)),
            _ => Flow::Next,
        }
    }
}

/// Whether two values are the same, or two names for one thing in different modules, such as the older and the newer
/// `JSONField`.
fn is_alike(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Name(one), Value::Name(other)) => one.rsplit('.').next() == other.rsplit('.').next(),
        (one, other) => same(one, other),
    }
}
