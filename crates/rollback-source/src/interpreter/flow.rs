//! How statements end.

use crate::value::Spanned;

/// How a statement ends.
pub(super) enum Flow<'a> {
    /// The next statement follows.
    Next,
    /// The function ends with this value.
    Return(Spanned<'a>),
    /// The loop ends, or its next iteration starts.
    Loop { ends: bool },
    /// An exception.
    Raise,
    /// One of these, unknown which.
    Unsure(Spanned<'a>),
}
