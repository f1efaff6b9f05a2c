//! Follows functions, lambdas and `__init__` of the modules that are read.

use std::rc::Rc;

use ruff_python_ast::Parameters;

use super::flow::Flow;
use super::search::Search;
use super::state::{DEEPEST, Frame, Interpreter};
use crate::value::{Arguments, Function, Kind, Origin, Scope, Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    /// The result of a function.
    pub(super) fn run(
        &mut self,
        function: &'a Function<'a>,
        arguments: Arguments<'a>,
        origin: Origin,
    ) -> Spanned<'a> {
        let definition = function.definition;
        if let Some(reason) = not_followed(function) {
            return Spanned::unknown(reason, origin);
        }
        match self.bound(Some(&definition.parameters), arguments, (function.module, &function.defaults)) {
            Ok(scope) => self.nested(Frame::of_call(function.module, scope), origin, |this, frame| {
                this.statements(frame, &definition.body)
            }),
            Err(why) => Spanned::unknown(why, origin),
        }
    }

    /// Follows the `__init__` of a class: the arguments that it passes to its base, if it calls that, and what it sets
    /// on `self`.
    pub(crate) fn initialise(
        &mut self,
        function: &'a Function<'a>,
        arguments: &Arguments<'a>,
        origin: Origin,
    ) -> Result<(Option<Arguments<'a>>, Scope<'a>), String> {
        let definition = function.definition;
        if let Some(reason) = not_followed(function) {
            return Err(reason);
        }
        let mut given = arguments.clone();
        given.positional.insert(0, Spanned { value: Value::Itself, origin });
        let scope = self.bound(Some(&definition.parameters), given, (function.module, &function.defaults))?;
        let mut frame = Frame::of_call(function.module, scope);
        if self.depth > DEEPEST {
            return Err("nests calls too deep".to_owned());
        }
        self.depth += 1;
        self.calls += 1;
        let ended = self.statements(&mut frame, &definition.body);
        self.calls -= 1;
        self.depth -= 1;
        match ended {
            Flow::Next | Flow::Return(_) => Ok((frame.made.super_call, frame.made.attributes)),
            Flow::Unsure(why) => Err(why.reason()),
            _ => Err("has an __init__ that raises an exception".to_owned()),
        }
    }

    /// The result of a property, or of a method without arguments.
    pub(crate) fn property(&mut self, function: &'a Function<'a>, origin: Origin) -> Spanned<'a> {
        let itself = Spanned { value: Value::Itself, origin };
        let arguments = Arguments { positional: vec![itself], ..Arguments::default() };
        let known = (function.module, &function.defaults);
        match self.bound(Some(&function.definition.parameters), arguments, known) {
            Ok(scope) => self.nested(Frame::of_call(function.module, scope), origin, |this, frame| {
                this.statements(frame, &function.definition.body)
            }),
            Err(why) => Spanned::unknown(why, origin),
        }
    }

    pub(super) fn nested(
        &mut self,
        mut frame: Frame<'a>,
        origin: Origin,
        body: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
    ) -> Spanned<'a> {
        if self.depth > DEEPEST {
            return Spanned::unknown("nests calls too deep", origin);
        }
        self.depth += 1;
        self.calls += 1;
        let ended = body(self, &mut frame);
        self.calls -= 1;
        self.depth -= 1;
        match ended {
            Flow::Return(value) => value.at(origin),
            Flow::Next => Spanned { value: Value::None, origin },
            Flow::Raise => Spanned::unknown("raises an exception", origin),
            Flow::Unsure(why) => Spanned::unknown(why.reason(), origin),
            Flow::Loop { .. } => Spanned::unknown("uses break or continue outside a loop", origin),
        }
    }

    /// The current values of the defaults of parameters.
    pub(super) fn defaults(&mut self, frame: &mut Frame<'a>, parameters: &'a Parameters) -> Scope<'a> {
        let places = parameters.posonlyargs.iter().chain(&parameters.args).chain(&parameters.kwonlyargs);
        let given =
            places.filter_map(|parameter| Some((parameter.name().id.as_str(), parameter.default.as_ref()?)));
        given.map(|(name, default)| (name, self.expression(frame, default))).collect()
    }

    /// The values of the parameters in a call.
    pub(super) fn bound(
        &mut self,
        parameters: Option<&'a Parameters>,
        arguments: Arguments<'a>,
        (module, defaults): (usize, &Scope<'a>),
    ) -> Result<Scope<'a>, String> {
        let mut scope = Scope::new();
        let Some(parameters) = parameters else { return Ok(scope) };
        if let Some(missing) = &arguments.missing {
            return Err(missing.reason());
        }
        let origin = Origin { module, start: 0, end: 0 };
        let mut positional = arguments.positional.into_iter();
        let mut named = arguments.named;
        let places = parameters.posonlyargs.iter().chain(&parameters.args);
        let mut without = Vec::new();
        for parameter in places {
            match positional.next() {
                Some(value) => {
                    scope.insert(parameter.name().id.as_str(), value);
                }
                None => without.push(parameter),
            }
        }
        let rest: Vec<Spanned<'a>> = positional.collect();
        match &parameters.vararg {
            Some(name) => {
                let value = Value::Sequence(Kind::Tuple, Rc::new(rest));
                scope.insert(name.name.id.as_str(), Spanned { value, origin });
            }
            None if rest.is_empty() => {}
            None => return Err("is called with too many arguments".to_owned()),
        }
        for parameter in without.into_iter().chain(&parameters.kwonlyargs) {
            let name = parameter.name().id.as_str();
            let given = named.iter().position(|(given, _)| **given == *name);
            let value = match (given, &parameter.default) {
                (Some(place), _) => named.remove(place).1,
                (None, Some(_)) if defaults.contains_key(name) => defaults[name].clone(),
                (None, Some(default)) => self.expression(&mut Frame::of(module, Vec::new()), default),
                (None, None) => return Err(format!("is called without the argument {name}")),
            };
            scope.insert(name, value);
        }
        if let Some(name) = &parameters.kwarg {
            let key = |name: Rc<str>| Spanned { value: Value::Str(name), origin };
            let items = named.into_iter().map(|(name, value)| (key(name), value)).collect();
            scope.insert(name.name.id.as_str(), Spanned { value: Value::Dict(Rc::new(items)), origin });
        } else if !named.is_empty() {
            return Err("is called with an unexpected argument".to_owned());
        }
        Ok(scope)
    }
}

/// Why a function is not followed.
fn not_followed(function: &Function<'_>) -> Option<String> {
    let definition = function.definition;
    let name = &definition.name.id;
    if function.is_inner {
        return Some(format!("is the result of {name}(), which is defined inside another function"));
    }
    if Search::of(&definition.body).yields {
        return Some(format!("is the result of {name}(), which is a generator"));
    }
    if definition.is_async {
        return Some(format!("is the result of {name}(), which is async"));
    }
    (!definition.decorator_list.is_empty()).then(|| format!("is the result of {name}(), which is decorated"))
}
