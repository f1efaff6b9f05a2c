//! Texts that a module puts together: f-strings, `%`, `format()`.

use std::rc::Rc;

use ruff_python_ast::{InterpolatedStringElement, InterpolatedStringFormatSpec};

use crate::value::{Kind, Spanned, Value};

/// The longest text that is built.
pub(super) const LONGEST_TEXT: usize = 1 << 20;

/// A text that was built.
pub(super) fn made_text<'a>(made: String) -> Value<'a> {
    if made.len() > LONGEST_TEXT {
        Value::Unknown("is too long a text".into())
    } else {
        Value::Str(made.into())
    }
}

/// A value as `str()` shows it. `None` if that is not simple.
pub(super) fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number with a width like `04`. `None` for other formats.
pub(super) fn padded(shown: &str, width: &str) -> Option<String> {
    if width.is_empty() {
        return Some(shown.to_owned());
    }
    let length: usize = width.strip_prefix('0')?.parse().ok().filter(|length| *length < 100)?;
    let is_plain = !shown.is_empty() && shown.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| format!("{shown:0>length$}"))
}

/// The format of a part of an f-string. `None` if it is computed.
pub(super) fn width(format: Option<&InterpolatedStringFormatSpec>) -> Option<String> {
    let Some(format) = format else { return Some(String::new()) };
    let mut width = String::new();
    for element in &format.elements {
        let InterpolatedStringElement::Literal(literal) = element else { return None };
        width.push_str(literal.value.strip_suffix('d').unwrap_or(&literal.value));
    }
    Some(width)
}

/// `pattern % arguments`, for patterns with `%s`, `%d` and `%04d`.
pub(super) fn formatted<'a>(pattern: &str, arguments: &Value<'_>) -> Value<'a> {
    let given: Vec<&Value<'_>> = match arguments {
        Value::Sequence(Kind::Tuple, items) => items.iter().map(|item| &item.value).collect(),
        one => vec![one],
    };
    formatted_with(pattern, &given)
        .map_or_else(|| Value::Text("is the result of string formatting".into()), made_text)
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

/// `text.format(…)`, for patterns with `{}`, `{0}` and `{name}`.
pub(super) fn format<'a>(
    pattern: &str,
    positional: &[Spanned<'a>],
    named: &[(Rc<str>, Spanned<'a>)],
) -> Option<String> {
    let mut made = String::new();
    let (mut rest, mut next) = (pattern, 0);
    while let Some(open) = rest.find(['{', '}']) {
        made.push_str(&rest[..open]);
        let close = open + rest[open..].find('}')?;
        let name = rest[open..].strip_prefix('{').map(|_| &rest[open + 1..close])?;
        let value = match name.parse::<usize>() {
            _ if name.is_empty() => {
                next += 1;
                positional.get(next - 1)
            }
            Ok(place) => positional.get(place),
            Err(_) => named.iter().find(|(given, _)| &**given == name).map(|(_, value)| value),
        };
        made.push_str(&shown(&value?.value)?);
        if made.len() > LONGEST_TEXT {
            return None;
        }
        rest = &rest[close + 1..];
    }
    made.push_str(rest);
    Some(made)
}
