//! Comparisons: of values, of versions, and whether one value is in others.

use ruff_python_ast::{CmpOp, ExprCompare};

use super::state::{Frame, Interpreter};
use crate::compare::equal;
use crate::value::{Origin, Spanned, Value, is_foreign};

impl<'a> Interpreter<'a, '_> {
    pub(super) fn compare(
        &mut self,
        frame: &mut Frame<'a>,
        comparison: &'a ExprCompare,
        origin: Origin,
    ) -> Spanned<'a> {
        let left = self.expression(frame, &comparison.left);
        let ([operator], [right]) = (&*comparison.ops, &*comparison.comparators) else {
            return Spanned::unknown("is a chained comparison", origin);
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
}

/// `one in all`.
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

/// `<`, `<=`, `>` and `>=`.
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

/// The oldest Django and the oldest Python that django-rollback supports.
fn oldest(path: &str) -> Option<&'static [i64]> {
    match path {
        "django.VERSION" | "django.VERSION[:2]" => Some(&[4, 2]),
        "sys.version_info" | "sys.version_info[:2]" => Some(&[3, 10]),
        "django.VERSION.major" | "django.VERSION[:1]" => Some(&[4]),
        "sys.version_info.major" | "sys.version_info[:1]" => Some(&[3]),
        _ => None,
    }
}

pub(super) fn is_version(path: &str) -> bool {
    oldest(path).is_some()
}

/// How a version compares with another. `None` if that depends on which supported version it is.
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
