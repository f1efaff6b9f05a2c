//! `rehearse`: going back on a scratch copy, and up again.

use rollback_engine::rollback::{self, Prepared, Rehearsed, RollbackError};
use serde_json::json;

use super::context::Context;
use super::plan;
use crate::args::PlanArguments;
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::{count, label};

pub(crate) fn run(context: &mut Context<'_>, arguments: &PlanArguments) -> Result<ExitCode, CliError> {
    let choice = context.database_choice();
    let mut scratch = context.door.scratch(&choice)?;
    let rehearsed = on(context, &mut scratch, arguments);
    drop(scratch);
    context.door.end_scratch();
    let (prepared, rehearsed) = rehearsed?;
    let problem = match &rehearsed {
        Ok(steps) => steps
            .iter()
            .find(|step| !step.differences.is_empty())
            .map(|step| format!("{}: down and up again, {}", step.migration, step.differences.join("; "))),
        Err(error) => Some(error.cause()),
    };
    let mut session = context.connect()?;
    rollback::keep_rehearsal(session.database.as_mut(), &prepared, &context.actor(), problem.as_deref())?;
    let steps = rehearsed.unwrap_or_default();
    if context.is_json() {
        context.out_json(&document(&prepared, &steps, problem.as_deref()))?;
    }
    for step in steps.iter().rev() {
        context.say(Level::Info, &describe(step));
    }
    let (from, to) = (label(&prepared.from), label(&prepared.to));
    match problem {
        None => {
            let text = format!(
                "Rehearsed from {from} to {to} and back, {}: the schema was the same after each.",
                count(steps.len(), "step")
            );
            context.say(Level::Success, &text);
            Ok(ExitCode::Done)
        }
        Some(problem) => Err(CliError::other(
            format!("the rehearsal from {from} to {to} failed: {}", safe(problem)),
            Some(
                "the database itself was not touched; a rollback would be refused, or would use another way"
                    .to_owned(),
            ),
        )),
    }
}

type Outcome = Result<Vec<Rehearsed>, RollbackError>;

fn on(
    context: &mut Context<'_>,
    scratch: &mut Session,
    arguments: &PlanArguments,
) -> Result<(Prepared, Outcome), CliError> {
    let prepared = plan::prepare(context, scratch, &arguments.target, &arguments.way)?;
    if !prepared.plan.blockers.is_empty() {
        plan::preview(context, &prepared)?;
        return Err(RollbackError::Blocked { blockers: prepared.plan.blockers.len() }.into());
    }
    let runner = scratch.runner.as_deref_mut();
    let runner = runner.ok_or_else(|| {
        CliError::other("a rehearsal needs Django", Some("run `manage.py rollback rehearse`".to_owned()))
    })?;
    let rehearsed = rollback::rehearse(scratch.database.as_mut(), runner, &prepared);
    Ok((prepared, rehearsed))
}

fn describe(step: &Rehearsed) -> String {
    let Rehearsed { migration, way, down, up, differences } = step;
    let (migration, way) = (safe(migration), way.as_str());
    let times = format!("down {:.3}s by {way}, up {:.3}s", down.as_secs_f64(), up.as_secs_f64());
    let schema = if differences.is_empty() { "the schema is the same" } else { "THE SCHEMA DIFFERS" };
    format!("  {migration}... {schema} ({times})")
}

fn document(prepared: &Prepared, steps: &[Rehearsed], problem: Option<&str>) -> serde_json::Value {
    let step = |step: &Rehearsed| {
        json!({
            "app": step.migration.app, "migration": step.migration.name, "way": step.way.as_str(),
            "down_seconds": step.down.as_secs_f64(), "up_seconds": step.up.as_secs_f64(),
            "differences": step.differences,
        })
    };
    document::document(json!({
        "from": prepared.from, "to": prepared.to, "outcome": if problem.is_none() { "done" } else { "failed" },
        "problem": problem, "steps": steps.iter().rev().map(step).collect::<Vec<_>>(),
    }))
}
