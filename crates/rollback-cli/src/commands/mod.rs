//! The commands, a file each. Here a command line meets its command.

mod abort;
mod check;
mod choices;
mod completions;
mod context;
mod graph;
mod guard;
mod history;
mod import;
mod list;
mod outcome;
mod places;
mod plan;
mod progress;
mod range;
mod rehearse;
mod rollback;
mod save;
mod show;
mod sql;
mod stamp;
mod status;
mod teller;

use crate::args::{Command, PlanOrRangeArguments, RollbackArguments, UnlistedCommand};
use crate::error::CliError;
use crate::exit::ExitCode;

pub(crate) use context::Context;

/// Runs the command. The number is the exit code: one of ours, or that of a `manage.py` that took over.
pub(crate) fn run(mut context: Context<'_>, command: Command) -> Result<i32, CliError> {
    let code = match command {
        Command::Save(arguments) | Command::Unlisted(UnlistedCommand::SaveMigrationsState(arguments)) => {
            save::run(&mut context, &arguments)
        }
        Command::Import(arguments) => import::run(&mut context, &arguments),
        Command::List => list::run(&mut context),
        Command::Show(arguments) => show::run(&mut context, &arguments),
        Command::Plan(PlanOrRangeArguments { range: Some(range), .. }) => {
            plan::between_commits(&mut context, &range)
        }
        Command::Plan(PlanOrRangeArguments { range: None, plan: arguments }) => {
            plan::run(&mut context, &arguments)
        }
        Command::Check(arguments) => return check::run(&mut context, &arguments),
        Command::Graph(arguments) => graph::run(&mut context, &arguments),
        Command::Rollback(arguments) => return rollback::run(&mut context, &arguments, true),
        Command::Unlisted(UnlistedCommand::RollbackMigrations { list: true, rollback, .. }) => {
            refuse_with_list(&rollback)?;
            list::run(&mut context)
        }
        Command::Unlisted(UnlistedCommand::RollbackMigrations {
            list: false,
            refuse_data_loss,
            rollback,
        }) => {
            return rollback::run(&mut context, &rollback, refuse_data_loss);
        }
        Command::Unlisted(UnlistedCommand::HandedOver(arguments)) => {
            return rollback::handed_over(&mut context, &arguments);
        }
        Command::Sql(arguments) => sql::run(&mut context, &arguments),
        Command::Rehearse(arguments) => rehearse::run(&mut context, &arguments),
        Command::Guard(arguments) => return guard::run(&mut context, &arguments),
        Command::Key => key(&mut context),
        Command::Status => status::run(&mut context),
        Command::History { limit } => history::run(&mut context, limit),
        Command::Stamp { commit, output } => stamp::run(&mut context, commit.as_deref(), output),
        Command::Completions { shell } => completions::run(&mut context, shell),
    };
    code.map(|code| code as i32)
}

fn key(context: &mut Context<'_>) -> Result<ExitCode, CliError> {
    let Some(key) = context.keys()?.export() else {
        return Err(CliError::usage(
            "no key available",
            "run `manage.py rollback key` in the project, or set DJANGO_ROLLBACK_KEY",
        ));
    };
    context.secret(&format!("{key}\n"))?;
    Ok(ExitCode::Done)
}

fn refuse_with_list(arguments: &RollbackArguments) -> Result<(), CliError> {
    let target = &arguments.target;
    if target.tag.is_none() && target.commit.is_none() && !arguments.fake {
        return Ok(());
    }
    Err(CliError::usage(
        "`--list` cannot be combined with `--tag`, `--commit` or `--fake`",
        "leave `--list` out to go back to a release",
    ))
}
