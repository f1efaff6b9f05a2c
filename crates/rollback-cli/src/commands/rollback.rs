//! `rollback`: shows the plan and carries it out.

use rollback_core::plan::{Blocker, Step, Way};
use rollback_core::{MigrationId, Plan, ProjectFacts};
use rollback_engine::EngineError;
use rollback_engine::ports::{Observer, Runner};
use rollback_engine::rollback::{self, Prepared, RolledBack};

use super::{Context, label, plan};
use crate::args::RollbackArguments;
use crate::console::{Console, Level, safe};
use crate::error::CliError;
use crate::{ExitCode, Session, document};

pub(crate) fn run(context: &mut Context<'_>, arguments: &RollbackArguments) -> Result<i32, CliError> {
    let mut session = context.connect()?;
    let mut prepared = plan::prepare(context, &mut session, &arguments.target)?;
    check_expected(arguments, &prepared)?;
    if session.runner.is_none() && prepared.needs_code() {
        if let Some(code) = hand_over(context, arguments, &prepared) {
            return code;
        }
        prepared.plan.blockers.push(Blocker::NeedsPython);
    }
    if arguments.fake {
        return preview(context, &prepared).map(|code| code as i32);
    }
    if !prepared.plan.blockers.is_empty() {
        preview(context, &prepared)?;
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() }.into());
    }
    if prepared.is_empty() {
        return nothing_to_do(context, &prepared).map(|code| code as i32);
    }
    execute(context, session, &prepared).map(|code| code as i32)
}

/// Another door has made a plan and hands it over: this one must see the same database.
fn check_expected(arguments: &RollbackArguments, prepared: &Prepared) -> Result<(), CliError> {
    match &arguments.expect {
        Some(expected) if *expected != prepared.fingerprint() => Err(CliError::other(
            "manage.py sees another database, or another state of it, than the URL that was given",
            Some("compare the setting DATABASES with the URL; nothing was changed".to_owned()),
        )),
        _ => Ok(()),
    }
}

/// Lets the project's own `manage.py` do it, with the same target, against the same state.
fn hand_over(
    context: &mut Context<'_>,
    arguments: &RollbackArguments,
    prepared: &Prepared,
) -> Option<Result<i32, CliError>> {
    let mut words = vec!["rollback".to_owned(), "--commit".to_owned(), prepared.to.commit.to_string()];
    words.extend(["--expect".to_owned(), prepared.fingerprint()]);
    words.extend(["--verbosity".to_owned(), context.verbosity().to_string()]);
    if arguments.fake {
        words.push("--fake".to_owned());
    }
    if context.is_json() {
        words.extend(["--format".to_owned(), "json".to_owned()]);
    }
    let path = context.path.clone();
    context.door.hand_over(Some(&path), &words)
}

fn preview(context: &mut Context<'_>, prepared: &Prepared) -> Result<ExitCode, CliError> {
    if context.is_json() {
        context.out_json(&document::plan(prepared))?;
    } else {
        plan::print(context, prepared)?;
    }
    Ok(if prepared.plan.blockers.is_empty() { ExitCode::Done } else { ExitCode::Refused })
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
    let mut progress =
        Progress { silent: context.verbosity() == 0, to_stderr: context.is_json(), console: context.console };
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
    silent: bool,
    to_stderr: bool,
}

impl Observer for Progress<'_> {
    fn step_begins(&mut self, _: &Step) {}

    fn step_ends(&mut self, step: &Step) {
        if self.silent {
            return;
        }
        let migration = safe(&step.migration);
        let line = match step.way {
            Way::Disk => format!("  Unapplying {migration}... OK"),
            Way::Unrecord => format!("  Removing the record of {migration}... OK"),
            Way::Record => format!("  Adding the record of {migration}... OK"),
        };
        self.console.say(Level::Info, &line, self.to_stderr);
    }

    fn step_failed(&mut self, migration: &MigrationId) {
        if !self.silent {
            let line = format!("  Unapplying {}... FAILED", safe(migration));
            self.console.say(Level::Warning, &line, self.to_stderr);
        }
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
