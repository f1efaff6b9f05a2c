//! The arguments of every command, and the help that teaches them.

mod commands;
mod common;
mod examples;
mod format;
mod grammar;
mod headings;
#[cfg(test)]
mod page;
mod revisions;
mod rollback;
mod target;

pub(crate) use commands::{Command, HandedOverArguments, ImportArguments, SaveArguments, UnlistedCommand};
pub(crate) use common::Common;
pub(crate) use format::{GraphFormat, Output};
pub(crate) use grammar::{Arguments, Unparsed, Width, grammar, parse};
pub(crate) use revisions::{CheckArguments, FailOn, GraphArguments, PlanOrRangeArguments};
pub(crate) use rollback::{
    ExecutionArguments, GuardArguments, OnAhead, PlanArguments, RollbackArguments, WayArguments, WayChoice,
};
pub(crate) use target::TargetArguments;
