//! Follows an operation class to the class of Django that it extends.

use crate::compare::truth;
use crate::django::django_class;
use crate::reader::Reader;
use crate::value::{Arguments, Scope, Spanned, Value};

/// The result of following a class.
pub(crate) struct Traced<'a> {
    /// Django's class. `None` if it is the plain `Operation`.
    pub(crate) django: Option<String>,
    /// The arguments that Django's class gets.
    pub(crate) arguments: Arguments<'a>,
    /// The values of `reversible` in the project's classes, the nearest first.
    pub(crate) overrides: Vec<Spanned<'a>>,
    /// The nearest value of `elidable` in them.
    pub(crate) elidable: Option<Spanned<'a>>,
    /// Whether a class of the project changes what the operation does.
    pub(crate) is_own: bool,
    /// Whether the `__init__` of a class does not call that of its base, so that no other one runs.
    pub(crate) is_cut: bool,
}

impl<'a> Traced<'a> {
    fn override_by(&mut self, scope: &Scope<'a>) {
        self.overrides.extend(scope.get("reversible").cloned());
        if self.elidable.is_none() {
            self.elidable = scope.get("elidable").cloned();
        }
    }
}

impl<'a> Reader<'_, 'a, '_> {
    /// Follows a class to the class of Django that it extends.
    pub(crate) fn trace(
        &mut self,
        callee: &Spanned<'a>,
        arguments: Arguments<'a>,
    ) -> Result<Traced<'a>, String> {
        let mut traced = Traced {
            django: None,
            arguments,
            overrides: Vec::new(),
            elidable: None,
            is_own: false,
            is_cut: false,
        };
        let class = self.interpreter.concrete(callee.clone());
        let order = match &class.value {
            Value::Class(id) => {
                let name = self.interpreter.classes[*id].name;
                let order = self.interpreter.resolution_order(&class.value);
                order.ok_or_else(|| {
                    format!("depends on {name}, whose base classes have no consistent order")
                })?
            }
            _ => vec![class],
        };
        for class in order {
            match &class.value {
                Value::Class(id) => self.enter(*id, &mut traced)?,
                Value::Name(path) => match django_class(path) {
                    Some("Operation") => return Ok(traced),
                    Some(_) if traced.is_cut => {
                        return Err("has an __init__ that does not call that of its base".to_owned());
                    }
                    Some(django) => {
                        traced.django = Some(django.to_owned());
                        return Ok(traced);
                    }
                    None if path.starts_with("builtins.") => {}
                    None => return Err(format!("depends on {path}, which is not in this repository")),
                },
                _ => return Err(class.reason()),
            }
        }
        Err("does not extend an operation of Django".to_owned())
    }

    /// Notes what a class of the project changes.
    fn enter(&mut self, id: usize, traced: &mut Traced<'a>) -> Result<(), String> {
        let class = self.interpreter.classes[id].clone();
        if let Some(init) = class.scope.get("__init__").filter(|_| !traced.is_cut) {
            let Value::Function(function) = init.value else {
                return Err(format!("depends on {}.__init__", class.name));
            };
            let (arguments, attributes) =
                self.interpreter.initialise(function, &traced.arguments, class.origin)?;
            if attributes.contains_key("reverse_code") || attributes.contains_key("reverse_sql") {
                return Err(format!("depends on what {}.__init__ sets", class.name));
            }
            traced.is_cut = arguments.is_none();
            traced.arguments = arguments.unwrap_or_default();
            traced.is_own = true;
            traced.override_by(&attributes);
        }
        traced.is_own |= ["database_forwards", "database_backwards", "state_forwards"]
            .iter()
            .any(|method| class.scope.contains_key(method));
        traced.override_by(&class.scope);
        Ok(())
    }

    /// The value of `reversible`: that of a class overrides that of its base.
    pub(crate) fn overridden(&mut self, overrides: &[Spanned<'a>]) -> Option<bool> {
        let first = overrides.first()?;
        let value = match &first.value {
            Value::Function(function) => self.interpreter.property(function, first.origin),
            _ => first.clone(),
        };
        truth(&value.value)
    }

    pub(crate) fn is_elidable(&mut self, traced: &Traced<'a>) -> Option<bool> {
        const PLACE: usize = 4;
        let takes_it = matches!(traced.django.as_deref(), Some("RunPython" | "RunSQL"));
        let given = traced.arguments.get(PLACE, "elidable").filter(|_| takes_it).or(traced.elidable.as_ref());
        match given.cloned() {
            Some(value) => truth(&self.interpreter.concrete(value).value),
            None => (!takes_it || traced.arguments.missing.is_none()).then_some(false),
        }
    }

    /// Whether calling a class may return something else than its instance.
    pub(crate) fn is_made_unusually(&mut self, callee: &Spanned<'a>) -> bool {
        const HIDDEN: &[&str] = &["__new__", "__getattribute__", "__getattr__", "__init_subclass__"];
        let callee = self.interpreter.concrete(callee.clone());
        let order = self.interpreter.resolution_order(&callee.value).unwrap_or_default();
        order.iter().any(|class| match class.value {
            Value::Class(id) => {
                let class = &self.interpreter.classes[id];
                class.is_changed || HIDDEN.iter().any(|method| class.scope.contains_key(method))
            }
            _ => false,
        })
    }
}
