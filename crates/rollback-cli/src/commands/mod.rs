//! The commands, and what they share: the arguments, the door, and how to write.

mod check;
mod completions;
mod graph;
mod guard;
mod history;
mod import;
mod list;
mod plan;
mod progress;
mod range;
mod rehearse;
mod rollback;
mod save;
mod show;
mod sql;
mod stamp;
mod status;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rollback_core::plan::WAYS;
use rollback_core::{CommitId, CommitPrefix, MigrationId, Release, Target, Way};
use rollback_engine::Actor;
use rollback_engine::rollback::open;
use rollback_engine::signature::{Keyring, Secret};
use rollback_engine::store::Operation;
use rollback_revision::deployed::{self, Found, Surroundings};
use rollback_revision::{Repository, RepositoryError};
use serde_json::Value;

use crate::args::{
    Command, Common, Output, PlanOrRangeArguments, TargetArguments, UnlistedCommand, WayArguments, WayChoice,
};
use crate::console::{Console, Level, Stream, safe, safe_json};
use crate::door::{DatabaseChoice, Door, Environment, Session};
use crate::error::{CliError, unwritten};
use crate::exit::ExitCode;
use crate::words::count;

/// Runs the command. The number is the exit code: one of ours, or that of a `manage.py` that took over.
pub(crate) fn run(mut context: Context<'_>, command: Command) -> Result<i32, CliError> {
    let code = match command {
        Command::Save(arguments) | Command::Unlisted(UnlistedCommand::SaveMigrationsState(arguments)) => {
            save::run(&mut context, &arguments)
        }
        Command::Import(arguments) => import::run(&mut context, &arguments),
        Command::List => list::run(&mut context),
        Command::Show(arguments) => show::run(&mut context, &arguments),
        Command::Plan(PlanOrRangeArguments { range: Some(range), .. }) => {
            plan::between_commits(&mut context, &range)
        }
        Command::Plan(PlanOrRangeArguments { range: None, plan: arguments }) => {
            plan::run(&mut context, &arguments)
        }
        Command::Check(arguments) => return check::run(&mut context, &arguments),
        Command::Graph(arguments) => graph::run(&mut context, &arguments),
        Command::Rollback(arguments) => return rollback::run(&mut context, &arguments, true),
        Command::Unlisted(UnlistedCommand::RollbackMigrations { list: true, rollback, .. }) => {
            refuse_with_list(&rollback)?;
            list::run(&mut context)
        }
        Command::Unlisted(UnlistedCommand::RollbackMigrations {
            list: false,
            refuse_data_loss,
            rollback,
        }) => {
            return rollback::run(&mut context, &rollback, refuse_data_loss);
        }
        Command::Unlisted(UnlistedCommand::HandedOver(arguments)) => {
            return rollback::handed_over(&mut context, &arguments);
        }
        Command::Sql(arguments) => sql::run(&mut context, &arguments),
        Command::Rehearse(arguments) => rehearse::run(&mut context, &arguments),
        Command::Guard(arguments) => return guard::run(&mut context, &arguments),
        Command::Key => key(&mut context),
        Command::Status => status::run(&mut context),
        Command::History { limit } => history::run(&mut context, limit),
        Command::Stamp { commit, output } => stamp::run(&mut context, commit.as_deref(), output),
        Command::Completions { shell } => completions::run(&mut context, shell),
    };
    code.map(|code| code as i32)
}

fn key(context: &mut Context<'_>) -> Result<ExitCode, CliError> {
    let Some(key) = context.keys()?.export() else {
        return Err(CliError::usage(
            "there is no secret to make a key from",
            "`manage.py rollback key` makes it from SECRET_KEY",
        ));
    };
    context.console.secret(&format!("{key}\n")).map_err(|error| unwritten(&error))?;
    Ok(ExitCode::Done)
}

fn refuse_with_list(arguments: &crate::args::RollbackArguments) -> Result<(), CliError> {
    let target = &arguments.target;
    if target.tag.is_none() && target.commit.is_none() && !arguments.fake {
        return Ok(());
    }
    Err(CliError::usage(
        "`--list` only lists the releases: it does not go with `--tag`, `--commit` or `--fake`",
        "leave `--list` out to go back to a release",
    ))
}

/// What every command works with.
pub(crate) struct Context<'a> {
    door: &'a mut dyn Door,
    console: &'a mut dyn Console,
    common: Common,
    environment: Environment,
    path: PathBuf,
}

