//! `rollback`: shows the plan and carries it out.

use rollback_core::plan::{Blocker, Step, Way};
use rollback_core::{MigrationId, Plan, ProjectFacts};
use rollback_engine::EngineError;
use rollback_engine::ports::{Observer, Runner};
use rollback_engine::rollback::{self, Prepared, RolledBack};

use super::{Context, label, plan};
use crate::args::{HandedOverArguments, RollbackArguments, TargetArguments};
use crate::console::{Console, Level, Stream, safe};
use crate::error::CliError;
use crate::{ExitCode, Session, document};

pub(crate) fn run(context: &mut Context<'_>, arguments: &RollbackArguments) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    let mut prepared = plan::prepare(context, &mut session, &arguments.target)?;
    if session.runner.is_none() && prepared.needs_code() {
        if context.door.has_project(&context.path) {
            return hand_over(context, &mut session, &prepared, arguments.fake);
        }
        prepared.plan.blockers.push(Blocker::NeedsPython);
    }
    let code = if arguments.fake {
        plan::preview(context, &prepared)
    } else {
        carry_out(context, session, &prepared)
    };
    code.map(|code| code as i32)
}

/// Lets the project's own `manage.py` do it, with the same target, against the same database.
fn hand_over(
    context: &mut Context<'_>,
    session: &mut Session,
    prepared: &Prepared,
    fake: bool,
) -> Result<i32, CliError> {
    let format = if context.is_json() { "json" } else { "text" };
    let verbosity = context.verbosity().to_string();
    let mut words = vec!["handed-over", "--commit", prepared.to.commit.as_str(), "--format", format];
    let fingerprint = prepared.fingerprint();
    words.extend(["--verbosity", &verbosity, "--expect", &fingerprint]);
    let token;
    if !fake {
        token = rollback::hand_over(session.database.as_mut(), prepared, &context.actor())?;
        words.extend(["--token", &token]);
    }
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let path = context.path.clone();
    context.door.hand_over(&path, &words)
}

/// The other side of a hand-over: another door has made a plan, and this one must see the same database.
pub(crate) fn handed_over(
    context: &mut Context<'_>,
    arguments: &HandedOverArguments,
) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let target = TargetArguments { commit: Some(arguments.commit.clone()), tag: None };
    let prepared = plan::prepare(context, &mut session, &target).map_err(|error| match error {
        CliError::Engine(EngineError::Select(_)) => other_database(),
        other => other,
    })?;
    let same_database = match &arguments.token {
        Some(token) => rollback::was_handed_over(session.database.as_mut(), token)?,
        None => true,
    };
    if !same_database || prepared.fingerprint() != arguments.expect {
        return Err(other_database());
    }
    match arguments.token {
        Some(_) => carry_out(context, session, &prepared),
        None => plan::preview(context, &prepared),
    }
}

fn other_database() -> CliError {
    CliError::other(
        "manage.py sees another database, or another state of it, than the URL that was given",
        Some("compare the setting DATABASES with the URL; nothing was changed".to_owned()),
    )
}

fn carry_out(context: &mut Context<'_>, session: Session, prepared: &Prepared) -> Result<ExitCode, CliError> {
    if !prepared.plan.blockers.is_empty() {
        plan::preview(context, prepared)?;
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() }.into());
    }
    if prepared.is_empty() {
        return nothing_to_do(context, prepared);
    }
    execute(context, session, prepared)
}

fn nothing_to_do(context: &mut Context<'_>, prepared: &Prepared) -> Result<ExitCode, CliError> {
    if context.is_json() {
        context.out_json(&document::rolled_back(prepared, "nothing-to-do", &[]))?;
    }
    plan::remarks(context, prepared)?;
    context
        .say(Level::Success, &format!("The database is at {} already: nothing to do.", label(&prepared.to)));
    Ok(ExitCode::Done)
}

fn execute(
    context: &mut Context<'_>,
    mut session: Session,
    prepared: &Prepared,
) -> Result<ExitCode, CliError> {
    context.say(Level::Info, plan::heading(prepared).trim_end());
    plan::remarks(context, prepared)?;
    let mut without_code = NoRunner;
    let runner = session.runner.as_deref_mut().unwrap_or(&mut without_code);
    let actor = context.actor();
    let (stream, failures) = (context.stream(Level::Info), context.stream(Level::Warning));
    let mut progress = Progress { console: context.console, stream, failures };
    let RolledBack { notes } =
        rollback::execute(session.database.as_mut(), runner, prepared, &actor, &mut progress)?;
    for note in &notes {
        context.say(Level::Warning, &format!("Warning: {}.", safe(note)));
    }
    if context.is_json() {
        context.out_json(&document::rolled_back(prepared, "done", &notes))?;
    }
    context.say(Level::Success, &format!("The database is back at {}.", label(&prepared.to)));
    Ok(ExitCode::Done)
}

/// Says what happens, step by step. Nobody reading any more is no reason to stop half-way.
struct Progress<'c> {
    console: &'c mut dyn Console,
    stream: Stream,
    failures: Stream,
}

impl Observer for Progress<'_> {
    fn step_begins(&mut self, _: &Step) {}

    fn step_ends(&mut self, step: &Step) {
        let migration = safe(&step.migration);
        let line = match step.way {
            Way::Disk => format!("  Unapplying {migration}... OK"),
            Way::Unrecord => format!("  Removing the record of {migration}... OK"),
            Way::Record => format!("  Adding the record of {migration}... OK"),
        };
        self.console.say(Level::Info, &line, self.stream);
    }

    fn step_failed(&mut self, migration: &MigrationId) {
        let line = format!("  Unapplying {}... FAILED", safe(migration));
        self.console.say(Level::Warning, &line, self.failures);
    }
}

/// Stands where no code of the project has to run: only records and the list of releases change.
struct NoRunner;

impl Runner for NoRunner {
    fn facts(&mut self) -> Result<ProjectFacts, String> {
        Err("this door has no Django".to_owned())
    }

    fn prepare(&mut self, _: &Plan) -> Result<(), String> {
        Err("this door has no Django".to_owned())
    }

    fn undo(&mut self, _: &Step) -> Result<(), String> {
        Err("this door has no Django".to_owned())
    }

    fn finish(&mut self) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}
