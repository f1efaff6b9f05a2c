//! `import`: past releases, rebuilt from the tags in git.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::MigrationId;
use rollback_engine::cases::import::{self, Import, ImportRequest, ImportedRelease};

use super::context::Context;
use super::range;
use crate::args::ImportArguments;
use crate::console::{Level, safe};
use crate::document;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::count;

pub(crate) fn run(context: &mut Context<'_>, arguments: &ImportArguments) -> Result<ExitCode, CliError> {
    refuse_empty(arguments)?;
    let repository = context.repository()?;
    let (actor, keys) = (context.actor(), context.keys()?);
    let request = ImportRequest { since: arguments.since.as_deref(), actor: &actor, keys: &keys };
    let mut session = context.connect()?;
    let database = session.database.as_mut();
    let import = match arguments.dry_run {
        true => import::prepare(database, repository.as_ref(), &request)?,
        false => import::import(database, repository.as_ref(), &request)?,
    };
    if context.is_json() {
        context.out_json(&document::import(&import, arguments.dry_run))?;
    }
    let folder = context.folder_of_paths(repository.as_ref());
    for passed_over in &import.passed_over {
        context.say(Level::Warning, &range::passed_over(&folder, passed_over, ""));
    }
    report(context, &import, if arguments.dry_run { "Would import" } else { "Imported" });
    if keys.is_empty() && !import.releases.is_empty() {
        context.say(Level::Warning, NO_KEY);
    }
    Ok(ExitCode::Done)
}

const NO_KEY: &str = "Warning: no key available (set DJANGO_ROLLBACK_KEY, or use `--key-file`), so no source is kept from git.";

fn refuse_empty(arguments: &ImportArguments) -> Result<(), CliError> {
    match arguments.since.as_deref().map(str::trim) {
        Some("") => Err(CliError::usage(
            "the tag is empty",
            "is the shell variable unset? Leave `--since` out to import all tags",
        )),
        _ => Ok(()),
    }
}

fn report(context: &mut Context<'_>, import: &Import, what_is_done: &str) {
    for release in &import.releases {
        context.say(Level::Success, &format!("{what_is_done} {}", line(release)));
    }
    for line in skipped(import) {
        context.say(Level::Info, &line);
    }
    if import.releases.is_empty() {
        context.say(Level::Success, "Nothing to import.");
    }
    if let Some(line) = assumed(&import.assumed()) {
        context.say(Level::Info, &line);
    }
    let sources = import.sources().count();
    if sources > 0 {
        context
            .say(Level::Info, &format!("Sources from git, kept with them: {}.", count(sources, "migration")));
    }
}

/// `03ec91e (v1.1): 41 migrations.`
fn line(release: &ImportedRelease) -> String {
    let ImportedRelease { tagged, rebuilt, .. } = release;
    let applied = count(rebuilt.applied.len(), "migration");
    let missing = match rebuilt.not_applied.len() {
        0 => String::new(),
        number => format!("; {} more {} not applied", number, if number == 1 { "is" } else { "are" }),
    };
    format!("{}: {applied}{missing}.", safe(tagged.label()))
}

/// One line for each reason.
fn skipped(import: &Import) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for skipped in &import.skipped {
        let (reason, label) = (skipped.reason.to_string(), skipped.tagged.label());
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, labels)) => labels.push(label),
            None => reasons.push((reason, vec![label])),
        }
    }
    let line =
        |(reason, labels): (String, Vec<String>)| safe(format!("Skipped {}: {reason}.", some(&labels)));
    reasons.into_iter().map(line).collect()
}

/// The first of them, and how many more.
fn some(labels: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = labels.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match labels.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn assumed(migrations: &BTreeSet<&MigrationId>) -> Option<String> {
    if migrations.is_empty() {
        return None;
    }
    let mut apps: BTreeMap<&str, usize> = BTreeMap::new();
    for migration in migrations {
        *apps.entry(&migration.app).or_default() += 1;
    }
    let apps: Vec<String> = apps.iter().map(|(app, number)| format!("{app} ({number})")).collect();
    Some(safe(format!(
        "Assumed to be applied at each of them, because git has no file for them: {}.",
        apps.join(", ")
    )))
}
