//! `rollback`: shows the plan and carries it out.

use std::time::Duration;

use rollback_core::NewCapsule;
use rollback_core::plan::{Blocker, Step};
use rollback_core::{Effect, MigrationId, Plan, ProjectFacts};
use rollback_engine::EngineError;
use rollback_engine::ports::{DatabaseErrorKind, Runner, RunnerError};
use rollback_engine::rollback::{self, Manners, Order, Prepared, RolledBack, open};
use serde_json::json;

use super::progress::Progress;
use super::{Context, label, plan};
use crate::args::{
    ExecutionArguments, HandedOverArguments, RollbackArguments, TargetArguments, WayArguments,
};
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;

/// `refuses_loss`: whether data may only be lost when somebody has accepted that.
pub(crate) fn run(
    context: &mut Context<'_>,
    arguments: &RollbackArguments,
    refuses_loss: bool,
) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    if arguments.abort {
        return abort(context, &mut session).map(|code| code as i32);
    }
    let target = if arguments.resume { to_resume(&mut session)? } else { arguments.target.clone() };
    let manners = &arguments.execution;
    let mut prepared = plan::prepare(context, &mut session, &target, &manners.way, !manners.no_verify)?;
    if !manners.no_verify {
        prepared.check_verifiable()?;
    }
    let no_python_helps =
        |blocker: &Blocker| matches!(blocker, Blocker::ReadOnly { .. } | Blocker::NotThatWay { .. });
    let may_help = session.runner.is_none() && !prepared.plan.blockers.iter().any(no_python_helps);
    if let Some(migrations) = prepared.needs_python().filter(|_| may_help) {
        if context.door.has_project(&context.path) {
            return hand_over(context, &mut session, &prepared, manners, arguments.fake);
        }
        let blocker = Blocker::NeedsPython { migrations: migrations.to_vec() };
        prepared.plan.blockers.push(blocker);
    }
    if arguments.fake {
        return plan::preview(context, &prepared).map(|code| code as i32);
    }
    carry_out(context, session, &Attempt { prepared: &prepared, arguments: manners, refuses_loss })
}

/// The release that the rollback that stopped part-way was on its way to.
fn to_resume(session: &mut Session) -> Result<TargetArguments, CliError> {
    let unfinished = open::to_resume(session.database.as_mut())?;
    let commit = unfinished.operation.to.map(|commit| commit.as_str().to_owned());
    Ok(TargetArguments { commit, tag: None })
}

fn abort(context: &mut Context<'_>, session: &mut Session) -> Result<ExitCode, CliError> {
    let operation = open::abort(session.database.as_mut(), &context.actor())?;
    let (done, left) = operation.steps.split_at(operation.steps_done.min(operation.steps.len()));
    if context.is_json() {
        context.out_json(&document::event(
            "aborted",
            json!({ "undone": done, "left": left, "in_doubt": operation.step_begun }),
        ))?;
    }
    let from = operation.from.as_ref().map_or_else(String::new, |from| from.short().to_owned());
    let mut text = String::from("The rollback is closed, and the database stays where it is.\n");
    if !done.is_empty() {
        text.push_str("These are undone for good; what they dropped is gone:\n");
        text.extend(done.iter().map(|step| format!("  {}\n", safe(step))));
    }
    if let Some(next) = left.first().filter(|_| operation.step_begun) {
        text.push_str(&format!(
            "{} had begun outside a transaction, and may be undone in part: compare its tables before you go on.\n",
            safe(next)
        ));
    }
    if !left.is_empty() {
        text.push_str("These are still applied:\n");
        text.extend(left.iter().map(|step| format!("  {}\n", safe(step))));
    }
    text.push_str(&format!(
        "To apply again what is undone: `manage.py migrate` with the code of {from}. To go on after all: the same \
         rollback once more."
    ));
    context.say(Level::Success, &text);
    Ok(ExitCode::Done)
}

