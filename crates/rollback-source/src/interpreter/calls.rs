//! Calls: follows what it can, and keeps the others as instances.

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall};

use super::flow::Flow;
use super::state::{Frame, Interpreter};
use crate::django::SWAPPER;
use crate::value::{Arguments, Instance, Origin, Scope, Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    pub(super) fn call(&mut self, frame: &mut Frame<'a>, call: &'a ExprCall, origin: Origin) -> Spanned<'a> {
        if let Some(done) = self.super_init(frame, call, origin) {
            return done;
        }
        let since = self.changes.len();
        let (callee, arguments) = if let Expr::Attribute(method) = &*call.func {
            let owner = self.expression(frame, &method.value);
            let arguments = self.arguments(frame, call);
            if let Some(done) = self.changing(frame, &owner, method.attr.id.as_str(), &arguments) {
                return done.at(origin);
            }
            if let Some(done) = self.method(&owner, method.attr.id.as_str(), &arguments, origin) {
                return done;
            }
            (self.expression(frame, &call.func), arguments)
        } else {
            (self.expression(frame, &call.func), self.arguments(frame, call))
        };
        if is_setattr(&callee) {
            return self.set_attribute(frame, &arguments, origin);
        }
        let may_change = may_change(&callee);
        let done = self.apply(callee, arguments.clone(), origin);
        self.apply_changes(frame, since);
        if may_change || done.why().is_some() {
            let given = arguments.named.iter().map(|(_, value)| value);
            for value in arguments.positional.iter().chain(given) {
                self.forget_passed(frame, value);
            }
        }
        done
    }

    /// An expression as a statement: only its side effects count.
    pub(super) fn effect(&mut self, frame: &mut Frame<'a>, expression: &'a Expr) {
        if !expression.is_string_literal_expr() {
            let _ = self.expression(frame, expression);
        }
    }

    pub(super) fn arguments(&mut self, frame: &mut Frame<'a>, call: &'a ExprCall) -> Arguments<'a> {
        let mut arguments = Arguments::default();
        for argument in &call.arguments.args {
            if let Expr::Starred(starred) = argument {
                let inner = self.expression(frame, &starred.value);
                match self.iterate(&inner) {
                    Some(items) => arguments.positional.extend(items.iter().cloned()),
                    None => arguments.missing = Some(Spanned::unknown(inner.reason(), inner.origin)),
                }
            } else {
                let value = self.expression(frame, argument);
                arguments.positional.push(value);
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.expression(frame, &keyword.value);
            match (&keyword.arg, &value.value) {
                (Some(name), _) => arguments.named.push((name.id.as_str().into(), value)),
                (None, Value::Dict(items)) if items.iter().all(|(key, _)| key.str().is_some()) => {
                    let named =
                        items.iter().filter_map(|(key, value)| Some((key.str()?.into(), value.clone())));
                    arguments.named.extend(named);
                }
                (None, _) => arguments.missing = Some(Spanned::unknown(value.reason(), value.origin)),
            }
        }
        arguments
    }

    /// `super().__init__(…)` and `Base.__init__(self, …)`: notes the arguments of the base.
    pub(super) fn super_init(
        &mut self,
        frame: &mut Frame<'a>,
        call: &'a ExprCall,
        origin: Origin,
    ) -> Option<Spanned<'a>> {
        let method = call.func.as_attribute_expr().filter(|method| method.attr.id.as_str() == "__init__")?;
        let is_super = method.value.as_call_expr().and_then(|inner| inner.func.as_name_expr());
        let is_super = is_super.is_some_and(|name| name.id.as_str() == "super");
        let mut arguments = self.arguments(frame, call);
        if !is_super {
            let is_itself = |value: &Spanned<'_>| matches!(value.value, Value::Itself);
            if !arguments.positional.first().is_some_and(is_itself) {
                return None;
            }
            arguments.positional.remove(0);
        }
        frame.made.super_call = Some(arguments);
        Some(Spanned { value: Value::None, origin })
    }

    /// Calls a value.
    pub(super) fn apply(
        &mut self,
        callee: Spanned<'a>,
        arguments: Arguments<'a>,
        origin: Origin,
    ) -> Spanned<'a> {
        let is_kept = matches!(&callee.value, Value::Name(path) if &**path == SWAPPER);
        let callee = match if is_kept { callee.clone() } else { self.concrete(callee.clone()) } {
            found @ Spanned { value: Value::Function(_) | Value::Class(_) | Value::Lambda(..), .. } => found,
            _ => callee,
        };
        match &callee.value {
            Value::Name(path) if path.starts_with("builtins.") => {
                self.builtin(&path[9..], &arguments, origin)
            }
            Value::Function(function) => self.run(function, arguments, origin),
            Value::Lambda(lambda, module) => {
                let Some(module) = *module else {
                    return Spanned::unknown("is the result of a lambda inside a function", origin);
                };
                let parameters = lambda.parameters.as_deref();
                match self.bound(parameters, arguments, (module, &Scope::new())) {
                    Ok(scope) => {
                        let body = &lambda.body;
                        self.nested(Frame::of_call(module, scope), origin, |this, frame| {
                            let value = this.expression(frame, body);
                            Flow::Return(value)
                        })
                    }
                    Err(why) => Spanned::unknown(why, origin),
                }
            }
            Value::Unknown(why) => Spanned { value: Value::Unknown(why.clone()), origin },
            Value::Name(_) | Value::Class(_) => {
                Spanned { value: Value::Instance(Rc::new(Instance { callee, arguments })), origin }
            }
            _ => Spanned::unknown(callee.reason(), origin),
        }
    }
}

/// Whether a call may change its arguments: it is not followed, and not a class.
fn may_change(callee: &Spanned<'_>) -> bool {
    match &callee.value {
        Value::Name(path) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            let is_class = name.chars().next().is_some_and(char::is_uppercase);
            !is_class && !path.starts_with("builtins.") && !path.starts_with("django.")
        }
        Value::Unknown(_) | Value::Setting { .. } => true,
        _ => false,
    }
}

fn is_setattr(callee: &Spanned<'_>) -> bool {
    matches!(&callee.value, Value::Name(path) if &**path == "builtins.setattr")
}
