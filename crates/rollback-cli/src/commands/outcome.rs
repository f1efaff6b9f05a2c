//! What became of a rollback, for people and for programs; or the other door is asked to take over.

use rollback_engine::rollback::{HandOver, Outcome, Prepared, RollbackError, RolledBack};
use rollback_engine::store::Verification;

use super::context::Context;
use super::plan;
use crate::args::{ExecutionArguments, WayArguments};
use crate::console::{Level, safe};
use crate::document;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::label;

/// Prints the outcome. Returns the exit code: one of ours, or that of the other door.
pub(super) fn print(
    context: &mut Context<'_>,
    arguments: &ExecutionArguments,
    outcome: &Outcome,
) -> Result<i32, CliError> {
    let code = match outcome {
        Outcome::Preview(prepared) => plan::preview(context, prepared)?,
        Outcome::Blocked(prepared) => {
            plan::preview(context, prepared)?;
            return Err(RollbackError::Blocked { blockers: prepared.plan.blockers.len() }.into());
        }
        Outcome::NothingToDo(prepared) => print_nothing_to_do(context, prepared)?,
        Outcome::Done(prepared, done) => print_done(context, prepared, done)?,
        Outcome::HandOver(hand_over) => return ask_other_door(context, arguments, hand_over),
    };
    Ok(code as i32)
}

fn print_nothing_to_do(context: &mut Context<'_>, prepared: &Prepared) -> Result<ExitCode, CliError> {
    if context.is_json() {
        context.out_json(&document::rolled_back(prepared, "nothing-to-do", None))?;
    }
    plan::diagnostics(context, prepared)?;
    let to = label(&prepared.to);
    context.say(Level::Success, &format!("The database is already at {to}; nothing to do."));
    Ok(ExitCode::Done)
}

fn print_done(
    context: &mut Context<'_>,
    prepared: &Prepared,
    done: &RolledBack,
) -> Result<ExitCode, CliError> {
    for note in &done.notes {
        context.say(Level::Warning, &format!("Warning: {}.", safe(note)));
    }
    if context.is_json() {
        let document = document::rolled_back(prepared, "done", Some(done));
        context.out_json(&document::event("end", document))?;
    }
    let schema = match done.verified {
        Verification::Same => ", and its schema is the one that the release had",
        Verification::Drift => {
            ", and its schema is the one that the release had, except for differences that already existed"
        }
        Verification::NoSchema | Verification::NotVerified | Verification::Script => "",
    };
    context.say(Level::Success, &format!("The database is back at {}{schema}.", label(&prepared.to)));
    Ok(ExitCode::Done)
}

/// Lets the project's own `manage.py` do it, with the same target, against the same database.
fn ask_other_door(
    context: &mut Context<'_>,
    arguments: &ExecutionArguments,
    hand_over: &HandOver,
) -> Result<i32, CliError> {
    let HandOver { prepared, token, without_sql } = hand_over;
    let format = if context.is_json() { "json" } else { "text" };
    let (verbosity, fingerprint) = (context.verbosity().to_string(), prepared.fingerprint());
    let mut words = vec!["handed-over", "--commit", prepared.to.commit.as_str(), "--format", format];
    words.extend(["--verbosity", &verbosity, "--expect", &fingerprint]);
    if let Some(token) = token {
        words.extend(["--token", token]);
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let way =
        WayArguments { without_sql: *without_sql || arguments.way.without_sql, ..arguments.way.clone() };
    words.extend(ExecutionArguments { way, ..arguments.clone() }.words());
    let path = context.path.clone();
    context.door.hand_over(&path, &words)
}
