//! Lists of operations: the class of each, what it does, and whether it can be undone.

use crate::django::django_class;
use crate::facts::{Action, Operation, Span, What};
use crate::reader::Reader;
use crate::trace::Traced;
use crate::value::{Instance, Spanned, Value};

impl<'a> Reader<'_, 'a, '_> {
    /// The operations of a list.
    pub(crate) fn operations(&mut self, list: &Spanned<'a>) -> Vec<Operation> {
        let list = self.interpreter.concrete(list.clone());
        let Some(items) = list.items().cloned() else {
            self.note(What::Operations, list.reason(), self.span(&list));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.operation(item)).collect()
    }

    fn operation(&mut self, value: &Spanned<'a>) -> Option<Operation> {
        let value = &self.interpreter.concrete(value.clone());
        let span = self.span(value);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.note(What::Operations, "has too many operations", span);
            return None;
        }
        let Value::Instance(instance) = &value.value else {
            self.note(What::Operations, value.reason(), span);
            return None;
        };
        let outer = std::mem::replace(&mut self.here, span.clone());
        let operation = self.instance(instance, span.clone());
        self.here = outer;
        if operation.is_none() {
            self.note(What::Operations, value.reason(), span);
        }
        operation
    }

    fn instance(&mut self, instance: &Instance<'a>, span: Span) -> Option<Operation> {
        let (class, _) = self.class_of(&instance.callee);
        let class = class?;
        if self.is_made_unusually(&instance.callee) {
            return None;
        }
        let traced = match self.trace(&instance.callee, instance.arguments.clone()) {
            Ok(traced) => traced,
            Err(reason) => {
                self.note(What::Argument, reason, span.clone());
                let (action, elidable) = (Action::Custom, None);
                return Some(Operation { class, span, action, reversible: None, elidable });
            }
        };
        let (action, usual) = match &traced.django {
            Some(django) => self.django(django, &traced.arguments, &span),
            None => (Action::Custom, Some(true)),
        };
        let reversible = if traced.overrides.is_empty() { usual } else { self.overridden(&traced.overrides) };
        let elidable = self.is_elidable(&traced);
        self.explain(&traced, reversible, elidable, &span);
        let is_own = traced.is_own || (traced.django.is_none() && !is_django(&instance.callee));
        let keeps =
            matches!(action, Action::RunPython { .. } | Action::RunSql { .. } | Action::Separate { .. });
        let action = if is_own && !keeps { Action::Custom } else { action };
        Some(Operation { class, span, action, reversible, elidable })
    }

    /// Notes why it is unknown whether an operation can be undone, or left out of a squash.
    fn explain(
        &mut self,
        traced: &Traced<'a>,
        reversible: Option<bool>,
        elidable: Option<bool>,
        span: &Span,
    ) {
        if (reversible.is_some() && elidable.is_some())
            || self.unknown.iter().any(|known| known.span == *span)
        {
            return;
        }
        let arguments = &traced.arguments;
        let reverse = ["reverse_code", "reverse_sql"].into_iter().find_map(|name| arguments.get(1, name));
        let value = match reversible {
            None => traced.overrides.first().or(reverse),
            Some(_) => traced.elidable.as_ref().or_else(|| arguments.named("elidable")),
        };
        let value = value.or(arguments.missing.as_ref()).cloned();
        let value = value.map(|value| self.interpreter.concrete(value));
        let reason = value.map_or_else(|| "is not a literal value".to_owned(), |value| value.reason());
        self.note(What::Argument, reason, span.clone());
    }
}

fn is_django(callee: &Spanned<'_>) -> bool {
    matches!(&callee.value, Value::Name(path) if django_class(path).is_some())
}
