//! What expressions come to.

use std::rc::Rc;

use ruff_python_ast::{
    BoolOp, CmpOp, Comprehension, Expr, ExprAttribute, ExprBinOp, ExprBoolOp, ExprCompare, ExprDict,
    ExprFString, ExprSubscript, ExprUnaryOp, FStringPart, InterpolatedStringElement,
    InterpolatedStringFormatSpec, Number, Operator, UnaryOp,
};

use super::{Frame, Interpreter, text};
use crate::value::{Kind, Origin, Scope, Spanned, Value, either, equal, has_rest, is_text, truth};

/// The longest sequence that is made: far more than the operations of any migration.
const LONGEST: usize = 100_000;

impl<'a> Interpreter<'a, '_> {
    pub(super) fn expression(&mut self, frame: &mut Frame<'a>, expression: &'a Expr) -> Spanned<'a> {
        let origin = self.origin(frame, expression);
        if !self.burn() {
            return Spanned::unknown("takes too long to follow", origin);
        }
        let value = match expression {
            Expr::NoneLiteral(_) => Value::None,
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(number) => {
                    number.as_i64().map_or_else(|| unknown("is a long number"), Value::Int)
                }
                _ => unknown("is no whole number"),
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
                        if crate::value::same(&one.value, &other.value) {
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
            Expr::Starred(_) => unknown("is unpacked where that is not followed"),
            _ => unknown("is written in a way that is not followed"),
        };
        Spanned { value, origin }
    }

    fn sequence(
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
                        // What stands around it is known all the same.
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

    fn dict(&mut self, frame: &mut Frame<'a>, dict: &'a ExprDict, origin: Origin) -> Spanned<'a> {
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

    fn f_string(&mut self, frame: &mut Frame<'a>, literal: &'a ExprFString, origin: Origin) -> Spanned<'a> {
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

    fn attribute(
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
                // A method that is taken along may change it later.
                self.give_away(frame, &owner);
                Spanned::unknown(format!("depends on an attribute {name}"), origin)
            }
            _ => Spanned::unknown(
                owner.why().map_or_else(|| format!("depends on an attribute {name}"), str::to_owned),
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
                one.checked_add(*other).map_or_else(|| unknown("is a long number"), Value::Int)
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
                    unknown("is a long list")
                }
            }
            (Value::Str(pattern), Operator::Mod, arguments) => formatted(pattern, arguments),
            (one, Operator::Add, other) if is_text(one) || is_text(other) => {
                let unknown = if matches!(one, Value::Str(_)) { &right } else { &left };
                Value::Text(unknown.reason().into())
            }
            // Of a sum of lists the known part counts.
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

    /// A list that another is appended to.
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

    fn and_or(&mut self, frame: &mut Frame<'a>, operation: &'a ExprBoolOp, origin: Origin) -> Spanned<'a> {
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
                // `unknown and False` is false whatever the unknown one is, when it only stands in a condition.
                truth if truth == decides => {
                    return Spanned { value: Value::Bool(truth == Some(true)), origin };
                }
                None => unknown = unknown.or_else(|| Some(Spanned::unknown(last.reason(), last.origin))),
                _ => {}
            }
        }
        unknown.unwrap_or(last)
    }

    fn unary(&mut self, frame: &mut Frame<'a>, operation: &'a ExprUnaryOp, origin: Origin) -> Spanned<'a> {
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

    fn compare(&mut self, frame: &mut Frame<'a>, comparison: &'a ExprCompare, origin: Origin) -> Spanned<'a> {
        let left = self.expression(frame, &comparison.left);
        let ([operator], [right]) = (&*comparison.ops, &*comparison.comparators) else {
            return Spanned::unknown("is a chain of comparisons", origin);
        };
        let right = self.expression(frame, right);
        let (left, right) = (self.concrete(left), self.concrete(right));
        let result = match operator {
            CmpOp::Eq | CmpOp::Is => equal(&left.value, &right.value),
            CmpOp::NotEq | CmpOp::IsNot => equal(&left.value, &right.value).map(|equal| !equal),
            CmpOp::In => contains(&right.value, &left.value),
            CmpOp::NotIn => contains(&right.value, &left.value).map(|found| !found),
            CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => ordered(&left.value, *operator, &right.value),
        };
        match result {
            Some(result) => Spanned { value: Value::Bool(result), origin },
            None if is_foreign(&left.value) || left.why().is_some() => {
                Spanned::unknown(left.reason(), origin)
            }
            None => Spanned::unknown(right.reason(), origin),
        }
    }

    fn comprehension(
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

    fn generate(
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

    /// The items of something that a loop goes over.
    pub(super) fn iterate(&mut self, value: &Spanned<'a>) -> Option<Rc<Vec<Spanned<'a>>>> {
        let value = self.concrete(value.clone());
        match &value.value {
            Value::Sequence(_, items) => (!has_rest(items)).then(|| items.clone()),
            Value::Dict(items) => Some(Rc::new(items.iter().map(|(key, _)| key.clone()).collect())),
            _ => None,
        }
    }

    fn subscript(
        &mut self,
        frame: &mut Frame<'a>,
        subscript: &'a ExprSubscript,
        origin: Origin,
    ) -> Spanned<'a> {
        let owner = self.expression(frame, &subscript.value);
        let owner = self.concrete(owner);
        if let Expr::Slice(slice) = &*subscript.slice {
            let mut bound = |bound: &'a Option<Box<Expr>>| match bound {
                None => Some(None),
                Some(bound) => match self.expression(frame, bound).value {
                    Value::Int(number) => Some(Some(number)),
                    _ => None,
                },
            };
            let bounds = (bound(&slice.lower), bound(&slice.upper));
            return match (&owner.value, bounds) {
                (Value::Name(path), (Some(None), Some(Some(length)))) if is_version(path) => {
                    Spanned { value: Value::Name(text(format!("{path}[:{length}]"))), origin }
                }
                (Value::Sequence(kind, items), (Some(lower), Some(upper)))
                    if slice.step.is_none() && !has_rest(items) =>
                {
                    let place = |bound: i64| place(bound, items.len()).min(items.len());
                    let (lower, upper) = (lower.map_or(0, place), upper.map_or(items.len(), place));
                    let part = items.get(lower..upper.max(lower)).unwrap_or_default().to_vec();
                    Spanned { value: Value::Sequence(*kind, Rc::new(part)), origin }
                }
                _ => Spanned::unknown(owner.reason(), origin),
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

/// Items that a sequence takes from elsewhere.
fn missing<'a>(from: &Spanned<'a>) -> Spanned<'a> {
    Spanned { value: Value::Rest(from.reason().into()), origin: from.origin }
}

fn unknown<'a>(why: impl Into<Rc<str>>) -> Value<'a> {
    Value::Unknown(why.into())
}

/// The longest text that is put together.
pub(super) const LONGEST_TEXT: usize = 1 << 20;

/// A text that was put together.
pub(super) fn made_text<'a>(made: String) -> Value<'a> {
    if made.len() > LONGEST_TEXT { unknown("is a long text") } else { Value::Str(made.into()) }
}

/// Whether a value comes from another module, which may be why something is not known.
fn is_foreign(value: &Value<'_>) -> bool {
    matches!(value, Value::Name(_) | Value::Setting { .. } | Value::Instance(_))
}

/// The format of an f-string's part, where it is plain.
fn width(format: Option<&InterpolatedStringFormatSpec>) -> Option<String> {
    let Some(format) = format else { return Some(String::new()) };
    let mut width = String::new();
    for element in &format.elements {
        let InterpolatedStringElement::Literal(literal) = element else { return None };
        width.push_str(literal.value.strip_suffix('d').unwrap_or(&literal.value));
    }
    Some(width)
}

/// Python's index, from the end where it is negative.
fn place(index: i64, length: usize) -> usize {
    let from_end = || length.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX));
    usize::try_from(index).unwrap_or_else(|_| from_end())
}

