//! `completions`: a script that completes the commands in a shell.

use clap_complete::{Shell, generate};

use super::context::Context;
use crate::args;
use crate::door::DoorKind;
use crate::error::CliError;
use crate::exit::ExitCode;

pub(crate) fn run(context: &mut Context<'_>, shell: Shell) -> Result<ExitCode, CliError> {
    let mut grammar = args::grammar(DoorKind::Native, "django-rollback");
    let mut script = Vec::new();
    generate(shell, &mut grammar, "django-rollback", &mut script);
    context.out(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Done)
}
