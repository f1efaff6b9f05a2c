//! `list`: the saved releases, newest first.

use rollback_engine::cases::releases::{self, ListedRelease};

use super::context::Context;
use crate::console::Level;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::{document, table};

pub(crate) fn run(context: &mut Context<'_>) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let mut listed = releases::list(session.database.as_mut())?;
    releases::with_git_tags(&mut listed, &context.tags_in_git());
    if context.is_json() {
        context.out_json(&document::list(&listed))?;
    } else if listed.is_empty() {
        context.say(
            Level::Info,
            "No release is saved yet: run `save_migrations_state` after `migrate` in each deploy.",
        );
    } else {
        context.out(&text(&listed))?;
    }
    Ok(ExitCode::Done)
}

/// The last column is there for those that were not saved.
fn text(listed: &[ListedRelease]) -> String {
    let mut heading = vec!["", "SAVED AT", "COMMIT", "MIGRATIONS", "TAGS"];
    let mut rows: Vec<Vec<String>> =
        listed.iter().enumerate().map(|(place, listed)| row(place, listed)).collect();
    if listed.iter().any(|listed| listed.imported) {
        heading.push("");
        for (row, listed) in rows.iter_mut().zip(listed) {
            row.push(if listed.imported { "imported" } else { "" }.to_owned());
        }
    }
    table::render(&heading, rows)
}

fn row(place: usize, listed: &ListedRelease) -> Vec<String> {
    let mark = if place == 0 { "curr >>>" } else { "" };
    let release = &listed.release;
    vec![
        mark.to_owned(),
        release.saved_at.replace('T', " "),
        release.commit.to_string(),
        listed.migrations.map_or_else(|| "uncertain".to_owned(), |number| number.to_string()),
        release.tags.join(", "),
    ]
}
