//! `status`: where the database stands against the current release.

use rollback_engine::releases;

use super::{Context, count, label, lines};
use crate::error::CliError;
use crate::{ExitCode, document};

pub(crate) fn run(context: &mut Context<'_>) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let status = releases::status(session.database.as_mut())?;
    let same = status.ahead.is_empty() && status.missing.is_empty();
    if context.is_json() {
        context.out_json(&document::status(&status))?;
    } else {
        let current = label(&status.current);
        let applied = count(status.applied, "migration");
        let verdict = if same { "the same as when it was saved" } else { "not those of the release" };
        context.out(&format!("Current release {current}, {applied} applied: {verdict}.\n"))?;
        context.out(&(lines("+", &status.ahead) + &lines("-", &status.missing)))?;
    }
    Ok(if same { ExitCode::Done } else { ExitCode::Refused })
}