/// A value as `str()` shows it, where that is plain.
pub(super) fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `pattern % arguments`, where the pattern has only `%s`, `%d` and the like of `%04d`.
fn formatted<'a>(pattern: &str, arguments: &Value<'_>) -> Value<'a> {
    let given: Vec<&Value<'_>> = match arguments {
        Value::Sequence(Kind::Tuple, items) => items.iter().map(|item| &item.value).collect(),
        one => vec![one],
    };
    formatted_with(pattern, &given).map_or_else(|| Value::Text("is made by formatting".into()), made_text)
}

fn formatted_with(pattern: &str, arguments: &[&Value<'_>]) -> Option<String> {
    let mut parts = pattern.split('%');
    let mut made = parts.next().unwrap_or_default().to_owned();
    let mut arguments = arguments.iter();
    for part in parts {
        let kind = part.find(['s', 'd'])?;
        let argument = arguments.next()?;
        let shown = if part[kind..].starts_with('d') { number(argument) } else { shown(argument) };
        made.push_str(&padded(&shown?, &part[..kind])?);
        if made.len() > LONGEST_TEXT {
            return None;
        }
        made.push_str(&part[kind + 1..]);
    }
    arguments.next().is_none().then_some(made)
}

fn number(value: &Value<'_>) -> Option<String> {
    matches!(value, Value::Int(_)).then(|| shown(value)).flatten()
}

/// A number in a width like `04`; nothing else is followed.
pub(super) fn padded(shown: &str, width: &str) -> Option<String> {
    if width.is_empty() {
        return Some(shown.to_owned());
    }
    let length: usize = width.strip_prefix('0')?.parse().ok().filter(|length| *length < 100)?;
    let is_plain = !shown.is_empty() && shown.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| format!("{shown:0>length$}"))
}

