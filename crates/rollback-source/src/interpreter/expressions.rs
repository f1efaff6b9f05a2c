//! Evaluates expressions.

use std::rc::Rc;

use ruff_python_ast::{
    BoolOp, Comprehension, Expr, ExprAttribute, ExprBinOp, ExprBoolOp, ExprDict, ExprFString, ExprSlice,
    ExprSubscript, ExprUnaryOp, FStringPart, InterpolatedStringElement, Number, Operator, UnaryOp,
};

use super::comparisons::is_version;
use super::state::{Frame, Interpreter, text};
use super::texts::{LONGEST_TEXT, formatted, made_text, padded, shown, width};
use crate::compare::{either, equal, is_text, same, truth, without_doubles};
use crate::value::{Kind, Origin, Scope, Spanned, Value, has_rest, is_foreign};

/// The longest sequence that is built: far more than the operations of any migration.
const LONGEST: usize = 100_000;

impl<'a> Interpreter<'a, '_> {
    pub(super) fn expression(&mut self, frame: &mut Frame<'a>, expression: &'a Expr) -> Spanned<'a> {
        let origin = self.origin(frame, expression);
        if !self.burn() {
            return Spanned::unknown("takes too many steps to evaluate", origin);
        }
        let value = match expression {
            Expr::NoneLiteral(_) => Value::None,
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(number) => {
                    number.as_i64().map_or_else(|| unknown("is too large a number"), Value::Int)
                }
                _ => unknown("is not an integer"),
            },
            Expr::StringLiteral(literal) => Value::Str(text(literal.value.to_str())),
            Expr::FString(literal) => return self.f_string(frame, literal, origin),
            Expr::List(list) => return self.sequence(frame, Kind::List, &list.elts, origin),
            Expr::Tuple(tuple) => return self.sequence(frame, Kind::Tuple, &tuple.elts, origin),
            Expr::Set(set) => return self.sequence(frame, Kind::Set, &set.elts, origin),
            Expr::Dict(dict) => return self.dict(frame, dict, origin),
            Expr::Name(name) => return self.name(frame, name.id.as_str(), origin),
            Expr::Attribute(attribute) => return self.attribute(frame, attribute, origin),
            Expr::Call(call) => return self.call(frame, call, origin),
            Expr::BinOp(ExprBinOp { left, op, right, .. }) => {
                let (left, right) = (self.expression(frame, left), self.expression(frame, right));
                return self.binary(left, *op, right, origin);
            }
            Expr::BoolOp(operation) => return self.and_or(frame, operation, origin),
            Expr::UnaryOp(operation) => return self.unary(frame, operation, origin),
            Expr::Compare(comparison) => return self.compare(frame, comparison, origin),
            Expr::If(choice) => {
                let test = self.expression(frame, &choice.test);
                return match truth(&test.value) {
                    Some(true) => self.expression(frame, &choice.body),
                    Some(false) => self.expression(frame, &choice.orelse),
                    None => {
                        let (one, other) =
                            (self.expression(frame, &choice.body), self.expression(frame, &choice.orelse));
                        if same(&one.value, &other.value) {
                            one
                        } else {
                            let why = Spanned::unknown(test.reason(), origin);
                            Spanned { value: either(&one.value, &other.value, &why), origin }
                        }
                    }
                };
            }
            Expr::Lambda(lambda) => Value::Lambda(lambda, (!frame.is_call).then_some(frame.module)),
            Expr::ListComp(list) => {
                return self.comprehension(frame, Kind::List, (&list.elt, &list.generators), origin);
            }
            Expr::SetComp(set) => {
                return self.comprehension(frame, Kind::Set, (&set.elt, &set.generators), origin);
            }
            Expr::Generator(made) => {
                return self.comprehension(frame, Kind::List, (&made.elt, &made.generators), origin);
            }
            Expr::Subscript(subscript) => return self.subscript(frame, subscript, origin),
            Expr::Named(named) => {
                let value = self.expression(frame, &named.value);
                self.assign(frame, &named.target, value.clone());
                return value;
            }
            Expr::Starred(_) => unknown("is unpacked where that is not supported"),
            _ => unknown("uses syntax that is not supported"),
        };
        Spanned { value, origin }
    }

    pub(super) fn sequence(
        &mut self,
        frame: &mut Frame<'a>,
        kind: Kind,
        elements: &'a [Expr],
        origin: Origin,
    ) -> Spanned<'a> {
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Expr::Starred(starred) => {
                    let inner = self.expression(frame, &starred.value);
                    match self.iterate(&inner) {
                        Some(inner) => items.extend(inner.iter().cloned()),
                        // The other items stay known.
                        None => items.push(missing(&inner)),
                    }
                }
                element => items.push(self.expression(frame, element)),
            }
        }
        if kind == Kind::Set {
            items = without_doubles(items);
        }
        Spanned { value: Value::Sequence(kind, Rc::new(items)), origin }
    }

    pub(super) fn dict(&mut self, frame: &mut Frame<'a>, dict: &'a ExprDict, origin: Origin) -> Spanned<'a> {
        let mut items = Vec::with_capacity(dict.items.len());
        for item in &dict.items {
            let value = self.expression(frame, &item.value);
            match (&item.key, value) {
                (Some(key), value) => items.push((self.expression(frame, key), value)),
                (None, value) => {
                    let value = self.concrete(value);
                    let Value::Dict(inner) = &value.value else {
                        return Spanned::unknown(value.reason(), value.origin);
                    };
                    items.extend(inner.iter().cloned());
                }
            }
        }
        Spanned { value: Value::Dict(Rc::new(items)), origin }
    }

    pub(super) fn f_string(
        &mut self,
        frame: &mut Frame<'a>,
        literal: &'a ExprFString,
        origin: Origin,
    ) -> Spanned<'a> {
        let mut made = String::new();
        for part in literal.value.as_slice() {
            match part {
                FStringPart::Literal(literal) => made.push_str(&literal.value),
                FStringPart::FString(string) => {
                    for element in &string.elements {
                        match element {
                            InterpolatedStringElement::Literal(literal) => made.push_str(&literal.value),
                            InterpolatedStringElement::Interpolation(inner) => {
                                let value = self.expression(frame, &inner.expression);
                                let value = self.concrete(value);
                                let is_plain = inner.debug_text.is_none() && inner.conversion.is_none();
                                let width = width(inner.format_spec.as_deref());
                                let shown = shown(&value.value).zip(width).filter(|_| is_plain);
                                let shown = shown.filter(|_| made.len() < LONGEST_TEXT);
                                match shown.and_then(|(shown, width)| padded(&shown, &width)) {
                                    Some(shown) => made.push_str(&shown),
                                    None => {
                                        return Spanned { value: Value::Text(value.reason().into()), origin };
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        Spanned { value: made_text(made), origin }
    }

    pub(super) fn attribute(
        &mut self,
        frame: &mut Frame<'a>,
        attribute: &'a ExprAttribute,
        origin: Origin,
    ) -> Spanned<'a> {
        let owner = self.expression(frame, &attribute.value);
        let name = attribute.attr.id.as_str();
        match &owner.value {
            Value::Name(path) => Spanned { value: Value::Name(format!("{path}.{name}").into()), origin },
            Value::Class(id) => {
                let class = self.classes[*id].name;
                match self.attribute_of_class(&owner.value, name) {
                    Some(value) => value.at(origin),
                    None => Spanned::unknown(format!("depends on {class}.{name}"), origin),
                }
            }
            Value::Itself => match frame.made.attributes.get(name) {
                Some(value) => value.clone().at(origin),
                None => Spanned::unknown(format!("depends on self.{name}"), origin),
            },
            Value::Sequence(..) | Value::Dict(_) => {
                // A bound method may change it later.
                self.forget_passed(frame, &owner);
                Spanned::unknown(format!("depends on the attribute {name}"), origin)
            }
            _ => Spanned::unknown(
                owner.why().map_or_else(|| format!("depends on the attribute {name}"), str::to_owned),
                origin,
            ),
        }
    }

    pub(super) fn binary(
        &mut self,
        left: Spanned<'a>,
        operator: Operator,
        right: Spanned<'a>,
        origin: Origin,
    ) -> Spanned<'a> {
        let (left, right) = (self.concrete(left), self.concrete(right));
        let value = match (&left.value, operator, &right.value) {
            (Value::Str(one), Operator::Add, Value::Str(other)) => made_text(format!("{one}{other}")),
            (Value::Int(one), Operator::Add, Value::Int(other)) => {
                one.checked_add(*other).map_or_else(|| unknown("is too large a number"), Value::Int)
            }
            (Value::Sequence(kind, one), Operator::Add, Value::Sequence(other_kind, other))
                if kind == other_kind && one.len() + other.len() <= LONGEST =>
            {
                Value::Sequence(*kind, Rc::new(one.iter().chain(other.iter()).cloned().collect()))
            }
            (Value::Sequence(kind, items), Operator::Mult, Value::Int(times))
            | (Value::Int(times), Operator::Mult, Value::Sequence(kind, items)) => {
                let times = usize::try_from(*times).unwrap_or(0);
                if items.len().saturating_mul(times) <= LONGEST {
                    let all = std::iter::repeat_n(items, times).flat_map(|items| items.iter().cloned());
                    Value::Sequence(*kind, Rc::new(all.collect()))
                } else {
                    unknown("is too long a list")
                }
            }
            (Value::Str(pattern), Operator::Mod, arguments) => formatted(pattern, arguments),
            (one, Operator::Add, other) if is_text(one) || is_text(other) => {
                let unknown = if matches!(one, Value::Str(_)) { &right } else { &left };
                Value::Text(unknown.reason().into())
            }
            // The known part of a sum of lists stays known.
            (Value::Sequence(kind, known), Operator::Add, _) => {
                Value::Sequence(*kind, Rc::new(known.iter().cloned().chain([missing(&right)]).collect()))
            }
            (_, Operator::Add, Value::Sequence(kind, known)) => {
                let all = [missing(&left)].into_iter().chain(known.iter().cloned());
                Value::Sequence(*kind, Rc::new(all.collect()))
            }
            _ => unknown(if left.why().is_some() || is_foreign(&left.value) {
                left.reason()
            } else {
                right.reason()
            }),
        };
        Spanned { value, origin }
    }

    /// A list that is extended by another one.
    pub(super) fn extended(&mut self, list: Spanned<'a>, more: &Spanned<'a>) -> Spanned<'a> {
        let Some(items) = list.items() else { return list };
        let added = self.iterate(more);
        let added = match &added {
            Some(added) if added.len() + items.len() <= LONGEST => added.to_vec(),
            _ => vec![missing(more)],
        };
        let all = items.iter().cloned().chain(added).collect();
        Spanned { value: Value::Sequence(Kind::List, Rc::new(all)), origin: list.origin }
    }

    pub(super) fn and_or(
        &mut self,
        frame: &mut Frame<'a>,
        operation: &'a ExprBoolOp,
        origin: Origin,
    ) -> Spanned<'a> {
        let mut unknown: Option<Spanned<'a>> = None;
        let mut last = Spanned::unknown("is empty", origin);
        for value in &operation.values {
            last = self.expression(frame, value);
            let decides = match operation.op {
                BoolOp::And => Some(false),
                BoolOp::Or => Some(true),
            };
            match truth(&last.value) {
                truth if truth == decides && unknown.is_none() => return last,
                // In a condition, `unknown and False` is false.
                truth if truth == decides => {
                    return Spanned { value: Value::Bool(truth == Some(true)), origin };
                }
                None => unknown = unknown.or_else(|| Some(Spanned::unknown(last.reason(), last.origin))),
                _ => {}
            }
        }
        unknown.unwrap_or(last)
    }

    pub(super) fn unary(
        &mut self,
        frame: &mut Frame<'a>,
        operation: &'a ExprUnaryOp,
        origin: Origin,
    ) -> Spanned<'a> {
        let operand = self.expression(frame, &operation.operand);
        let value = match (operation.op, &operand.value) {
            (UnaryOp::Not, value) => match truth(value) {
                Some(truth) => Value::Bool(!truth),
                None => unknown(operand.reason()),
            },
            (UnaryOp::USub, Value::Int(number)) => Value::Int(number.wrapping_neg()),
            (UnaryOp::UAdd, Value::Int(number)) => Value::Int(*number),
            _ => unknown(operand.reason()),
        };
        Spanned { value, origin }
    }

    pub(super) fn comprehension(
        &mut self,
        frame: &mut Frame<'a>,
        kind: Kind,
        (element, generators): (&'a Expr, &'a [Comprehension]),
        origin: Origin,
    ) -> Spanned<'a> {
        let mut items = Vec::new();
        let first = generators.first().map(|first| self.expression(frame, &first.iter));
        let is_class = std::mem::replace(&mut frame.is_class, false);
        let hidden = if is_class { std::mem::take(&mut frame.scopes) } else { Vec::new() };
        frame.scopes.push(Scope::new());
        let done = self.generate(frame, element, (generators, first), &mut items);
        frame.scopes.pop();
        if is_class {
            frame.scopes = hidden;
            frame.is_class = true;
        }
        match done {
            Ok(()) => Spanned { value: Value::Sequence(kind, Rc::new(items)), origin },
            Err(why) => Spanned::unknown(why.reason(), origin),
        }
    }

    pub(super) fn generate(
        &mut self,
        frame: &mut Frame<'a>,
        element: &'a Expr,
        (generators, first): (&'a [Comprehension], Option<Spanned<'a>>),
        items: &mut Vec<Spanned<'a>>,
    ) -> Result<(), Spanned<'a>> {
        let Some((generator, inner)) = generators.split_first() else {
            items.push(self.expression(frame, element));
            return Ok(());
        };
        let over = first.unwrap_or_else(|| self.expression(frame, &generator.iter));
        let Some(found) = self.iterate(&over) else { return Err(over) };
        'items: for item in found.iter() {
            self.assign(frame, &generator.target, item.clone());
            for condition in &generator.ifs {
                let condition = self.expression(frame, condition);
                match truth(&condition.value) {
                    Some(true) => {}
                    Some(false) => continue 'items,
                    None => return Err(condition),
                }
            }
            if items.len() > LONGEST {
                return Err(over);
            }
            self.generate(frame, element, (inner, None), items)?;
        }
        Ok(())
    }

    /// The items that a loop over a value visits. `None` if they are unknown.
    pub(super) fn iterate(&mut self, value: &Spanned<'a>) -> Option<Rc<Vec<Spanned<'a>>>> {
        let value = self.concrete(value.clone());
        match &value.value {
            Value::Sequence(_, items) => (!has_rest(items)).then(|| items.clone()),
            Value::Dict(items) => Some(Rc::new(items.iter().map(|(key, _)| key.clone()).collect())),
            _ => None,
        }
    }

    /// `owner[lower:upper]`. `None` if that is not known.
    fn slice(
        &mut self,
        frame: &mut Frame<'a>,
        owner: &Spanned<'a>,
        slice: &'a ExprSlice,
    ) -> Option<Value<'a>> {
        let mut bound = |bound: &'a Option<Box<Expr>>| match bound {
            None => Some(None),
            Some(bound) => match self.expression(frame, bound).value {
                Value::Int(number) => Some(Some(number)),
                _ => None,
            },
        };
        match (&owner.value, bound(&slice.lower)?, bound(&slice.upper)?) {
            (Value::Name(path), None, Some(length)) if is_version(path) => {
                Some(Value::Name(text(format!("{path}[:{length}]"))))
            }
            (Value::Sequence(kind, items), lower, upper) if slice.step.is_none() && !has_rest(items) => {
                let place = |bound: i64| place(bound, items.len()).min(items.len());
                let (lower, upper) = (lower.map_or(0, place), upper.map_or(items.len(), place));
                let part = items.get(lower..upper.max(lower)).unwrap_or_default().to_vec();
                Some(Value::Sequence(*kind, Rc::new(part)))
            }
            _ => None,
        }
    }

    pub(super) fn subscript(
        &mut self,
        frame: &mut Frame<'a>,
        subscript: &'a ExprSubscript,
        origin: Origin,
    ) -> Spanned<'a> {
        let owner = self.expression(frame, &subscript.value);
        let owner = self.concrete(owner);
        if let Expr::Slice(slice) = &*subscript.slice {
            return match self.slice(frame, &owner, slice) {
                Some(value) => Spanned { value, origin },
                None => Spanned::unknown(owner.reason(), origin),
            };
        }
        let index = self.expression(frame, &subscript.slice);
        let found = match (&owner.value, &index.value) {
            (Value::Sequence(_, items), Value::Int(index)) if !has_rest(items) => {
                items.get(place(*index, items.len())).cloned()
            }
            (Value::Dict(items), key) => {
                let found = items.iter().rev().find(|(known, _)| equal(&known.value, key) == Some(true));
                found.map(|(_, value)| value.clone())
            }
            (Value::Name(path), Value::Int(0)) if is_version(path) => {
                Some(Spanned { value: Value::Name(text(format!("{path}.major"))), origin })
            }
            _ => None,
        };
        found.map_or_else(|| Spanned::unknown(owner.reason(), origin), |found| found.at(origin))
    }
}

/// Stands for unknown items of a sequence.
fn missing<'a>(from: &Spanned<'a>) -> Spanned<'a> {
    Spanned { value: Value::Rest(from.reason().into()), origin: from.origin }
}

fn unknown<'a>(why: impl Into<Rc<str>>) -> Value<'a> {
    Value::Unknown(why.into())
}

/// The place of a Python index, which counts from the end if it is negative.
fn place(index: i64, length: usize) -> usize {
    let from_end = || length.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX));
    usize::try_from(index).unwrap_or_else(|_| from_end())
}
