//! What statements do to the names around them.

use ruff_python_ast::{
    ElifElseClause, ExceptHandler, Expr, Operator, Stmt, StmtClassDef, StmtFor, StmtIf, StmtImport,
    StmtImportFrom, StmtTry,
};

use super::{Frame, Interpreter, text};
use crate::value::{Class, Function, Scope, Spanned, Value, same, truth};

/// How a statement ends.
pub(super) enum Flow<'a> {
    /// The next one follows.
    Next,
    /// The function ends with this value.
    Return(Spanned<'a>),
    /// The loop ends, or its next turn begins.
    Loop { ends: bool },
    /// An exception.
    Raise,
    /// One of them, depending on what is not known.
    Unsure(Spanned<'a>),
}

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

    fn statement(&mut self, frame: &mut Frame<'a>, statement: &'a Stmt) -> Flow<'a> {
        if !self.burn() {
            return Flow::Unsure(Spanned::unknown("takes too long to follow", self.origin(frame, statement)));
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
            Stmt::AugAssign(assign) => {
                let (left, right) =
                    (self.expression(frame, &assign.target), self.expression(frame, &assign.value));
                let origin = left.origin;
                let value = if assign.op == Operator::Add && left.items().is_some() {
                    self.extended(left, &right)
                } else {
                    self.binary(left, assign.op, right, origin)
                };
                self.assign(frame, &assign.target, value);
            }
            Stmt::Expr(expression) => self.effect(frame, &expression.value),
            Stmt::FunctionDef(definition) => {
                let function = self.memory.functions.alloc(Function { definition, module: frame.module });
                let value =
                    Spanned { value: Value::Function(function), origin: self.origin(frame, definition) };
                self.bind(frame, definition.name.id.as_str(), value);
            }
            Stmt::ClassDef(definition) => self.class(frame, definition),
            Stmt::Return(returned) => {
                let origin = self.origin(frame, returned);
                let nothing = Spanned { value: Value::None, origin };
                return Flow::Return(
                    returned.value.as_ref().map_or(nothing, |value| self.expression(frame, value)),
                );
            }
            Stmt::If(choice) => return self.choice(frame, choice),
            Stmt::Try(attempt) => return self.attempt(frame, attempt),
            Stmt::For(repeated) => return self.repeat(frame, repeated),
            Stmt::With(with) => return self.statements(frame, &with.body),
            Stmt::Raise(_) => return Flow::Raise,
            Stmt::Break(_) => return Flow::Loop { ends: true },
            Stmt::Continue(_) => return Flow::Loop { ends: false },
            Stmt::While(repeated) => self.forget(frame, &repeated.body, "depends on a loop"),
            Stmt::Match(choice) => {
                for case in &choice.cases {
                    self.forget(frame, &case.body, "depends on a match statement");
                }
            }
            Stmt::Delete(deleted) => {
                for name in deleted.targets.iter().filter_map(Expr::as_name_expr) {
                    self.scope(frame).remove(name.id.as_str());
                }
            }
            _ => {}
        }
        Flow::Next
    }

    fn import(&mut self, frame: &mut Frame<'a>, import: &'a StmtImport) {
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

    fn import_from(&mut self, frame: &mut Frame<'a>, import: &'a StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.id.as_str());
        let module = self.absolute(frame.module, import.level, module);
        for alias in &import.names {
            let origin = self.origin(frame, alias);
            if alias.name.id.as_str() == "*" {
                self.modules[frame.module].stars.push(module.clone());
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            let path = format!("{module}.{}", alias.name.id);
            self.bind(frame, name.id.as_str(), Spanned { value: Value::Name(text(path)), origin });
        }
    }

    fn class(&mut self, frame: &mut Frame<'a>, definition: &'a StmtClassDef) {
        let arguments = definition.arguments.as_deref();
        let bases = arguments.map_or(&[][..], |arguments| &arguments.args);
        let bases = bases.iter().map(|base| self.expression(frame, base)).collect();
        let has_metaclass = arguments.is_some_and(|arguments| !arguments.keywords.is_empty());
        frame.scopes.push(Scope::new());
        let ended = self.statements(frame, &definition.body);
        let scope = frame.scopes.pop().unwrap_or_default();
        let is_changed =
            has_metaclass || !definition.decorator_list.is_empty() || !matches!(ended, Flow::Next);
        let origin = self.origin(frame, &definition.name);
        let name = definition.name.id.as_str();
        self.classes.push(Class { name, bases, scope, origin, is_changed });
        self.bind(frame, name, Spanned { value: Value::Class(self.classes.len() - 1), origin });
    }

    /// Gives a name, several names or an attribute a value.
    pub(super) fn assign(&mut self, frame: &mut Frame<'a>, target: &'a Expr, value: Spanned<'a>) {
        match target {
            Expr::Name(name) => self.bind(frame, name.id.as_str(), value),
            Expr::Tuple(targets) => self.unpack(frame, &targets.elts, &value),
            Expr::List(targets) => self.unpack(frame, &targets.elts, &value),
            Expr::Attribute(attribute) => {
                let owner = self.expression(frame, &attribute.value);
                match owner.value {
                    Value::Class(id) => {
                        self.classes[id].scope.insert(attribute.attr.id.as_str(), value);
                    }
                    Value::Itself => {
                        frame.attributes.insert(attribute.attr.id.as_str(), value);
                    }
                    _ => {}
                }
            }
            Expr::Subscript(place) => {
                self.taint(frame, &place.value, "is changed by an assignment that is not followed");
            }
            Expr::Starred(starred) => {
                self.taint(frame, &starred.value, "is unpacked from something that is not followed");
            }
            _ => {}
        }
    }

    fn unpack(&mut self, frame: &mut Frame<'a>, targets: &'a [Expr], value: &Spanned<'a>) {
        let items = value.items().filter(|items| items.len() == targets.len()).cloned();
        for (place, target) in targets.iter().enumerate() {
            let part = items.as_ref().map(|items| items[place].clone());
            let part = part.unwrap_or_else(|| Spanned::unknown(value.reason(), value.origin));
            self.assign(frame, target, part);
        }
    }

    fn choice(&mut self, frame: &mut Frame<'a>, choice: &'a StmtIf) -> Flow<'a> {
        let test = self.expression(frame, &choice.test);
        self.branch(frame, &test, &choice.body, &choice.elif_else_clauses)
    }

    fn branch(
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

    fn otherwise(&mut self, frame: &mut Frame<'a>, rest: &'a [ElifElseClause]) -> Flow<'a> {
        let Some((clause, rest)) = rest.split_first() else { return Flow::Next };
        match &clause.test {
            None => self.statements(frame, &clause.body),
            Some(test) => {
                let test = self.expression(frame, test);
                self.branch(frame, &test, &clause.body, rest)
            }
        }
    }

    /// One of two, and nobody knows which: what both agree on is known.
    fn either(
        &mut self,
        frame: &mut Frame<'a>,
        why: &Spanned<'a>,
        one: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
        other: impl FnOnce(&mut Self, &mut Frame<'a>) -> Flow<'a>,
    ) -> Flow<'a> {
        let before = (self.scope(frame).clone(), self.classes.clone());
        let first_flow = one(self, frame);
        let first = (std::mem::replace(self.scope(frame), before.0), self.classes.clone());
        for (class, before) in self.classes.iter_mut().zip(before.1) {
            *class = before;
        }
        let second_flow = other(self, frame);
        match (first_flow, second_flow) {
            (Flow::Raise, second) => return second,
            (first_flow, Flow::Raise) => {
                *self.scope(frame) = first.0;
                self.classes = first.1;
                return first_flow;
            }
            (Flow::Next, Flow::Next) => {}
            (Flow::Return(one), Flow::Return(other)) if same(&one.value, &other.value) => {
                return Flow::Return(one);
            }
            _ => return Flow::Unsure(why.clone()),
        }
        merge(self.scope(frame), first.0, why);
        for (class, first) in self.classes.iter_mut().zip(first.1) {
            if class.origin == first.origin {
                merge(&mut class.scope, first.scope, why);
            }
        }
        Flow::Next
    }

    fn attempt(&mut self, frame: &mut Frame<'a>, attempt: &'a StmtTry) -> Flow<'a> {
        let before = self.scope(frame).clone();
        let ended = self.statements(frame, &attempt.body);
        let ended = if matches!(ended, Flow::Next) { self.statements(frame, &attempt.orelse) } else { ended };
        let tried = self.scope(frame).clone();
        let mut unsure = Vec::new();
        for handler in &attempt.handlers {
            let ExceptHandler::ExceptHandler(handler) = handler;
            *self.scope(frame) = before.clone();
            if matches!(self.statements(frame, &handler.body), Flow::Raise) {
                continue;
            }
            for (name, value) in std::mem::take(self.scope(frame)) {
                let is_new = before.get(name).is_none_or(|before| !same(&before.value, &value.value));
                let agrees = tried.get(name).is_some_and(|tried| is_alike(&tried.value, &value.value));
                if is_new && !agrees {
                    unsure.push((name, value.origin));
                }
            }
        }
        *self.scope(frame) = tried;
        for (name, origin) in unsure {
            let why = "depends on what is installed, or on what fails";
            self.bind(frame, name, Spanned::unknown(why, origin));
        }
        match self.statements(frame, &attempt.finalbody) {
            Flow::Next => ended,
            other => other,
        }
    }

    fn repeat(&mut self, frame: &mut Frame<'a>, repeated: &'a StmtFor) -> Flow<'a> {
        let over = self.expression(frame, &repeated.iter);
        let Some(items) = self.iterate(&over) else {
            let why = over.reason();
            self.forget(frame, &repeated.body, &why);
            return Flow::Next;
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

    /// What statements would change is not known from here on.
    pub(super) fn forget(&mut self, frame: &mut Frame<'a>, statements: &'a [Stmt], why: &str) {
        for statement in statements {
            match statement {
                Stmt::Assign(assign) => {
                    for target in &assign.targets {
                        self.taint(frame, target, why);
                    }
                }
                Stmt::AugAssign(assign) => self.taint(frame, &assign.target, why),
                Stmt::AnnAssign(assign) => self.taint(frame, &assign.target, why),
                Stmt::Expr(expression) => {
                    if let Expr::Call(call) = &*expression.value
                        && let Expr::Attribute(method) = &*call.func
                    {
                        self.taint(frame, &method.value, why);
                    }
                }
                Stmt::If(choice) => {
                    self.forget(frame, &choice.body, why);
                    for clause in &choice.elif_else_clauses {
                        self.forget(frame, &clause.body, why);
                    }
                }
                Stmt::For(repeated) => self.forget(frame, &repeated.body, why),
                Stmt::While(repeated) => self.forget(frame, &repeated.body, why),
                Stmt::With(with) => self.forget(frame, &with.body, why),
                Stmt::Try(attempt) => {
                    self.forget(frame, &attempt.body, why);
                    self.forget(frame, &attempt.finalbody, why);
                }
                Stmt::Import(_) | Stmt::ImportFrom(_) | Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {
                    let _ = self.statement(frame, statement);
                }
                _ => {}
            }
        }
    }

    /// The variable behind an expression is not known from here on.
    pub(super) fn taint(&mut self, frame: &mut Frame<'a>, target: &'a Expr, why: &str) {
        let origin = self.origin(frame, target);
        match target {
            Expr::Name(name) => self.bind(frame, name.id.as_str(), Spanned::unknown(why, origin)),
            Expr::Attribute(attribute) => {
                if let Value::Class(id) = self.expression(frame, &attribute.value).value {
                    let unknown = Spanned::unknown(why, origin);
                    self.classes[id].scope.insert(attribute.attr.id.as_str(), unknown);
                }
            }
            Expr::Subscript(place) => self.taint(frame, &place.value, why),
            Expr::Tuple(targets) => targets.elts.iter().for_each(|target| self.taint(frame, target, why)),
            _ => {}
        }
    }
}

/// What both agree on stays; the rest is not known.
fn merge<'a>(scope: &mut Scope<'a>, other: Scope<'a>, why: &Spanned<'a>) {
    for name in scope.keys().copied().collect::<Vec<_>>() {
        if !other.contains_key(name) {
            scope.insert(name, why.clone());
        }
    }
    for (name, value) in other {
        match scope.get(name) {
            Some(mine) if same(&mine.value, &value.value) => {}
            _ => {
                scope.insert(name, why.clone());
            }
        }
    }
}

/// Whether two names from different modules are the same thing in another place: `JSONField`, and the older `JSONField`.
fn is_alike(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Name(one), Value::Name(other)) => one.rsplit('.').next() == other.rsplit('.').next(),
        (one, other) => same(one, other),
    }
}
