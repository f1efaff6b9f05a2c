//! `guard`: is the database ahead of this code? And what to do then.

use rollback_core::Release;
use rollback_engine::cases::ahead::{self, Ahead};
use rollback_revision::deployed::DeployedError;
use serde_json::json;

use super::context::Context;
use super::rollback;
use crate::args::{GuardArguments, OnAhead};
use crate::console::{Level, safe};
use crate::document;
use crate::door::DoorKind;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::{label, lines};

pub(crate) fn run(context: &mut Context<'_>, arguments: &GuardArguments) -> Result<i32, CliError> {
    let found = context.find_commit(arguments.commit.as_deref());
    let mut session = context.connect()?;
    let commit =
        match found {
            Ok(found) => Some(found.commit),
            // The files of the project tell, if there is a project.
            Err(CliError::Deployed(
                DeployedError::Unknown { .. } | DeployedError::EmptyRepository { .. },
            )) if session.runner.is_some() && arguments.commit.is_none() => None,
            Err(error) => return Err(error),
        };
    let (database, runner) = (session.database.as_mut(), session.runner.as_deref_mut());
    let ahead = ahead::ahead(database, commit.as_ref(), runner, &context.keys()?)?;
    drop(session);
    let Some(ahead) = ahead else {
        if context.is_json() {
            context.out_json(&document::document(json!({ "ahead": false, "current": null })))?;
        }
        context.say(Level::Info, "No release is saved yet: nothing to compare this code with.");
        return Ok(ExitCode::Done as i32);
    };
    let command = ahead.target.as_ref().map(|target| command(context, target.commit.short()));
    let rolls_back = arguments.on_ahead == OnAhead::Rollback && ahead.target.is_some();
    if context.is_json() && (!rolls_back || ahead.migrations.is_empty()) {
        context.out_json(&document::ahead(&ahead, command.as_deref()))?;
    }
    if ahead.migrations.is_empty() {
        let current = label(&ahead.current);
        context.say(
            Level::Success,
            &format!("The database is not ahead of this code; its release is {current}."),
        );
        return Ok(ExitCode::Done as i32);
    }
    context.say(Level::Warning, &describe(&ahead, command.as_deref()));
    match (arguments.on_ahead, ahead.target) {
        (OnAhead::Warn, _) => Ok(ExitCode::Done as i32),
        (OnAhead::Rollback, Some(target)) => rollback::to(context, &target.commit, &arguments.execution),
        (OnAhead::Fail | OnAhead::Rollback, _) => Ok(ExitCode::Refused as i32),
    }
}

fn command(context: &Context<'_>, commit: &str) -> String {
    match context.door.kind() {
        DoorKind::Django => format!("manage.py rollback_migrations -c {commit}"),
        DoorKind::Native => format!("django-rollback rollback -c {commit}"),
    }
}

fn describe(ahead: &Ahead, command: Option<&str>) -> String {
    let brought_by = |release: &Release| format!("{}, saved at {}", label(release), release.saved_at);
    let by = match &ahead.brought_by[..] {
        [] => "they were never saved with a release".to_owned(),
        releases => {
            format!("brought by {}", releases.iter().map(brought_by).collect::<Vec<_>>().join("; "))
        }
    };
    let way = match command {
        Some(command) => format!("`{command}` takes the database back to this code."),
        None => "No saved release fits this code.".to_owned(),
    };
    let migrations = lines("-", &ahead.migrations);
    format!("The database is ahead of this code ({}):\n{migrations}{way}", safe(by))
}
