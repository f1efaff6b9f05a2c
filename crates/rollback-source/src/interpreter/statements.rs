//! What statements do to the names around them.

use ruff_python_ast::{
    ExceptHandler, Expr, Operator, Stmt, StmtAugAssign, StmtClassDef, StmtFunctionDef, StmtImport,
    StmtImportFrom, StmtTry, WithItem,
};

use super::attempt::Attempt;
use super::flow::Flow;
use super::state::{Frame, Interpreter, text};
use crate::value::{Arguments, Class, Function, Kind, Scope, Spanned, Value, has_rest};

impl<'a> Interpreter<'a, '_> {
    pub(super) fn statements(&mut self, frame: &mut Frame<'a>, statements: &'a [Stmt]) -> Flow<'a> {
        for statement in statements {
            match self.statement(frame, statement) {
                Flow::Next => {}
                ended => return ended,
            }
        }
        Flow::Next
    }

    pub(super) fn statement(&mut self, frame: &mut Frame<'a>, statement: &'a Stmt) -> Flow<'a> {
        if !self.burn() {
            return Flow::Unsure(Spanned::unknown(
                "takes too many steps to evaluate",
                self.origin(frame, statement),
            ));
        }
        match statement {
            Stmt::Import(import) => self.import(frame, import),
            Stmt::ImportFrom(import) => self.import_from(frame, import),
            Stmt::Assign(assign) => {
                let value = self.expression(frame, &assign.value);
                for target in &assign.targets {
                    self.assign(frame, target, value.clone());
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.expression(frame, value);
                    self.assign(frame, &assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => self.augment(frame, assign),
            Stmt::Expr(expression) => self.effect(frame, &expression.value),
            Stmt::FunctionDef(definition) => self.function(frame, definition),
            Stmt::ClassDef(definition) => self.class(frame, definition),
            Stmt::Return(returned) => {
                let origin = self.origin(frame, returned);
                let nothing = Spanned { value: Value::None, origin };
                return Flow::Return(
                    returned.value.as_ref().map_or(nothing, |value| self.expression(frame, value)),
                );
            }
            Stmt::If(choice) => return self.choice(frame, choice),
            Stmt::Try(StmtTry { body, handlers, orelse, finalbody, .. }) => {
                let body_of = |ExceptHandler::ExceptHandler(handler): &'a ExceptHandler| &handler.body[..];
                let handlers = handlers.iter().map(body_of).collect();
                return self.attempt(frame, &Attempt { body, orelse, handlers, finalbody });
            }
            Stmt::For(repeated) => return self.repeat(frame, repeated),
            Stmt::With(with) if with.items.iter().any(suppresses) => {
                let attempt = Attempt { body: &with.body, orelse: &[], handlers: vec![&[]], finalbody: &[] };
                return self.attempt(frame, &attempt);
            }
            Stmt::With(with) => return self.statements(frame, &with.body),
            Stmt::Raise(_) => return Flow::Raise,
            Stmt::Break(_) => return Flow::Loop { ends: true },
            Stmt::Continue(_) => return Flow::Loop { ends: false },
            Stmt::While(repeated) => {
                return self.forget_all(frame, &[&repeated.body], "depends on a while loop");
            }
            Stmt::Match(choice) => {
                let bodies: Vec<&[Stmt]> = choice.cases.iter().map(|case| &case.body[..]).collect();
                return self.forget_all(frame, &bodies, "depends on a match statement");
            }
            Stmt::Delete(deleted) => deleted.targets.iter().for_each(|target| self.delete(frame, target)),
            Stmt::Global(named) => frame.globals.extend(named.names.iter().map(|name| name.id.as_str())),
            _ => {}
        }
        Flow::Next
    }

    /// `list += more`, and the like.
    fn augment(&mut self, frame: &mut Frame<'a>, assign: &'a StmtAugAssign) {
        let left = self.expression(frame, &assign.target);
        let right = self.expression(frame, &assign.value);
        let origin = left.origin;
        let is_list = matches!(left.value, Value::Sequence(Kind::List, _));
        if assign.op == Operator::Add && is_list {
            let value = self.extended(left.clone(), &right).value;
            self.change(frame, &left.value, value.clone());
            self.assign(frame, &assign.target, Spanned { value, origin });
        } else {
            let value = self.binary(left, assign.op, right, origin);
            self.assign(frame, &assign.target, value);
        }
    }

    fn function(&mut self, frame: &mut Frame<'a>, definition: &'a StmtFunctionDef) {
        let (module, is_inner) = (frame.module, frame.is_call);
        let defaults = self.defaults(frame, &definition.parameters);
        let function = self.memory.functions.alloc(Function { definition, module, defaults, is_inner });
        let value = Spanned { value: Value::Function(function), origin: self.origin(frame, definition) };
        let value = self.decorated(frame, definition, value);
        self.bind(frame, definition.name.id.as_str(), value);
    }

    fn delete(&mut self, frame: &mut Frame<'a>, target: &'a Expr) {
        match target {
            Expr::Name(name) => drop(self.scope(frame).remove(name.id.as_str())),
            other => self.forget_target(frame, other, "is changed by `del`"),
        }
    }

    pub(super) fn import(&mut self, frame: &mut Frame<'a>, import: &'a StmtImport) {
        for alias in &import.names {
            let origin = self.origin(frame, alias);
            let path = alias.name.id.as_str();
            let (name, path) = match &alias.asname {
                Some(name) => (name.id.as_str(), path),
                None => {
                    let first = path.split_once('.').map_or(path, |(first, _)| first);
                    (first, first)
                }
            };
            self.bind(frame, name, Spanned { value: Value::Name(text(path)), origin });
        }
    }

    pub(super) fn import_from(&mut self, frame: &mut Frame<'a>, import: &'a StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.id.as_str());
        let module = self.absolute(frame.module, import.level, module);
        for alias in &import.names {
            let origin = self.origin(frame, alias);
            if alias.name.id.as_str() == "*" {
                self.import_all(frame, &module);
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            let path = format!("{module}.{}", alias.name.id);
            self.bind(frame, name.id.as_str(), Spanned { value: Value::Name(text(path)), origin });
        }
    }

    pub(super) fn class(&mut self, frame: &mut Frame<'a>, definition: &'a StmtClassDef) {
        let arguments = definition.arguments.as_deref();
        let bases = arguments.map_or(&[][..], |arguments| &arguments.args);
        let bases = bases.iter().map(|base| self.expression(frame, base)).collect();
        let has_metaclass = arguments.is_some_and(|arguments| !arguments.keywords.is_empty());
        let was_class = std::mem::replace(&mut frame.is_class, !frame.is_call);
        frame.scopes.push(Scope::new());
        let ended = self.statements(frame, &definition.body);
        let scope = frame.scopes.pop().unwrap_or_default();
        frame.is_class = was_class;
        let is_changed =
            has_metaclass || !definition.decorator_list.is_empty() || !matches!(ended, Flow::Next);
        let origin = self.origin(frame, &definition.name);
        let name = definition.name.id.as_str();
        self.classes.push(Class { name, bases, scope, origin, is_changed });
        self.bind(frame, name, Spanned { value: Value::Class(self.classes.len() - 1), origin });
    }

    /// Applies the decorators of a function, for their side effects and their result.
    pub(super) fn decorated(
        &mut self,
        frame: &mut Frame<'a>,
        definition: &'a StmtFunctionDef,
        function: Spanned<'a>,
    ) -> Spanned<'a> {
        let mut made = function;
        for decorator in definition.decorator_list.iter().rev() {
            let callee = self.expression(frame, &decorator.expression);
            let callee = self.concrete(callee);
            // An imported decorator wraps the function: the result is still a function.
            if !matches!(callee.value, Value::Function(_) | Value::Lambda(..)) {
                continue;
            }
            let origin = made.origin;
            let arguments = Arguments { positional: vec![made], ..Arguments::default() };
            let since = self.changes.len();
            made = self.apply(callee, arguments, origin);
            self.apply_changes(frame, since);
        }
        made
    }

    /// Assigns a value to a name, to several names or to an attribute.
    pub(super) fn assign(&mut self, frame: &mut Frame<'a>, target: &'a Expr, value: Spanned<'a>) {
        match target {
            Expr::Name(name) => self.bind(frame, name.id.as_str(), value),
            Expr::Tuple(targets) => self.unpack(frame, &targets.elts, &value),
            Expr::List(targets) => self.unpack(frame, &targets.elts, &value),
            Expr::Attribute(attribute) => {
                let owner = self.expression(frame, &attribute.value);
                match owner.value {
                    Value::Class(id) => {
                        let name = attribute.attr.id.as_str();
                        self.classes[id].is_changed |= name.starts_with("__");
                        self.classes[id].scope.insert(name, value);
                    }
                    Value::Instance(_) => {
                        let why = Value::Unknown(text("is changed after it is created"));
                        self.change(frame, &owner.value, why);
                    }
                    Value::Itself => {
                        frame.made.attributes.insert(attribute.attr.id.as_str(), value);
                    }
                    _ => {}
                }
            }
            Expr::Subscript(place) => {
                let _ = self.expression(frame, &place.value);
                self.forget_target(frame, &place.value, "is changed by an assignment to an item");
            }
            Expr::Starred(starred) => {
                self.forget_target(frame, &starred.value, "is unpacked with `*`");
            }
            _ => {}
        }
    }

    pub(super) fn unpack(&mut self, frame: &mut Frame<'a>, targets: &'a [Expr], value: &Spanned<'a>) {
        let items = value.items().filter(|items| items.len() == targets.len() && !has_rest(items)).cloned();
        for (place, target) in targets.iter().enumerate() {
            let part = items.as_ref().map(|items| items[place].clone());
            let part = part.unwrap_or_else(|| Spanned::unknown(value.reason(), value.origin));
            self.assign(frame, target, part);
        }
    }
}

/// Whether it is `contextlib.suppress(…)`, which ends the body early.
fn suppresses(item: &WithItem) -> bool {
    let Expr::Call(call) = &item.context_expr else { return false };
    match &*call.func {
        Expr::Name(name) => name.id.as_str() == "suppress",
        Expr::Attribute(attribute) => attribute.attr.id.as_str() == "suppress",
        _ => false,
    }
}
