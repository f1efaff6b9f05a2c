//! The environment, which the caller passes in.

/// The environment, asked for one variable at a time.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;
