//! What every command works with: the door, the common arguments, and how to write.

use std::path::{Path, PathBuf};

use rollback_engine::Actor;
use rollback_engine::cases::unfinished;
use rollback_engine::store::{Operation, Outcome};
use serde_json::Value;

use crate::args::{Common, Output};
use crate::console::{Console, Level, Stream, safe, safe_json};
use crate::door::{DatabaseChoice, Door, Environment, Session};
use crate::error::{CliError, unwritten};
use crate::words::count;

/// What every command works with.
pub(crate) struct Context<'a> {
    pub(super) door: &'a mut dyn Door,
    pub(super) console: &'a mut dyn Console,
    pub(super) common: Common,
    pub(super) environment: Environment,
    /// The repository's path, or a folder in it.
    pub(super) path: PathBuf,
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

    pub(super) fn database_choice(&self) -> DatabaseChoice {
        DatabaseChoice { name: self.common.database.clone(), file: self.common.database_file.clone() }
    }

    pub(super) fn connect(&mut self) -> Result<Session, CliError> {
        let choice = self.database_choice();
        let mut session = self.door.connect(&choice)?;
        for operation in unfinished::settle(session.database.as_mut(), &self.actor())? {
            self.say(Level::Warning, &settled(&operation));
        }
        Ok(session)
    }

    /// The path, where the user named one.
    pub(super) fn given_path(&self) -> Option<&Path> {
        let given = self.common.path.is_some() || self.environment.default_path.is_some();
        given.then_some(self.path.as_path())
    }

    /// Whether the data is a document for programs, so that talk must not stand between.
    pub(super) fn is_document(&self) -> bool {
        self.common.output != Output::Text
    }

    pub(super) fn is_json(&self) -> bool {
        self.common.output == Output::Json
    }

    pub(super) fn verbosity(&self) -> u8 {
        if self.common.quiet { 0 } else { self.common.verbosity }
    }

    /// Prints the data that was asked for.
    pub(super) fn out(&mut self, text: &str) -> Result<(), CliError> {
        if text.is_empty() {
            return Ok(());
        }
        self.console.out(text).map_err(|error| unwritten(&error))
    }

    pub(super) fn out_json(&mut self, document: &Value) -> Result<(), CliError> {
        self.out(&safe_json(&format!("{document}\n")))
    }

    /// Says something beside the data, unless the user wants silence.
    pub(super) fn say(&mut self, level: Level, line: &str) {
        self.console.say(level, line, self.stream(level));
    }

    pub(super) fn stream(&self, level: Level) -> Stream {
        match self.verbosity() {
            0 => Stream::Silent,
            _ if self.is_document() || level == Level::Warning => Stream::Stderr,
            _ => Stream::Stdout,
        }
    }

    /// Prints a secret: it goes to stdout, and to no log.
    pub(super) fn secret(&mut self, text: &str) -> Result<(), CliError> {
        self.console.secret(text).map_err(|error| unwritten(&error))
    }

    pub(super) fn actor(&self) -> Actor {
        self.door.actor()
    }
}

/// What has become of a rollback whose process ended without a word.
fn settled(operation: &Operation) -> String {
    let Operation { user, host, .. } = operation;
    let (steps, steps_done) = (operation.steps(), operation.steps_done());
    let to = operation.to().map_or_else(String::new, |to| to.short().to_owned());
    let end = if operation.outcome() == Outcome::Stopped {
        format!(
            "stopped after {steps_done} of {}: `rollback --resume` finishes it, `rollback --abort` leaves the database there",
            count(steps.len(), "step")
        )
    } else {
        "was interrupted, and changed nothing".to_owned()
    };
    safe(format!("Settled: the rollback to {to} by {user}@{host} {end}."))
}