/// Lets the project's own `manage.py` do it, with the same target, against the same database.
fn hand_over(
    context: &mut Context<'_>,
    session: &mut Session,
    prepared: &Prepared,
    manners: &ExecutionArguments,
    is_preview: bool,
) -> Result<i32, CliError> {
    let format = if context.is_json() { "json" } else { "text" };
    let verbosity = context.verbosity().to_string();
    let mut words = vec!["handed-over", "--commit", prepared.to.commit.as_str(), "--format", format];
    let fingerprint = prepared.fingerprint();
    words.extend(["--verbosity", &verbosity, "--expect", &fingerprint]);
    let token;
    if !is_preview {
        token = rollback::hand_over(session.database.as_mut(), prepared, &context.actor())?;
        words.extend(["--token", &token]);
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    words.extend(manners.words());
    let path = context.path.clone();
    context.door.hand_over(&path, &words)
}

/// The other side of a hand-over: another door has made a plan, and this one must see the same database.
pub(crate) fn handed_over(
    context: &mut Context<'_>,
    arguments: &HandedOverArguments,
) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    let target = TargetArguments { commit: Some(arguments.commit.clone()), tag: None };
    let manners = &arguments.execution;
    let prepared =
        plan::prepare(context, &mut session, &target, &manners.way, !manners.no_verify).map_err(|error| {
            match error {
                CliError::Engine(EngineError::Select(_)) => other_database(),
                other => other,
            }
        })?;
    let same_database = match &arguments.token {
        Some(token) => rollback::was_handed_over(session.database.as_mut(), token)?,
        None => true,
    };
    if !same_database || prepared.fingerprint() != arguments.expect {
        return Err(other_database());
    }
    match arguments.token {
        Some(_) => carry_out(
            context,
            session,
            &Attempt { prepared: &prepared, arguments: manners, refuses_loss: true },
        ),
        None => plan::preview(context, &prepared).map(|code| code as i32),
    }
}

fn other_database() -> CliError {
    CliError::other(
        "manage.py sees another database, or another state of it, than the URL that was given",
        Some("compare the setting DATABASES with the URL; nothing was changed".to_owned()),
    )
}

/// A plan that is to be carried out, as the user wants it.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    prepared: &'a Prepared,
    arguments: &'a ExecutionArguments,
    /// Whether data may only be lost when somebody has accepted that.
    refuses_loss: bool,
}

fn carry_out(
    context: &mut Context<'_>,
    mut session: Session,
    attempt: &Attempt<'_>,
) -> Result<i32, CliError> {
    let Attempt { prepared, arguments, refuses_loss } = *attempt;
    if !prepared.plan.blockers.is_empty() {
        plan::preview(context, prepared)?;
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() }.into());
    }
    if prepared.is_empty() {
        return nothing_to_do(context, prepared).map(|code| code as i32);
    }
    announce(context, prepared)?;
    let manners = Manners {
        lock_timeout: Duration::from_millis(arguments.lock_timeout.into()),
        wait: Duration::from_secs(arguments.wait.into()),
        verify: !arguments.no_verify,
        max_lost_rows: consent(context, prepared, arguments, refuses_loss)?,
    };
    match execute(context, &mut session, prepared, &manners) {
        Err(CliError::Engine(error)) if prepared.uses_sql() && error.may_be_due_to_sql() => {
            by_django(context, session, attempt, error)
        }
        ended => ended.map(|code| code as i32),
    }
}

/// The recorded SQL did not lead where it should, and everything is taken back: the same once more by Django's own way,
/// here or in the project's `manage.py`. Where there is none, the first error stands.
fn by_django(
    context: &mut Context<'_>,
    mut session: Session,
    attempt: &Attempt<'_>,
    error: EngineError,
) -> Result<i32, CliError> {
    let Attempt { prepared, arguments, refuses_loss } = *attempt;
    let way = WayArguments { without_sql: true, ..arguments.way.clone() };
    let is_possible = session.runner.is_some() || context.door.has_project(&context.path);
    if arguments.way.way.is_some() || !is_possible {
        return Err(error.into());
    }
    let target = TargetArguments { commit: Some(prepared.to.commit.as_str().to_owned()), tag: None };
    let again = plan::prepare(context, &mut session, &target, &way, !arguments.no_verify)?;
    if !again.plan.blockers.is_empty() {
        return Err(error.into());
    }
    let reason = safe(error.cause());
    context.say(
        Level::Warning,
        &format!(
            "Warning: the recorded SQL did not do ({reason}). Nothing was changed; now by Django itself."
        ),
    );
    let manners = ExecutionArguments { way, ..arguments.clone() };
    if session.runner.is_none() {
        return hand_over(context, &mut session, &again, &manners, false);
    }
    carry_out(context, session, &Attempt { prepared: &again, arguments: &manners, refuses_loss })
}