pub(super) fn without_doubles(items: Vec<Spanned<'_>>) -> Vec<Spanned<'_>> {
    let mut once: Vec<Spanned<'_>> = Vec::with_capacity(items.len());
    for item in items {
        if !once.iter().any(|known| equal(&known.value, &item.value) == Some(true)) {
            once.push(item);
        }
    }
    once
}

/// Whether one value is among others.
fn contains(all: &Value<'_>, one: &Value<'_>) -> Option<bool> {
    match all {
        Value::Sequence(_, items) => {
            let mut is_certain = true;
            for item in items.iter() {
                match equal(&item.value, one) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => is_certain = false,
                }
            }
            is_certain.then_some(false)
        }
        Value::Str(all) => match one {
            Value::Str(one) => Some(all.contains(&**one)),
            _ => None,
        },
        _ => None,
    }
}

/// Which of two comes first.
fn ordered(left: &Value<'_>, operator: CmpOp, right: &Value<'_>) -> Option<bool> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(match operator {
            CmpOp::Lt => left < right,
            CmpOp::LtE => left <= right,
            CmpOp::Gt => left > right,
            _ => left >= right,
        }),
        (Value::Name(path), right) => newer(path, operator, &numbers(right)?),
        (left, Value::Name(path)) => {
            let mirrored = match operator {
                CmpOp::Lt => CmpOp::Gt,
                CmpOp::LtE => CmpOp::GtE,
                CmpOp::Gt => CmpOp::Lt,
                _ => CmpOp::LtE,
            };
            newer(path, mirrored, &numbers(left)?)
        }
        _ => None,
    }
}

fn numbers(value: &Value<'_>) -> Option<Vec<i64>> {
    match value {
        Value::Int(number) => Some(vec![*number]),
        Value::Sequence(_, items) => items
            .iter()
            .map(|item| match item.value {
                Value::Int(number) => Some(number),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// The versions that count as given: the oldest Django and the oldest Python that django-rollback runs with.
fn oldest(path: &str) -> Option<&'static [i64]> {
    match path {
        "django.VERSION" | "django.VERSION[:2]" => Some(&[4, 2]),
        "sys.version_info" | "sys.version_info[:2]" => Some(&[3, 10]),
        "django.VERSION.major" | "django.VERSION[:1]" => Some(&[4]),
        "sys.version_info.major" | "sys.version_info[:1]" => Some(&[3]),
        _ => None,
    }
}

fn is_version(path: &str) -> bool {
    oldest(path).is_some()
}

/// How a version compares with another, where that is the same for every version that counts.
fn newer(path: &str, operator: CmpOp, other: &[i64]) -> Option<bool> {
    let oldest = oldest(path)?;
    match operator {
        CmpOp::GtE if other <= oldest => Some(true),
        CmpOp::Gt if other < oldest => Some(true),
        CmpOp::Lt if other <= oldest => Some(false),
        CmpOp::LtE if other < oldest => Some(false),
        _ => None,
    }
}
