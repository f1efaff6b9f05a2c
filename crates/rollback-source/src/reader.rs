//! Turns values into facts: what all readers of a migration share.

use crate::facts::{Span, Unknown, What};
use crate::interpreter::Interpreter;
use crate::value::{Spanned, Value};

/// Turns values of a migration into facts.
pub(crate) struct Reader<'i, 'a, 'm> {
    pub(crate) interpreter: &'i mut Interpreter<'a, 'm>,
    pub(crate) unknown: Vec<Unknown>,
    /// How many operations may still be read: a short text can make a list that fits into no memory.
    pub(crate) left: u32,
    /// The place in the file itself, for values that were written in another module.
    pub(crate) here: Span,
}

impl<'a> Reader<'_, 'a, '_> {
    /// The place of a value in the file.
    pub(crate) fn span(&self, value: &Spanned<'_>) -> Span {
        if value.origin.module == 0 { value.origin.start..value.origin.end } else { self.here.clone() }
    }

    /// Notes that something is unknown.
    pub(crate) fn note(&mut self, what: What, reason: impl Into<String>, span: Span) {
        self.unknown.push(Unknown { what, reason: reason.into(), span });
    }

    /// The name of a class, and its dotted path if it is imported.
    pub(crate) fn class_of(&mut self, callee: &Spanned<'a>) -> (Option<String>, Option<String>) {
        match &self.interpreter.concrete(callee.clone()).value {
            Value::Class(id) => (Some(self.interpreter.classes[*id].name.to_owned()), None),
            Value::Name(path) => {
                let name = path.rsplit('.').next().unwrap_or(path);
                let is_class = name.chars().next().is_some_and(char::is_uppercase);
                (is_class.then(|| name.to_owned()), Some(path.to_string()))
            }
            _ => (None, None),
        }
    }
}
