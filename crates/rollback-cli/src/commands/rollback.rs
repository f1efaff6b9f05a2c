//! `rollback`: takes the database back to a release.

use std::time::Duration;

use rollback_core::{CommitId, Target};
use rollback_engine::cases::unfinished;
use rollback_engine::rollback::{
    self, Attempt, Consent, ExecutionOptions, HandOver, HandedOver, Outcome, PlanOptions, Prepared,
    RollbackError, RolledBack,
};
use rollback_engine::store::Verification;

use super::context::Context;
use super::teller::Teller;
use super::{abort, plan};
use crate::args::{ExecutionArguments, HandedOverArguments, RollbackArguments, WayArguments};
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::label;

/// What the user wants.
struct Wanted<'a> {
    target: Target,
    arguments: &'a ExecutionArguments,
    is_preview: bool,
    /// Whether data may only be lost if somebody has accepted that.
    refuses_loss: bool,
}

/// `refuses_loss`: whether data may only be lost if somebody has accepted that.
pub(crate) fn run(
    context: &mut Context<'_>,
    arguments: &RollbackArguments,
    refuses_loss: bool,
) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    if arguments.abort {
        return abort::run(context, &mut session).map(|code| code as i32);
    }
    let target = match arguments.resume {
        true => to_resume(context, &mut session)?,
        false => context.target(&arguments.target)?,
    };
    let wanted = Wanted { target, arguments: &arguments.execution, is_preview: arguments.fake, refuses_loss };
    attempt(context, &mut session, &wanted, None)
}

/// Takes the database back to this commit, for `guard`.
pub(super) fn to(
    context: &mut Context<'_>,
    commit: &CommitId,
    arguments: &ExecutionArguments,
) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    let target = context.commit(commit.as_str())?;
    let wanted = Wanted { target, arguments, is_preview: false, refuses_loss: true };
    attempt(context, &mut session, &wanted, None)
}

/// The other side of a hand-over: another door has made a plan, and this one must see the same database.
pub(crate) fn handed_over(
    context: &mut Context<'_>,
    arguments: &HandedOverArguments,
) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    let target = context.commit(&arguments.commit)?;
    let is_preview = arguments.token.is_none();
    let wanted = Wanted { target, arguments: &arguments.execution, is_preview, refuses_loss: true };
    let handed_over = HandedOver { fingerprint: &arguments.expect, token: arguments.token.as_deref() };
    attempt(context, &mut session, &wanted, Some(&handed_over))
}

/// The release that the rollback that stopped part-way was on its way to.
fn to_resume(context: &Context<'_>, session: &mut Session) -> Result<Target, CliError> {
    let unfinished = unfinished::to_resume(session.database.as_mut())?;
    match &unfinished.event.route.to {
        Some(commit) => context.commit(commit.as_str()),
        None => Ok(Target::Previous),
    }
}

fn attempt(
    context: &mut Context<'_>,
    session: &mut Session,
    wanted: &Wanted<'_>,
    handed_over: Option<&HandedOver<'_>>,
) -> Result<i32, CliError> {
    let arguments = wanted.arguments;
    let (ways, keys, actor) = (context.ways(&arguments.way)?, context.keys()?, context.actor());
    let request = Attempt {
        target: &wanted.target,
        plan: PlanOptions {
            ways: &ways,
            keys: &keys,
            verify: !arguments.no_verify,
            require_rehearsal: arguments.way.require_rehearsal,
            require_runner: true,
        },
        execution: ExecutionOptions {
            lock_timeout: Duration::from_millis(arguments.lock_timeout.into()),
            wait: Duration::from_secs(arguments.wait.into()),
            verify: !arguments.no_verify,
            max_lost_rows: None,
        },
        consent: consent(context, wanted),
        is_preview: wanted.is_preview,
        has_fixed_way: arguments.way.way.is_some(),
        has_other_door: session.runner.is_none() && context.door.has_project(&context.path),
        actor: &actor,
    };
    let (database, runner) = (session.database.as_mut(), session.runner.as_deref_mut());
    let mut teller = Teller(context);
    let outcome = match handed_over {
        Some(told) => rollback::attempt_for_other_door(database, runner, &request, told, &mut teller)?,
        None => rollback::attempt(database, runner, &request, &mut teller)?,
    };
    print(context, arguments, &outcome)
}

fn consent(context: &Context<'_>, wanted: &Wanted<'_>) -> Consent {
    let ExecutionArguments { accept_data_loss, max_lost_rows, noinput, .. } = *wanted.arguments;
    let cannot_ask = noinput || context.is_json() || !context.console.is_terminal();
    match max_lost_rows {
        _ if accept_data_loss => Consent::Any,
        Some(limit) => Consent::AtMost(limit),
        None if !wanted.refuses_loss => Consent::Any,
        None if cannot_ask => Consent::AtMost(0),
        None => Consent::Ask,
    }
}

fn print(
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
