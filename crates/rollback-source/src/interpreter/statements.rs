//! What statements do to the names around them.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{
    ElifElseClause, ExceptHandler, Expr, Operator, Stmt, StmtClassDef, StmtFor, StmtFunctionDef, StmtIf,
    StmtImport, StmtImportFrom, StmtTry, WithItem,
};

use super::{Frame, Interpreter, text};
use crate::value::{
    Arguments, Class, Function, Kind, Origin, Scope, Spanned, Value, either, has_rest, same, truth,
};

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
            Stmt::Expr(expression) => self.effect(frame, &expression.value),
            Stmt::FunctionDef(definition) => {
                let (module, is_inner) = (frame.module, frame.is_call);
                let defaults = self.defaults(frame, &definition.parameters);
                let function =
                    self.memory.functions.alloc(Function { definition, module, defaults, is_inner });
                let value =
                    Spanned { value: Value::Function(function), origin: self.origin(frame, definition) };
                let value = self.decorated(frame, definition, value);
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
            Stmt::Try(StmtTry { body, handlers, orelse, finalbody, .. }) => {
                let handlers: Vec<&[Stmt]> =
                    handlers.iter().map(|ExceptHandler::ExceptHandler(handler)| &handler.body[..]).collect();
                return self.attempt(frame, body, orelse, &handlers, finalbody);
            }
            Stmt::For(repeated) => return self.repeat(frame, repeated),
            Stmt::With(with) => {
                let may_end_early = |item: &WithItem| match &item.context_expr {
                    Expr::Call(call) => match &*call.func {
                        Expr::Name(name) => name.id.as_str() == "suppress",
                        Expr::Attribute(attribute) => attribute.attr.id.as_str() == "suppress",
                        _ => false,
                    },
                    _ => false,
                };
                if with.items.iter().any(may_end_early) {
                    return self.attempt(frame, &with.body, &[], &[&[]], &[]);
                }
                return self.statements(frame, &with.body);
            }
            Stmt::Raise(_) => return Flow::Raise,
            Stmt::Break(_) => return Flow::Loop { ends: true },
            Stmt::Continue(_) => return Flow::Loop { ends: false },
            Stmt::While(repeated) => return self.forget_all(frame, &[&repeated.body], "depends on a loop"),
            Stmt::Match(choice) => {
                let bodies: Vec<&[Stmt]> = choice.cases.iter().map(|case| &case.body[..]).collect();
                return self.forget_all(frame, &bodies, "depends on a match statement");
            }
            Stmt::Delete(deleted) => {
                for target in &deleted.targets {
                    match target {
                        Expr::Name(name) => drop(self.scope(frame).remove(name.id.as_str())),
                        other => self.taint(frame, other, "is changed by `del`"),
                    }
                }
            }
            Stmt::Global(named) => frame.globals.extend(named.names.iter().map(|name| name.id.as_str())),
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
                self.import_all(frame, &module);
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
                        let name = attribute.attr.id.as_str();
                        self.classes[id].is_changed |= name.starts_with("__");
                        self.classes[id].scope.insert(name, value);
                    }
                    Value::Instance(_) => {
                        let why = Value::Unknown(text("is changed after it is made"));
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
                self.taint(frame, &place.value, "is changed by an assignment that is not followed");
            }
            Expr::Starred(starred) => {
                self.taint(frame, &starred.value, "is unpacked from something that is not followed");
            }
            _ => {}
        }
    }

    fn unpack(&mut self, frame: &mut Frame<'a>, targets: &'a [Expr], value: &Spanned<'a>) {
        let items = value.items().filter(|items| items.len() == targets.len() && !has_rest(items)).cloned();
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
        let before_made = frame.made.clone();
        let first_flow = one(self, frame);
        let first = (std::mem::replace(self.scope(frame), before.0), self.classes.clone());
        let first_made = std::mem::replace(&mut frame.made, before_made);
        for (class, before) in self.classes.iter_mut().zip(before.1) {
            *class = before;
        }
        let second_flow = other(self, frame);
        match (first_flow, second_flow) {
            (Flow::Raise, second) => return second,
            (first_flow, Flow::Raise) => {
                *self.scope(frame) = first.0;
                self.classes = first.1;
                frame.made = first_made;
                return first_flow;
            }
            (Flow::Next, Flow::Next) => {}
            (Flow::Return(one), Flow::Return(other)) if same(&one.value, &other.value) => {
                return Flow::Return(one);
            }
            (Flow::Return(one), Flow::Return(other)) => {
                return match either(&one.value, &other.value, why) {
                    Value::Unknown(_) => Flow::Unsure(why.clone()),
                    value => Flow::Return(Spanned { value, origin: why.origin }),
                };
            }
            _ => return Flow::Unsure(why.clone()),
        }
        merge(self.scope(frame), first.0, why);
        frame.made.merge(first_made, why);
        for (class, first) in self.classes.iter_mut().zip(first.1) {
            if class.origin == first.origin {
                merge(&mut class.scope, first.scope, why);
            }
        }
        Flow::Next
    }

    /// What is tried, and what is done where it fails: what both do is known.
    fn attempt(
        &mut self,
        frame: &mut Frame<'a>,
        body: &'a [Stmt],
        orelse: &'a [Stmt],
        handlers: &[&'a [Stmt]],
        finalbody: &'a [Stmt],
    ) -> Flow<'a> {
        const WHY: &str = "depends on what is installed, or on what fails";
        let before = self.scope(frame).clone();
        let before_made = frame.made.clone();
        let mut ended = self.statements(frame, body);
        if matches!(ended, Flow::Next) {
            ended = self.statements(frame, orelse);
        }
        let is_simple =
            body.iter().all(|statement| matches!(statement, Stmt::Import(_) | Stmt::ImportFrom(_)));
        let tried = self.scope(frame).clone();
        let mut unsure: Vec<(&'a str, Origin)> = Vec::new();
        for handler in handlers {
            *self.scope(frame) = before.clone();
            let tried_made = std::mem::replace(&mut frame.made, before_made.clone());
            let flow = self.statements(frame, handler);
            let handled_made = std::mem::replace(&mut frame.made, tried_made);
            if !matches!(flow, Flow::Raise) {
                frame.made.merge(handled_made, &Spanned::unknown(WHY, Origin::nowhere()));
            }
            let handled = match flow {
                Flow::Raise => continue,
                Flow::Next => std::mem::take(self.scope(frame)),
                _ => {
                    let origin = before.values().next().map_or(Origin::nowhere(), |value| value.origin);
                    ended = Flow::Unsure(Spanned::unknown(WHY, origin));
                    std::mem::take(self.scope(frame))
                }
            };
            // A name that only the body binds is one that the module cannot use where the body fails.
            let differs = |name: &&&'a str| match (tried.get(**name), handled.get(**name)) {
                (Some(tried), Some(handled)) => !is_alike(&tried.value, &handled.value),
                (Some(_), None) => false,
                (None, _) => true,
            };
            let names: Vec<&&'a str> = tried.keys().chain(handled.keys()).collect();
            unsure.extend(names.iter().copied().filter(|name| differs(name)).map(|name| {
                let origin = handled.get(*name).or_else(|| tried.get(*name)).map(|value| value.origin);
                (*name, origin.unwrap_or(Origin::nowhere()))
            }));
        }
        if matches!(ended, Flow::Raise) {
            ended = Flow::Unsure(Spanned::unknown(WHY, Origin::nowhere()));
        } else if matches!(ended, Flow::Return(_)) && !handlers.is_empty() && !is_simple {
            let only_raise = handlers.iter().all(|handler| matches!(handler.last(), Some(Stmt::Raise(_))));
            if !only_raise {
                ended = Flow::Unsure(Spanned::unknown(WHY, Origin::nowhere()));
            }
        }
        *self.scope(frame) = tried;
        for (name, origin) in unsure {
            self.bind(frame, name, Spanned::unknown(WHY, origin));
        }
        match self.statements(frame, finalbody) {
            Flow::Next => ended,
            other => other,
        }
    }

    /// Applies the decorators of a function for what they do; what they make of it is theirs.
    fn decorated(
        &mut self,
        frame: &mut Frame<'a>,
        definition: &'a StmtFunctionDef,
        function: Spanned<'a>,
    ) -> Spanned<'a> {
        let mut made = function;
        for decorator in definition.decorator_list.iter().rev() {
            let callee = self.expression(frame, &decorator.expression);
            let callee = self.concrete(callee);
            // One from elsewhere wraps the function: it stays one.
            if !matches!(callee.value, Value::Function(_) | Value::Lambda(..)) {
                continue;
            }
            let origin = made.origin;
            let arguments = Arguments { positional: vec![made], ..Arguments::default() };
            let since = self.changes.len();
            made = self.apply(callee, arguments, origin);
            self.catch_up(frame, since);
        }
        made
    }

    fn repeat(&mut self, frame: &mut Frame<'a>, repeated: &'a StmtFor) -> Flow<'a> {
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

    /// What some of these would change is not known from here on, nor where the function ends if one of them returns.
    fn forget_all(&mut self, frame: &mut Frame<'a>, bodies: &[&'a [Stmt]], why: &str) -> Flow<'a> {
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

    /// What statements would change is not known from here on.
    pub(super) fn forget(&mut self, frame: &mut Frame<'a>, statements: &'a [Stmt], why: &str) {
        for owner in Search::of(statements).calls {
            self.taint(frame, owner, why);
        }
        for statement in statements {
            match statement {
                Stmt::Delete(deleted) => {
                    for target in &deleted.targets {
                        self.taint(frame, target, why);
                    }
                }
                Stmt::Assign(assign) => {
                    for target in &assign.targets {
                        self.taint(frame, target, why);
                    }
                }
                Stmt::AugAssign(assign) => self.taint(frame, &assign.target, why),
                Stmt::AnnAssign(assign) => self.taint(frame, &assign.target, why),
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
            Expr::Name(name) => {
                let known = self.name(frame, name.id.as_str(), origin);
                if matches!(known.value, Value::Sequence(..) | Value::Dict(_)) {
                    self.change(frame, &known.value, Value::Unknown(text(why)));
                }
                if !matches!(known.value, Value::Name(_) | Value::Class(_) | Value::Function(_)) {
                    self.bind(frame, name.id.as_str(), Spanned::unknown(why, origin));
                }
            }
            Expr::Attribute(attribute) => {
                let (unknown, name) = (Spanned::unknown(why, origin), attribute.attr.id.as_str());
                match self.expression(frame, &attribute.value).value {
                    Value::Class(id) => {
                        self.classes[id].scope.insert(name, unknown);
                    }
                    Value::Itself => {
                        frame.made.attributes.insert(name, unknown);
                    }
                    _ => {}
                }
            }
            Expr::Subscript(place) => {
                let owner = self.expression(frame, &place.value);
                self.change(frame, &owner.value, Value::Unknown(text(why)));
                self.taint(frame, &place.value, why);
            }
            Expr::Tuple(targets) => targets.elts.iter().for_each(|target| self.taint(frame, target, why)),
            Expr::Starred(starred) => self.taint(frame, &starred.value, why),
            _ => {}
        }
    }
}

