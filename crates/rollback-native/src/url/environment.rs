//! The environment, which whoever reads a URL hands over.

/// The environment, asked for one variable at a time.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;
