//! `stamp`: writes the file that carries the commit into an image without a `.git`.

use std::fs;
use std::path::PathBuf;

use rollback_revision::deployed::{self, STAMP_FILE};
use serde_json::json;

use super::context::Context;
use crate::console::{Level, safe};
use crate::error::CliError;
use crate::exit::ExitCode;

pub(crate) fn run(
    context: &mut Context<'_>,
    commit: Option<&str>,
    output: Option<PathBuf>,
) -> Result<ExitCode, CliError> {
    let found = context.find_commit(commit)?;
    if output.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        context.out(&deployed::stamp(&found))?;
        return Ok(ExitCode::Done);
    }
    let file = output.map_or_else(
        || context.path.join(STAMP_FILE),
        |file| context.environment.working_directory.join(file),
    );
    fs::write(&file, deployed::stamp(&found)).map_err(|error| {
        CliError::other(
            format!("cannot write {}: {error}", file.display()),
            Some("name another file with `--output`".to_owned()),
        )
    })?;
    if context.is_json() {
        let file = file.display().to_string();
        context
            .out_json(&json!({ "format": 1, "commit": found.commit, "tags": found.tags, "file": file }))?;
    }
    let line =
        format!("Wrote {} for commit {} (from {}).", file.display(), found.commit.short(), found.place);
    context.say(Level::Success, &safe(line));
    Ok(ExitCode::Done)
}
