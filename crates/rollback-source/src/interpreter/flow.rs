//! How statements end.

use crate::value::Spanned;

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
