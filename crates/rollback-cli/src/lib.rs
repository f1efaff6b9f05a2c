//! The command line, as a library over the ports: one file per command, rendering, errors with hints, exit codes.
//!
//! Both doors call [`run`] with what only they have (a [`Door`]), so that both show the same and end the same.

mod args;
mod commands;
pub mod console;
mod document;
mod drawing;
pub mod error;
mod facts_document;
pub mod findings;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollback_engine::Actor;
use rollback_engine::ports::{Database, Runner};
use rollback_engine::signature::Secret;
use rollback_revision::{Repository, RepositoryError};

use crate::args::Arguments;
use crate::console::Console;
use crate::error::CliError;

/// What a door brings along.
pub trait Door {
    /// Which door it is: it decides what `--database` means.
    fn kind(&self) -> DoorKind;

    /// The surroundings of the process.
    fn environment(&self) -> &Environment;

    /// Who runs this process.
    fn actor(&self) -> Actor {
        actor()
    }

    /// Connects to the database that the user chose, or to the default one.
    fn connect(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError>;

    /// Django's executor without a connection, to ask its loader; `None` in a door without Django.
    fn loader(&mut self, _choice: &DatabaseChoice) -> Option<Box<dyn Runner>> {
        None
    }

    /// Makes a scratch copy of the database that the user chose, and connects to it instead.
    fn scratch(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError>;

    /// Removes the scratch copy; the next connection is to the database itself.
    fn end_scratch(&mut self);

    /// Opens the git repository at `path` or the nearest one above it.
    fn repository(&self, path: &Path) -> Result<Option<Box<dyn Repository>>, RepositoryError>;

    /// Whether a project's `manage.py` is at `path` or above it. Never in the door of that project itself.
    fn has_project(&self, path: &Path) -> bool;

    /// Runs a command in that project's `manage.py rollback`, with the terminal handed over, and returns its exit code.
    fn hand_over(&mut self, path: &Path, arguments: &[String]) -> Result<i32, CliError>;
}

/// Which door it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorKind {
    /// The binary: `--database` is a URL.
    Native,
    /// `manage.py`: `--database` is an alias of the setting `DATABASES`.
    Django,
}

/// The surroundings of the process, looked up once by the door.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// How the user started it: `django-rollback`, `manage.py rollback`.
    pub program: String,
    /// The environment's variables.
    pub variables: BTreeMap<String, String>,
    /// Further variables that may name the commit (setting `COMMIT_VARIABLES`).
    pub commit_variables: Vec<String>,
    /// The working directory.
    pub working_directory: PathBuf,
    /// The folder of `manage.py`, where it is known.
    pub project: Option<PathBuf>,
    /// The repository's path when `-p` is not given (setting `PATH`).
    pub default_path: Option<PathBuf>,
    /// Secrets that the door knows: the first signs what is kept for a way back, all of them verify it.
    pub secrets: Vec<Secret>,
    /// The ways that may be taken, the best first (setting `WAYS`); empty for the usual ones.
    pub ways: Vec<String>,
}

/// Which database the user chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseChoice {
    /// `--database`.
    pub name: Option<String>,
    /// `--database-file`.
    pub file: Option<PathBuf>,
}

/// A connection, and the executor of Django where the door has one.
pub struct Session {
    /// The connection.
    pub database: Box<dyn Database>,
    /// Django's executor.
    pub runner: Option<Box<dyn Runner>>,
}

/// Who runs this process, for history and for whoever waits.
pub fn actor() -> Actor {
    let unknown = || "unknown".to_owned();
    Actor {
        user: whoami::username().unwrap_or_else(|_| unknown()),
        host: whoami::hostname().unwrap_or_else(|_| unknown()),
    }
}

/// How a command ended. The numbers are the exit codes of both doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Refused or failed, and nothing was changed.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// Stopped part-way, with a recorded step.
    Partial = 3,
}

/// The end of a command: its exit code, and what to say of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// The error with its hint, ready to be shown; the door puts its own heading before it.
    pub error: Option<String>,
}

/// Runs one command. `arguments` are those after the program's name.
pub fn run(door: &mut dyn Door, console: &mut dyn Console, arguments: &[String]) -> Ended {
    let environment = door.environment();
    let arguments = match args::parse(door.kind(), &environment.program, arguments) {
        Ok(arguments) => arguments,
        Err(args::Unparsed::Help(text)) => {
            let written = console.out(&text).map_err(|error| error::unwritten(&error));
            return ended(written.map(|()| ExitCode::Done as i32));
        }
        Err(args::Unparsed::Usage(error)) => {
            return Ended { code: ExitCode::Usage as i32, error: Some(error) };
        }
    };
    ended(dispatch(door, console, arguments))
}

fn ended(result: Result<i32, CliError>) -> Ended {
    match result {
        Ok(code) => Ended { code, error: None },
        Err(CliError::ClosedPipe) => Ended { code: ExitCode::Done as i32, error: None },
        Err(error) => Ended { code: error.exit_code(), error: Some(error.render()) },
    }
}

fn dispatch(door: &mut dyn Door, console: &mut dyn Console, arguments: Arguments) -> Result<i32, CliError> {
    commands::run(commands::Context::new(door, console, arguments.common)?, arguments.command)
}