fn nothing_to_do(context: &mut Context<'_>, prepared: &Prepared) -> Result<ExitCode, CliError> {
    if context.is_json() {
        context.out_json(&document::rolled_back(prepared, "nothing-to-do", None))?;
    }
    plan::remarks(context, prepared)?;
    context
        .say(Level::Success, &format!("The database is at {} already: nothing to do.", label(&prepared.to)));
    Ok(ExitCode::Done)
}

/// What is about to happen, with what it costs.
fn announce(context: &mut Context<'_>, prepared: &Prepared) -> Result<(), CliError> {
    if context.is_json() {
        let plan = document::plan(prepared);
        context.out_json(&document::event("plan", plan))?;
    }
    context.say(Level::Info, plan::heading(prepared).trim_end());
    plan::remarks(context, prepared)?;
    let losses = plan::losses(prepared);
    if !losses.is_empty() {
        context.say(Level::Warning, losses.trim_end());
    }
    Ok(())
}

/// How many rows and values may be lost: as many as there are once somebody has accepted that.
fn consent(
    context: &mut Context<'_>,
    prepared: &Prepared,
    arguments: &ExecutionArguments,
    refuses_loss: bool,
) -> Result<Option<i64>, CliError> {
    if arguments.accept_data_loss || (arguments.max_lost_rows.is_none() && !refuses_loss) {
        return Ok(None);
    }
    if let Some(limit) = arguments.max_lost_rows {
        return Ok(Some(limit));
    }
    let rows = prepared.lost_rows();
    if rows == 0 || arguments.noinput || context.is_json() || !context.console.is_terminal() {
        return Ok(Some(0));
    }
    let question =
        format!("{} will be lost. Type 'yes' to go on, anything else to stop: ", plan::values(rows));
    match context.console.ask(&question).map_err(|signal| EngineError::Interrupted { signal })? {
        Some(answer) if answer.trim() == "yes" => Ok(None),
        _ => Err(CliError::other("stopped, and nothing was changed", None)),
    }
}

fn execute(
    context: &mut Context<'_>,
    session: &mut Session,
    prepared: &Prepared,
    manners: &Manners,
) -> Result<ExitCode, CliError> {
    let mut without_code = NoRunner;
    let runner = session.runner.as_deref_mut().unwrap_or(&mut without_code);
    let actor = context.actor();
    let mut progress = Progress::new(context, prepared.plan.steps.len());
    let order = Order { prepared, actor: &actor, manners };
    let ended = rollback::execute(session.database.as_mut(), runner, &order, &mut progress);
    progress.clear();
    let done = ended?;
    let RolledBack { verified, notes } = &done;
    for note in notes {
        context.say(Level::Warning, &format!("Warning: {}.", safe(note)));
    }
    if context.is_json() {
        let document = document::rolled_back(prepared, "done", Some(&done));
        context.out_json(&document::event("end", document))?;
    }
    let schema = match verified.as_str() {
        "same" => ", and its schema is the one that the release had",
        "drift" => ", and its schema is the one that the release had, apart from what differed before",
        _ => "",
    };
    context.say(Level::Success, &format!("The database is back at {}{schema}.", label(&prepared.to)));
    Ok(ExitCode::Done)
}

/// Stands where no code of the project has to run: only records and the list of releases change.
struct NoRunner;

fn no_django<T>() -> Result<T, RunnerError> {
    Err(RunnerError { kind: DatabaseErrorKind::Other, message: "this door has no Django".to_owned() })
}

impl Runner for NoRunner {
    fn facts(&mut self) -> Result<ProjectFacts, RunnerError> {
        no_django()
    }

    fn capsules(&mut self, _: &[MigrationId]) -> Result<Vec<NewCapsule>, RunnerError> {
        no_django()
    }

    fn load(&mut self, _: &[(MigrationId, String)]) -> Result<Vec<(MigrationId, String)>, RunnerError> {
        no_django()
    }

    fn effects(&mut self, _: &Plan) -> Result<Vec<Effect>, RunnerError> {
        no_django()
    }

    fn prepare(&mut self, _: &Plan) -> Result<(), RunnerError> {
        no_django()
    }

    fn undo(&mut self, _: &Step) -> Result<(), RunnerError> {
        no_django()
    }

    fn apply(&mut self, _: &MigrationId) -> Result<(), RunnerError> {
        no_django()
    }

    fn finish(&mut self) -> Result<Vec<String>, RunnerError> {
        Ok(Vec::new())
    }
}
