//! `history`: what was done, newest first.

use rollback_core::CommitId;
use rollback_engine::cases::releases;
use rollback_engine::store::RecordedOperation;

use super::context::Context;
use crate::console::Level;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::count;
use crate::{document, table};

pub(crate) fn run(context: &mut Context<'_>, limit: u32) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let operations = releases::history(session.database.as_mut(), limit)?;
    if context.is_json() {
        context.out_json(&document::history(&operations))?;
    } else if operations.is_empty() {
        context.say(Level::Info, "Nothing was done yet.");
    } else {
        let heading = ["", "AT", "WHAT", "FROM", "TO", "STEPS", "OUTCOME", "WHO", "VERSION"];
        context.out(&table::render(&heading, operations.iter().map(row)))?;
    }
    Ok(ExitCode::Done)
}

fn row(recorded: &RecordedOperation) -> Vec<String> {
    let operation = &recorded.operation;
    let short = |commit: Option<&CommitId>| commit.map_or("", CommitId::short).to_owned();
    let outcome = match operation.failed_step() {
        Some(step) => format!("{} at {step}", operation.outcome().as_str()),
        None => operation.outcome().as_str().to_owned(),
    };
    let steps = match (operation.steps().len(), operation.steps_done()) {
        (0, _) => String::new(),
        (number, done) if number == done => count(number, "step"),
        (number, done) => format!("{done} of {number} steps"),
    };
    vec![
        recorded.id.to_string(),
        recorded.at.replace('T', " "),
        operation.kind().as_str().to_owned(),
        short(operation.from()),
        short(operation.to()),
        steps,
        outcome,
        format!("{}@{}", operation.user, operation.host),
        operation.version.clone(),
    ]
}
