//! `status`: where the database stands against the current release.

use rollback_core::schema;
use rollback_engine::cases::releases::{self, Status};

use super::context::Context;
use crate::console::safe;
use crate::document;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::{count, label, lines};

pub(crate) fn run(context: &mut Context<'_>) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let status = releases::status(session.database.as_mut())?;
    let same = status.is_same();
    if context.is_json() {
        context.out_json(&document::status(&status))?;
    } else {
        print(context, &status)?;
    }
    Ok(if same { ExitCode::Done } else { ExitCode::Refused })
}

fn print(context: &mut Context<'_>, status: &Status) -> Result<(), CliError> {
    let current = label(&status.current);
    let applied = count(status.applied, "migration");
    let migrations = match (status.ahead.is_empty() && status.missing.is_empty(), status.imported) {
        (true, false) => "the same as when it was saved",
        (true, true) => "those that it was imported with",
        (false, _) => "not those of the release",
    };
    context.out(&format!("Current release {current}, {applied} applied: {migrations}.\n"))?;
    context.out(&(lines("+", &status.ahead) + &lines("-", &status.missing)))?;
    let schema = match &status.schema {
        None if status.imported => {
            "The release was imported, and git does not know its schema: it cannot be compared.\n".to_owned()
        }
        None => "The release was saved without its schema: it cannot be compared.\n".to_owned(),
        Some(differences) if differences.is_empty() => "Schema: the same as when it was saved.\n".to_owned(),
        Some(differences) => {
            let drift = schema::describe(differences)
                .iter()
                .map(|line| format!("  {}\n", safe(line)))
                .collect::<String>();
            format!("Schema: not the one that the release had.\n{drift}")
        }
    };
    context.out(&schema)
}
