//! `try` statements.

use ruff_python_ast::Stmt;

use super::flow::Flow;
use super::state::{Frame, Interpreter};
use crate::compare::same;
use crate::value::{Origin, Scope, Spanned, Value};

const WHY: &str = "depends on what fails in a try statement";

/// A `try` statement, or a `with` that catches exceptions.
pub(super) struct Attempt<'a> {
    pub(super) body: &'a [Stmt],
    pub(super) orelse: &'a [Stmt],
    pub(super) handlers: Vec<&'a [Stmt]>,
    pub(super) finalbody: &'a [Stmt],
}

impl Attempt<'_> {
    /// Whether it may end in another way than its body does.
    fn may_end_otherwise(&self, ended: &Flow<'_>) -> bool {
        let is_import = |statement: &Stmt| matches!(statement, Stmt::Import(_) | Stmt::ImportFrom(_));
        let raises = |handler: &&[Stmt]| matches!(handler.last(), Some(Stmt::Raise(_)));
        match ended {
            Flow::Raise => true,
            Flow::Return(_) => !self.body.iter().all(is_import) && !self.handlers.iter().all(raises),
            _ => false,
        }
    }
}

impl<'a> Interpreter<'a, '_> {
    /// Follows a `try` statement: what its body and its handlers agree on stays known.
    pub(super) fn attempt(&mut self, frame: &mut Frame<'a>, attempt: &Attempt<'a>) -> Flow<'a> {
        let (before, before_made) = (self.scope(frame).clone(), frame.made.clone());
        let mut ended = self.statements(frame, attempt.body);
        if matches!(ended, Flow::Next) {
            ended = self.statements(frame, attempt.orelse);
        }
        let tried = self.scope(frame).clone();
        let mut unsure = Vec::new();
        for handler in &attempt.handlers {
            *self.scope(frame) = before.clone();
            let tried_made = std::mem::replace(&mut frame.made, before_made.clone());
            let flow = self.statements(frame, handler);
            let handled_made = std::mem::replace(&mut frame.made, tried_made);
            if matches!(flow, Flow::Raise) {
                continue;
            }
            frame.made.merge(handled_made, &Spanned::unknown(WHY, Origin::nowhere()));
            let handled = std::mem::take(self.scope(frame));
            if !matches!(flow, Flow::Next) {
                let origin = before.values().next().map_or(Origin::nowhere(), |value| value.origin);
                ended = Flow::Unsure(Spanned::unknown(WHY, origin));
            }
            unsure.extend(different(&tried, &handled));
        }
        if attempt.may_end_otherwise(&ended) {
            ended = Flow::Unsure(Spanned::unknown(WHY, Origin::nowhere()));
        }
        *self.scope(frame) = tried;
        for (name, origin) in unsure {
            self.bind(frame, name, Spanned::unknown(WHY, origin));
        }
        match self.statements(frame, attempt.finalbody) {
            Flow::Next => ended,
            other => other,
        }
    }
}

/// The names that differ after the body and after a handler. If only the body binds a name, the module cannot use it
/// after the body fails.
fn different<'a>(tried: &Scope<'a>, handled: &Scope<'a>) -> Vec<(&'a str, Origin)> {
    let differs = |name: &&str| match (tried.get(*name), handled.get(*name)) {
        (Some(tried), Some(handled)) => !is_alike(&tried.value, &handled.value),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let names = tried.keys().chain(handled.keys()).copied().filter(differs);
    let origin = |name: &str| handled.get(name).or_else(|| tried.get(name)).map(|value| value.origin);
    names.map(|name| (name, origin(name).unwrap_or(Origin::nowhere()))).collect()
}

/// Whether two values are the same, or two names for one thing in different modules, such as the older and the newer
/// `JSONField`.
fn is_alike(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Name(one), Value::Name(other)) => one.rsplit('.').next() == other.rsplit('.').next(),
        (one, other) => same(one, other),
    }
}
