//! `plan`: what going back would do. The text is also what `rollback` shows before it begins.

use rollback_core::plan::{Plan, Step, Way};
use rollback_engine::rollback::{self, Loss, PlanOptions, Prepared};
use rollback_revision::{Extent, Revision, read_range};

use super::context::Context;
use super::range;
use crate::args::{PlanArguments, TargetArguments, WayArguments};
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::{count, label, values};

pub(crate) fn run(context: &mut Context<'_>, arguments: &PlanArguments) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let prepared = prepare(context, &mut session, &arguments.target, &arguments.way)?;
    prepared.check_verifiable()?;
    preview(context, &prepared)
}

/// The plan from one commit back to another, from git alone.
pub(crate) fn between_commits(context: &mut Context<'_>, range: &str) -> Result<ExitCode, CliError> {
    let ends = context.ends(Some(range))?;
    let [mut base, mut head] = range::open_both(&ends, &ends.config.project)?.map(Revision::without_texts);
    read_range(&mut base, &mut head, Extent::All).map_err(|error| range::unread(&error))?;
    base.share(head.migrations());
    base.read(&|_| true).map_err(|error| range::unread(&error))?;
    let plan = rollback_revision::plan(base.migrations(), head.migrations());
    if context.is_json() {
        context.out_json(&document::plan_between(&ends.base.label, &ends.head.label, &plan))?;
    } else {
        let (from, to) = (safe(&ends.head.label), safe(&ends.base.label));
        context.out(&format!("Rollback from {from} to {to}: {}.\n", size(&plan)))?;
        print_steps(context, &plan)?;
        print_diagnostics(context, &plan)?;
    }
    range::leave(context, base, head);
    Ok(if plan.blockers.is_empty() { ExitCode::Done } else { ExitCode::Refused })
}

/// Prints the plan as the user wants it. One with blockers ends with an exit code that says so.
pub(crate) fn preview(context: &mut Context<'_>, prepared: &Prepared) -> Result<ExitCode, CliError> {
    rate(context, prepared);
    if context.is_json() {
        context.out_json(&document::plan(prepared))?;
    } else {
        print(context, prepared)?;
    }
    Ok(if prepared.plan.blockers.is_empty() { ExitCode::Done } else { ExitCode::Refused })
}

/// Makes the plan, with the project's files where this door can load them.
pub(crate) fn prepare(
    context: &Context<'_>,
    session: &mut Session,
    target: &TargetArguments,
    way: &WayArguments,
) -> Result<Prepared, CliError> {
    let target = context.target(target)?;
    let ways = context.ways(way)?;
    let options = PlanOptions {
        ways: &ways,
        keys: &context.keys()?,
        verify: true,
        require_rehearsal: way.require_rehearsal,
        require_runner: false,
    };
    Ok(rollback::prepare(session.database.as_mut(), &target, session.runner.as_deref_mut(), &options)?)
}

/// Prints the whole plan for people: warnings and blockers with it.
fn print(context: &mut Context<'_>, prepared: &Prepared) -> Result<(), CliError> {
    context.out(&heading(prepared))?;
    print_steps(context, &prepared.plan)?;
    context.out(&losses(prepared))?;
    if !prepared.removed.is_empty() {
        let removed: Vec<String> = prepared.removed.iter().map(label).collect();
        context.out(&format!("Releases that leave the list: {}.\n", removed.join(", ")))?;
    }
    diagnostics(context, prepared)
}

fn print_steps(context: &mut Context<'_>, plan: &Plan) -> Result<(), CliError> {
    let segments = plan.segments();
    for (number, segment) in (1..).zip(&segments) {
        if segments.len() > 1 {
            let how =
                if segment.is_outside_transaction { "outside a transaction" } else { "in one transaction" };
            context.out(&format!("Segment {number} of {}, {how}:\n", segments.len()))?;
        }
        for step in segment.steps {
            context.out(&format!("  {}\n", describe(step)))?;
        }
    }
    Ok(())
}

/// What would be lost, a line for each table and column; nothing where nothing is.
pub(crate) fn losses(prepared: &Prepared) -> String {
    if prepared.losses.is_empty() {
        return String::new();
    }
    let mut text = format!("Lost: {}.\n", values(prepared.lost_rows()));
    for Loss { migration, table, column, rows, since } in &prepared.losses {
        let what = match column {
            Some(column) => format!("{} of {table}.{column}", count_of(*rows, "value")),
            None => format!("{} of {table}", count_of(*rows, "row")),
        };
        let since = since
            .map(|since| format!(", {since} written since {}", prepared.from.label()))
            .unwrap_or_default();
        text.push_str(&format!("  {}\n", safe(format!("{what}{since}, by undoing {migration}"))));
    }
    text
}

fn count_of(number: i64, thing: &str) -> String {
    count(usize::try_from(number).unwrap_or_default(), thing)
}

/// Warnings to whoever listens, blockers with their way out to whoever reads the plan.
pub(crate) fn diagnostics(context: &mut Context<'_>, prepared: &Prepared) -> Result<(), CliError> {
    print_diagnostics(context, &prepared.plan)
}

fn print_diagnostics(context: &mut Context<'_>, plan: &Plan) -> Result<(), CliError> {
    for warning in &plan.warnings {
        context.say(Level::Warning, &format!("Warning: {}.", safe(warning)));
    }
    for blocker in &plan.blockers {
        context.out(&format!("Blocker: {}.\n  hint: {}\n", safe(blocker), safe(blocker.hint())))?;
    }
    Ok(())
}

/// A plan that cannot run, or not quite as expected, is something to look at.
pub(crate) fn rate(context: &mut Context<'_>, prepared: &Prepared) {
    if !prepared.plan.blockers.is_empty() || !prepared.plan.warnings.is_empty() || !prepared.losses.is_empty()
    {
        context.console.rate(Level::Warning);
    }
}

/// `Rollback from 03ec91e (v3) to 0df07b2 (v1): 4 steps in one transaction.`
pub(crate) fn heading(prepared: &Prepared) -> String {
    let (from, to) = (label(&prepared.from), label(&prepared.to));
    format!("Rollback from {from} to {to}: {}.\n", size(&prepared.plan))
}

/// `4 steps in one transaction`.
fn size(plan: &Plan) -> String {
    match (plan.steps.len(), plan.is_atomic()) {
        (0, _) if plan.blockers.is_empty() => "no migration to undo".to_owned(),
        (0, _) => "not possible".to_owned(),
        (number, true) => format!("{} in one transaction", count(number, "step")),
        (number, false) => {
            format!("{} in {}", count(number, "step"), count(plan.segments().len(), "segment"))
        }
    }
}

/// `Unapply shop.0002_price`.
pub(crate) fn describe(step: &Step) -> String {
    let migration = safe(&step.migration);
    match step.way {
        Way::Disk => format!("Unapply {migration}"),
        Way::Capsule => format!("Unapply {migration}, by its archived source"),
        Way::Sql => format!("Unapply {migration}, by its recorded SQL"),
        Way::Unmark => format!("Unmark {migration}: its state stays under another name"),
        Way::Mark => format!("Mark {migration} as applied: its state is applied under another name"),
    }
}
