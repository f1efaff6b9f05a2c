//! Reads a module as Python would run it, but runs nothing. What the text does not determine stays unknown, with the
//! reason.
//!
//! If code changes a list, the list changes under all its names. A list that is passed to code that is not followed is
//! unknown from there on.

mod attempt;
mod branches;
mod builtins;
mod calls;
mod changes;
mod classes;
mod comparisons;
mod expressions;
mod flow;
mod forget;
mod functions;
mod merge;
mod methods;
mod modules;
mod search;
mod state;
mod statements;
mod texts;

pub(crate) use state::{Interpreter, Memory};
