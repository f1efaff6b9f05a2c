//! Rows of a catalogue, which are texts.

use crate::ports::{Row, Value};

/// The texts of a row with this many columns; `None` if it has another shape.
pub(super) fn texts<const N: usize>(row: Row) -> Option<[String; N]> {
    let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
    row.into_iter().map(text).collect::<Option<Vec<_>>>()?.try_into().ok()
}
