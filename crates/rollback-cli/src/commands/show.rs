//! `show`: one release with its migrations.

use rollback_engine::cases::releases::{self, ShownRelease};

use super::context::Context;
use crate::args::TargetArguments;
use crate::console::safe;
use crate::document;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::lines;

pub(crate) fn run(context: &mut Context<'_>, arguments: &TargetArguments) -> Result<ExitCode, CliError> {
    let target = context.named_target(arguments)?;
    let mut session = context.connect()?;
    let shown = releases::show(session.database.as_mut(), target.as_ref())?;
    if context.is_json() {
        context.out_json(&document::show(&shown))?;
    } else {
        context.out(&text(&shown))?;
    }
    Ok(ExitCode::Done)
}

fn text(shown: &ShownRelease) -> String {
    let release = &shown.release;
    let current = if shown.current { " (current)" } else { "" };
    let mut text = format!("commit     {}{current}\n", release.commit);
    text += &format!("tags       {}\n", safe(release.tags.join(", ")));
    let at = release.saved_at.replace('T', " ");
    text += &if shown.imported {
        format!("committed  {at}\nimported   from git, as far as its migrations were applied then\n")
    } else {
        format!("saved at   {at}\n")
    };
    if let Some(previous) = &shown.previous {
        text += &format!("previous   {}\n", safe(previous.label()));
    }
    match &shown.applied {
        Ok(applied) => text + &format!("migrations {}\n", applied.len()) + &lines(" ", applied.iter()),
        Err(uncertain) => text + &format!("migrations uncertain: {}\n", safe(uncertain)),
    }
}
