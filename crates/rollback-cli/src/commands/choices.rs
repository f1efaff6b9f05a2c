//! What the user has chosen: the release, the keys, the ways.

use std::path::Path;

use clap::ValueEnum;
use rollback_core::plan::WAYS;
use rollback_core::{CommitPrefix, Target, Way};
use rollback_engine::store::{Keyring, Secret};

use super::context::Context;
use crate::args::{TargetArguments, WayArguments, WayChoice};
use crate::error::CliError;

impl Context<'_> {
    /// The release that the user asked for.
    pub(super) fn target(&self, arguments: &TargetArguments) -> Result<Target, CliError> {
        match (&arguments.tag, &arguments.commit) {
            (Some(_), Some(_)) => Err(CliError::usage(
                "`--tag` and `--commit` both name a release: give one of them",
                "a commit is exact; a tag means the release that was saved under it",
            )),
            (Some(tag), None) => self.tag(tag),
            (None, Some(commit)) => self.commit(commit),
            (None, None) => Ok(Target::Previous),
        }
    }

    /// As `target`, but nothing instead of the previous release when none was named.
    pub(super) fn named_target(&self, arguments: &TargetArguments) -> Result<Option<Target>, CliError> {
        match self.target(arguments)? {
            Target::Previous => Ok(None),
            target => Ok(Some(target)),
        }
    }

    pub(super) fn tag(&self, tag: &str) -> Result<Target, CliError> {
        if tag.trim().is_empty() {
            return Err(CliError::usage(
                "the tag is empty",
                "is the shell variable unset? Leave `--tag` out to go back to the previous release",
            ));
        }
        let in_git = self.tags_in_git().into_iter().find(|(name, _)| name == tag).map(|(_, commit)| commit);
        Ok(Target::Tag { name: tag.to_owned(), in_git })
    }

    pub(super) fn commit(&self, commit: &str) -> Result<Target, CliError> {
        commit.parse::<CommitPrefix>().map(Target::Commit).map_err(|error| {
            let hint = if commit.trim().is_empty() {
                "is the shell variable unset? Leave `--commit` out to go back to the previous release"
                    .to_owned()
            } else {
                format!("for a tag use `-t {commit}`; `list` shows the saved commits")
            };
            CliError::usage(error.to_string(), hint)
        })
    }

    /// The keys for what is kept: that of the option or the variable before those that the door knows.
    pub(super) fn keys(&self) -> Result<Keyring, CliError> {
        let given = match &self.common.key_file {
            Some(file) => Some(read_key(&self.environment.working_directory.join(file))?),
            None => self.environment.variables.get(KEY_VARIABLE).cloned(),
        };
        // Several, a line each: the first signs, the others verify what was signed before.
        let given = given.unwrap_or_default();
        let given: Vec<Secret> =
            given.lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::new).collect();
        if given.iter().any(Secret::is_damaged_key) {
            return Err(CliError::usage(
                "the key is cut or damaged",
                "`manage.py rollback key` prints it: drk1_ and 64 hex digits",
            ));
        }
        Ok(Keyring::new(given.iter().chain(&self.environment.secrets)))
    }

    /// The ways that may be taken, the best first.
    pub(super) fn ways(&self, arguments: &WayArguments) -> Result<Vec<Way>, CliError> {
        if let Some(choice) = arguments.way {
            return Ok(vec![choice.way()]);
        }
        let known = |word: &String| WayChoice::from_str(word.trim(), true).map(WayChoice::way);
        let ways: Result<Vec<Way>, String> = self.environment.ways.iter().map(known).collect();
        let mut ways = ways.map_err(|_| {
            CliError::usage(
                format!("unknown ways: {}", self.environment.ways.join(", ")),
                "WAYS and DJANGO_ROLLBACK_WAYS accept sql, disk and capsule, the best first",
            )
        })?;
        if ways.is_empty() {
            ways.extend(WAYS);
        }
        ways.retain(|way| *way != Way::Sql || !arguments.without_sql);
        Ok(ways)
    }
}

/// Names the key for what is kept, or the secret that it is made from.
const KEY_VARIABLE: &str = "DJANGO_ROLLBACK_KEY";

fn read_key(file: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::usage(
            format!("cannot read the key in {}: {error}", file.display()),
            "`manage.py rollback key` prints it",
        )
    })?;
    Ok(text.trim().to_owned())
}