impl<'a> Context<'a> {
    /// Checks the common arguments.
    pub(crate) fn new(
        door: &'a mut dyn Door,
        console: &'a mut dyn Console,
        common: Common,
    ) -> Result<Self, CliError> {
        let environment = door.environment().clone();
        let given = common.path.as_ref().or(environment.default_path.as_ref());
        if given.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(CliError::usage(
                "the path is empty",
                "is the shell variable unset? `-p .` is the working directory",
            ));
        }
        let path = environment.working_directory.join(given.map_or(Path::new(""), |path| path.as_path()));
        let path = path.canonicalize().unwrap_or(path);
        Ok(Self { door, console, common, environment, path })
    }

    fn database_choice(&self) -> DatabaseChoice {
        DatabaseChoice { name: self.common.database.clone(), file: self.common.database_file.clone() }
    }

    fn connect(&mut self) -> Result<Session, CliError> {
        let choice = self.database_choice();
        let mut session = self.door.connect(&choice)?;
        for operation in open::settle(session.database.as_mut(), &self.actor())? {
            self.say(Level::Warning, &settled(&operation));
        }
        Ok(session)
    }

    /// The path, where the user named one.
    fn given_path(&self) -> Option<&Path> {
        let given = self.common.path.is_some() || self.environment.default_path.is_some();
        given.then_some(self.path.as_path())
    }

    /// Whether the data is a document for programs, so that talk must not stand between.
    fn is_document(&self) -> bool {
        self.common.output != Output::Text
    }

    fn is_json(&self) -> bool {
        self.common.output == Output::Json
    }

    fn verbosity(&self) -> u8 {
        if self.common.quiet { 0 } else { self.common.verbosity }
    }

    /// Prints the data that was asked for.
    fn out(&mut self, text: &str) -> Result<(), CliError> {
        if text.is_empty() {
            return Ok(());
        }
        self.console.out(text).map_err(|error| unwritten(&error))
    }

    fn out_json(&mut self, document: &Value) -> Result<(), CliError> {
        self.out(&safe_json(&format!("{document}\n")))
    }

    /// Says something beside the data, unless the user wants silence.
    fn say(&mut self, level: Level, line: &str) {
        self.console.say(level, line, self.stream(level));
    }

    fn stream(&self, level: Level) -> Stream {
        match self.verbosity() {
            0 => Stream::Silent,
            _ if self.is_document() || level == Level::Warning => Stream::Stderr,
            _ => Stream::Stdout,
        }
    }

    /// Finds the commit of this deploy.
    fn find_commit(&self, release: Option<&str>) -> Result<Found, CliError> {
        self.with_surroundings(release, deployed::find).map_err(CliError::from)
    }

    /// The tags that git has now, by name; none where there is no repository, or an unreadable one.
    fn tags_in_git(&self) -> Vec<(String, CommitId)> {
        self.git_repository().ok().flatten().and_then(|repository| repository.tags().ok()).unwrap_or_default()
    }

    fn git_repository(&self) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
        self.with_surroundings(None, deployed::repository)
    }

    fn with_surroundings<T>(&self, release: Option<&str>, look: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        look(&Surroundings {
            commit: release,
            variables: &self.environment.variables,
            more_variables: &self.environment.commit_variables,
            path: &self.path,
            project: self.environment.project.as_deref().filter(|_| self.given_path().is_none()),
            open: &|path| self.door.repository(path),
        })
    }

    /// The release that the user asked for.
    fn target(&self, arguments: &TargetArguments) -> Result<Target, CliError> {
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
    fn named_target(&self, arguments: &TargetArguments) -> Result<Option<Target>, CliError> {
        match self.target(arguments)? {
            Target::Previous => Ok(None),
            target => Ok(Some(target)),
        }
    }

    fn tag(&self, tag: &str) -> Result<Target, CliError> {
        if tag.trim().is_empty() {
            return Err(CliError::usage(
                "the tag is empty",
                "is the shell variable unset? Leave `--tag` out to go back to the previous release",
            ));
        }
        let in_git = self.tags_in_git().into_iter().find(|(name, _)| name == tag).map(|(_, commit)| commit);
        Ok(Target::Tag { name: tag.to_owned(), in_git })
    }

    fn commit(&self, commit: &str) -> Result<Target, CliError> {
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
    fn keys(&self) -> Result<Keyring, CliError> {
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
    fn ways(&self, arguments: &WayArguments) -> Result<Vec<Way>, CliError> {
        if let Some(choice) = arguments.way {
            return Ok(vec![choice.way()]);
        }
        let known = |word: &String| WayChoice::from_str(word.trim(), true).map(WayChoice::way);
        let ways: Result<Vec<Way>, String> = self.environment.ways.iter().map(known).collect();
        let mut ways = ways.map_err(|_| {
            CliError::usage(
                format!("the ways {} are not known", self.environment.ways.join(", ")),
                "WAYS and DJANGO_ROLLBACK_WAYS take sql, disk and capsule, the best first",
            )
        })?;
        if ways.is_empty() {
            ways.extend(WAYS);
        }
        ways.retain(|way| *way != Way::Sql || !arguments.without_sql);
        Ok(ways)
    }

    fn actor(&self) -> Actor {
        self.door.actor()
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

/// What has become of a rollback whose process ended without a word.
fn settled(operation: &Operation) -> String {
    let Operation { user, host, to, steps, steps_done, .. } = operation;
    let to = to.as_ref().map_or_else(String::new, |to| to.short().to_owned());
    let end = if operation.outcome == "stopped" {
        format!(
            "stopped after {steps_done} of {}: `rollback --resume` finishes it, `rollback --abort` leaves it there",
            count(steps.len(), "step")
        )
    } else {
        "was interrupted, and nothing was changed by it".to_owned()
    };
    safe(format!("Settled: the rollback to {to} by {user}@{host} {end}."))
}

/// `03ec91e (v3)`, safe to show.
fn label(release: &Release) -> String {
    safe(release.label())
}

/// One migration a line, indented, with a mark before each.
fn lines<'m>(mark: &str, migrations: impl IntoIterator<Item = &'m MigrationId>) -> String {
    migrations.into_iter().map(|id| format!("  {mark} {}\n", safe(id))).collect()
}
