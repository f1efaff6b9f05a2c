//! `rollback`: takes the database back to a release.

use std::time::Duration;

use rollback_core::{CommitId, Target};
use rollback_engine::cases::unfinished;
use rollback_engine::rollback::{self, Attempt, Consent, ExecutionOptions, HandedOver, PlanOptions};

use super::context::Context;
use super::teller::Teller;
use super::{abort, outcome};
use crate::args::{ExecutionArguments, HandedOverArguments, RollbackArguments};
use crate::door::Session;
use crate::error::CliError;

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
    outcome::print(context, arguments, &outcome)
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
