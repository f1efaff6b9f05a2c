//! Changes of lists, mappings and objects: all names of an object change together.

use super::state::{Frame, Interpreter, text};
use crate::compare::{is_one, replaced};
use crate::value::{Scope, Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    /// Replaces an object by its changed version, under all its names.
    pub(super) fn change(&mut self, frame: &mut Frame<'a>, old: &Value<'a>, new: Value<'a>) {
        change_in(frame, old, &new, &mut self.fuel);
        let modules = self.modules.iter_mut().map(|module| &mut module.globals);
        for scope in modules.chain(self.classes.iter_mut().map(|class| &mut class.scope)) {
            change_scope(scope, old, &new, &mut self.fuel);
        }
        self.fuel = self.fuel.saturating_sub(size(old) / 32);
        if self.calls == 0 {
            return;
        }
        match self.changes.last_mut() {
            Some((_, last)) if is_one(last, old) => *last = new,
            _ => self.changes.push((old.clone(), new)),
        }
    }

    /// Applies the changes that a call made to the names of its caller.
    pub(super) fn apply_changes(&mut self, frame: &mut Frame<'a>, since: usize) {
        for (old, new) in self.changes.iter().skip(since) {
            change_in(frame, old, new, &mut self.fuel);
        }
        if self.calls == 0 {
            self.changes.clear();
        }
    }

    /// Forgets an object that was passed to code that is not followed, which may change it.
    pub(super) fn forget_passed(&mut self, frame: &mut Frame<'a>, value: &Spanned<'a>) {
        const WHY: &str = "is passed to code that may change it";
        if !self.burn() {
            return;
        }
        match &value.value {
            Value::Sequence(_, items) => {
                for item in items.iter() {
                    self.forget_passed(frame, item);
                }
            }
            Value::Dict(items) => {
                for (_, item) in items.iter() {
                    self.forget_passed(frame, item);
                }
            }
            Value::Class(id) => self.classes[*id].is_changed = true,
            Value::Instance(_) => {}
            _ => return,
        }
        self.change(frame, &value.value, Value::Unknown(text(WHY)));
    }
}

fn change_in<'a>(frame: &mut Frame<'a>, old: &Value<'a>, new: &Value<'a>, budget: &mut u32) {
    for scope in frame.scopes.iter_mut().chain([&mut frame.made.attributes]) {
        change_scope(scope, old, new, budget);
    }
}

fn change_scope<'a>(scope: &mut Scope<'a>, old: &Value<'a>, new: &Value<'a>, budget: &mut u32) {
    for value in scope.values_mut() {
        if let Some(changed) = replaced(&value.value, old, new, budget) {
            value.value = changed;
        }
    }
}

/// How many items a copy of a value has.
fn size(value: &Value<'_>) -> u32 {
    let length = match value {
        Value::Sequence(_, items) => items.len(),
        Value::Dict(items) => items.len(),
        _ => 0,
    };
    u32::try_from(length).unwrap_or(u32::MAX)
}
