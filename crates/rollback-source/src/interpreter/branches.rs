//! Branches: conditions and loops.

use ruff_python_ast::{ElifElseClause, Stmt, StmtFor, StmtIf};

use super::flow::Flow;
use super::merge::merge;
use super::search::Search;
use super::state::{Frame, Interpreter, Made};
use crate::compare::{either, same, truth};
use crate::value::{Class, Scope, Spanned, Value};

/// What a branch may change.
struct Names<'a> {
    scope: Scope<'a>,
    classes: Vec<Class<'a>>,
    made: Made<'a>,
}

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
        let before = self.names(frame);
        let first_flow = one(self, frame);
        let first = self.replace_names(frame, before);
        let second_flow = other(self, frame);
        match (first_flow, second_flow) {
            (Flow::Raise, second_flow) => second_flow,
            (first_flow, Flow::Raise) => {
                *self.scope(frame) = first.scope;
                (self.classes, frame.made) = (first.classes, first.made);
                first_flow
            }
            (Flow::Next, Flow::Next) => {
                self.merge_names(frame, first, why);
                Flow::Next
            }
            (Flow::Return(one), Flow::Return(other)) => either_result(one, &other, why),
            _ => Flow::Unsure(why.clone()),
        }
    }

    fn names(&mut self, frame: &mut Frame<'a>) -> Names<'a> {
        Names { scope: self.scope(frame).clone(), classes: self.classes.clone(), made: frame.made.clone() }
    }

    /// Puts back what a branch has changed, and returns that. Classes that it defines stay: values refer to them.
    fn replace_names(&mut self, frame: &mut Frame<'a>, before: Names<'a>) -> Names<'a> {
        let classes = self.classes.clone();
        for (class, before) in self.classes.iter_mut().zip(before.classes) {
            *class = before;
        }
        Names {
            scope: std::mem::replace(self.scope(frame), before.scope),
            classes,
            made: std::mem::replace(&mut frame.made, before.made),
        }
    }

    fn merge_names(&mut self, frame: &mut Frame<'a>, first: Names<'a>, why: &Spanned<'a>) {
        merge(self.scope(frame), first.scope, why);
        frame.made.merge(first.made, why);
        for (class, first) in self.classes.iter_mut().zip(first.classes) {
            if class.origin == first.origin {
                merge(&mut class.scope, first.scope, why);
            }
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

/// The result of one of two branches that both return.
fn either_result<'a>(one: Spanned<'a>, other: &Spanned<'a>, why: &Spanned<'a>) -> Flow<'a> {
    if same(&one.value, &other.value) {
        return Flow::Return(one);
    }
    match either(&one.value, &other.value, why) {
        Value::Unknown(_) => Flow::Unsure(why.clone()),
        value => Flow::Return(Spanned { value, origin: why.origin }),
    }
}