/// What a piece of code calls, and how it ends; functions and classes inside of it left out.
#[derive(Default)]
pub(super) struct Search<'a> {
    /// Whose methods are called, and what is handed over.
    calls: Vec<&'a Expr>,
    returns: bool,
    /// Whether it is the body of a generator.
    pub(super) yields: bool,
}

impl<'a> Search<'a> {
    pub(super) fn of(statements: &'a [Stmt]) -> Self {
        let mut search = Self::default();
        search.visit_body(statements);
        search
    }
}

impl<'a> Visitor<'a> for Search<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            Stmt::Return(_) => {
                self.returns = true;
                walk_stmt(self, statement);
            }
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Lambda(_) => return,
            Expr::Yield(_) | Expr::YieldFrom(_) => self.yields = true,
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func {
                    self.calls.push(&method.value);
                }
                let keywords = call.arguments.keywords.iter().map(|keyword| &keyword.value);
                self.calls.extend(call.arguments.args.iter().chain(keywords));
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// What both agree on stays; the rest is not known.
pub(super) fn merge<'a>(scope: &mut Scope<'a>, other: Scope<'a>, why: &Spanned<'a>) {
    for name in scope.keys().copied().collect::<Vec<_>>() {
        if !other.contains_key(name) {
            scope.insert(name, why.clone());
        }
    }
    for (name, value) in other {
        match scope.get(name) {
            Some(mine) if same(&mine.value, &value.value) => {}
            Some(mine) => {
                let value = either(&mine.value, &value.value, why);
                scope.insert(name, Spanned { value, origin: why.origin });
            }
            None => {
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
