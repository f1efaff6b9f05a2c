//! What a door provides: the environment of the process, connections, Django's executor, and git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollback_engine::Actor;
use rollback_engine::ports::{Database, Runner};
use rollback_engine::store::Secret;
use rollback_revision::{Repository, RepositoryError};

use crate::error::CliError;

/// What a door provides.
pub trait Door {
    /// Which door it is: it decides what `--database` means.
    fn kind(&self) -> DoorKind;

    /// The environment of the process.
    fn environment(&self) -> &Environment;

    /// Who runs this process.
    fn actor(&self) -> Actor {
        actor()
    }

    /// Connects to the database that the user chose, or to the default one.
    fn connect(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError>;

    /// Django's executor without a connection, to ask its loader; `None` if the door has no Django.
    fn loader(&mut self, _choice: &DatabaseChoice) -> Option<Box<dyn Runner>> {
        None
    }

    /// Makes a scratch copy of the database that the user chose, and connects to it instead.
    fn scratch(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError>;

    /// Removes the scratch copy; the next connection is to the database itself.
    fn end_scratch(&mut self);

    /// Opens the git repository at `path` or the nearest one above it.
    fn repository(&self, path: &Path) -> Result<Option<Box<dyn Repository>>, RepositoryError>;

    /// Whether a project's `manage.py` is at `path` or above it; never in the door of that project itself.
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

/// The environment of the process, which the door reads once.
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
    /// The folder of `manage.py`, if it is known.
    pub project: Option<PathBuf>,
    /// The repository's path without `-p` (setting `PATH`).
    pub default_path: Option<PathBuf>,
    /// Secrets of the door: the first signs archived sources and recorded SQL, all of them verify.
    pub secrets: Vec<Secret>,
    /// The allowed ways, the best first (setting `WAYS`); empty for the default.
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

/// A connection, and Django's executor if the door has one.
pub struct Session {
    /// The connection.
    pub database: Box<dyn Database>,
    /// Django's executor.
    pub runner: Option<Box<dyn Runner>>,
}

/// Who runs this process, for history and for sessions that wait for the lock.
pub fn actor() -> Actor {
    let unknown = || "unknown".to_owned();
    Actor {
        user: whoami::username().unwrap_or_else(|_| unknown()),
        host: whoami::hostname().unwrap_or_else(|_| unknown()),
    }
}
