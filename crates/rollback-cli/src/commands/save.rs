//! `save`: records which migrations belong to the deployed commit.

use rollback_core::{MigrationId, Target};
use rollback_engine::cases::releases;
use rollback_engine::cases::save::{self, SaveOutcome, SaveRequest, Saved};
use rollback_revision::deployed::Found;

use super::context::Context;
use crate::args::SaveArguments;
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::words::{count, label, lines};

pub(crate) fn run(context: &mut Context<'_>, arguments: &SaveArguments) -> Result<ExitCode, CliError> {
    let found = context.find_commit(arguments.commit.as_deref())?;
    let mut session = context.connect()?;
    let actor = context.actor();
    let tags_in_git = || context.tags_in_git();
    let keys = context.keys()?;
    let request = SaveRequest {
        commit: &found.commit,
        tags: &found.tags,
        actor: &actor,
        keys: &keys,
        tags_in_git: &tags_in_git,
    };
    let saved = save::save(session.database.as_mut(), session.runner.as_deref_mut(), &request)?;
    let diff = if arguments.log_diff { Some(difference(&mut session, &saved)?) } else { None };
    if context.is_json() {
        print_json(context, arguments, &found, &saved, diff.as_ref())?;
    }
    report(context, &found, &saved);
    if arguments.log_full_data && !context.is_json() {
        context.say(
            Level::Info,
            &format!("Migrations of the release:\n{}", lines(" ", saved.applied.iter()).trim_end()),
        );
    }
    if let Some(diff) = diff.filter(|_| !context.is_json()) {
        context.say(Level::Info, &describe(&diff));
    }
    Ok(ExitCode::Done)
}

/// What a release brought, compared with the one before it; no release before it, no difference.
struct Difference {
    saved: Saved,
    added: Vec<MigrationId>,
    removed: Vec<MigrationId>,
}

fn difference(session: &mut Session, saved: &Saved) -> Result<Difference, CliError> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    if let Some(previous) = &saved.previous {
        let whole = previous.commit.as_str().parse().expect("a full hash is a prefix of itself");
        let shown = releases::show(session.database.as_mut(), Some(&Target::Commit(whole)))?;
        if let Ok(before) = shown.applied {
            added = saved.applied.minus(&before).cloned().collect();
            removed = before.minus(&saved.applied).cloned().collect();
        }
    }
    Ok(Difference { saved: saved.clone(), added, removed })
}

fn describe(diff: &Difference) -> String {
    let Some(previous) = &diff.saved.previous else {
        return "No release was saved before this one: there is nothing to compare with.".to_owned();
    };
    if diff.added.is_empty() && diff.removed.is_empty() {
        return format!("The same migrations as at {}.", label(previous));
    }
    let changes = lines("+", &diff.added) + &lines("-", &diff.removed);
    format!("Since {}:\n{}", label(previous), changes.trim_end())
}

fn print_json(
    context: &mut Context<'_>,
    arguments: &SaveArguments,
    found: &Found,
    saved: &Saved,
    diff: Option<&Difference>,
) -> Result<(), CliError> {
    let mut document = document::saved(saved, &found.place);
    if arguments.log_full_data {
        document["applied"] = serde_json::json!(saved.applied.iter().collect::<Vec<_>>());
    }
    if let Some(diff) = diff {
        let (added, removed): (Vec<_>, Vec<_>) = (diff.added.iter().collect(), diff.removed.iter().collect());
        document["diff"] = document::diff(diff.saved.previous.as_ref(), &added, &removed);
    }
    context.out_json(&document)
}

fn report(context: &mut Context<'_>, found: &Found, saved: &Saved) {
    let release = label(&saved.release);
    let migrations = count(saved.applied.len(), "migration");
    match &saved.outcome {
        SaveOutcome::Created => context.say(
            Level::Success,
            &format!("Saved release {release} with {migrations} (commit from {}).", safe(&found.place)),
        ),
        SaveOutcome::Unchanged => context.say(
            Level::Success,
            &format!("Release {release} with {migrations} is already saved; nothing to do."),
        ),
        SaveOutcome::Updated { added, removed, tags } => {
            context.say(Level::Success, &format!("Updated release {release}: it has {migrations} now."));
            let changes = lines("+", added) + &lines("-", removed);
            if !changes.is_empty() {
                context.say(Level::Info, changes.trim_end());
            }
            if !tags.is_empty() {
                context.say(Level::Info, &format!("New tags: {}.", safe(tags.join(", "))));
            }
        }
        SaveOutcome::NotNewest { newest, same_set } => {
            let applied = if *same_set {
                "the migrations that are applied are the same"
            } else {
                "the migrations that are applied are not those of this release"
            };
            context.say(
                Level::Warning,
                &format!(
                    "Release {release} is already saved, but is not the newest: that is {}. Nothing was changed; {applied}. \
                     If you went back to this code on purpose, go back with the database too: \
                     `rollback_migrations -c {}`.",
                    label(newest),
                    saved.release.commit.short(),
                ),
            );
        }
    }
}
