//! The native door: the database by its URL, git in process, and a hand-over to `manage.py` where Python must run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rollback_cli::error::CliError;
use rollback_cli::{DatabaseChoice, Door, DoorKind, Environment, Session};
use rollback_native::{DatabaseUrl, UrlError};
use rollback_revision::{Repository, RepositoryError};

use crate::project::Project;

/// Where the URL comes from when no option names one.
const URL_VARIABLE: &str = "DATABASE_URL";

/// The ways that may be taken, the best first, as the setting `WAYS` has them for the other door.
const WAYS_VARIABLE: &str = "DJANGO_ROLLBACK_WAYS";

pub(crate) struct NativeDoor {
    environment: Environment,
}

impl NativeDoor {
    pub(crate) fn new() -> Self {
        let working_directory = std::env::current_dir().unwrap_or_default();
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let ways = variables.get(WAYS_VARIABLE).filter(|ways| !ways.is_empty());
        let ways = ways.map(|ways| ways.split(',').map(str::to_owned).collect()).unwrap_or_default();
        let project = Project::find(&working_directory).map(|project| project.folder);
        let program = "django-rollback".to_owned();
        let environment =
            Environment { program, variables, working_directory, project, ways, ..Environment::default() };
        Self { environment }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn url(&self, choice: &DatabaseChoice) -> Result<DatabaseUrl, CliError> {
        let variable = |name: &str| self.variable(name);
        let url = match (&choice.name, &choice.file) {
            (Some(url), _) if url.trim().is_empty() => return Err(no_url("`--database` is empty")),
            (Some(url), _) => DatabaseUrl::parse_argument(url, &variable),
            (None, Some(file)) => {
                DatabaseUrl::parse(&read(&self.environment.working_directory.join(file))?, &variable)
            }
            (None, None) => match self.variable(URL_VARIABLE) {
                Some(url) => DatabaseUrl::parse(&url, &variable),
                None => return Err(no_url("no database is named")),
            },
        };
        url.map_err(|error| wrong_url(&error))
    }
}

fn read(file: &Path) -> Result<String, CliError> {
    let text = fs::read_to_string(file).map_err(|error| {
        let hint = "name the file that holds the database's URL".to_owned();
        CliError::other(format!("cannot read {}: {error}", file.display()), Some(hint))
    })?;
    Ok(text.trim().to_owned())
}

fn no_url(message: &str) -> CliError {
    CliError::usage(
        message,
        "set DATABASE_URL, or give `--database postgres://user@host/name` or `--database sqlite:///path`",
    )
}

fn wrong_url(error: &UrlError) -> CliError {
    CliError::Usage { message: error.to_string(), hint: error.hint().map(str::to_owned) }
}

impl Door for NativeDoor {
    fn kind(&self) -> DoorKind {
        DoorKind::Native
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn connect(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError> {
        let url = self.url(choice)?;
        let database = rollback_native::connect(&url).map_err(|error| {
            let hint = match url {
                DatabaseUrl::Sqlite { .. } => "check the path in the database's URL",
                DatabaseUrl::Postgres(_) => {
                    "check the host, the port, the name of the database and the password"
                }
            };
            CliError::other(error.message, Some(hint.to_owned()))
        })?;
        Ok(Session { database, runner: None })
    }

    fn scratch(&mut self, _: &DatabaseChoice) -> Result<Session, CliError> {
        Err(CliError::other(
            "a rehearsal applies migrations again, which only Django can",
            Some("use `manage.py rollback rehearse`".to_owned()),
        ))
    }

    fn end_scratch(&mut self) {}

    fn repository(&self, path: &Path) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
        let found = rollback_git::discover(path)?;
        Ok(found.map(|repository| Box::new(repository) as Box<dyn Repository>))
    }

    fn has_project(&self, path: &Path) -> bool {
        Project::find(path).is_some()
    }

    fn hand_over(&mut self, path: &Path, arguments: &[String]) -> Result<i32, CliError> {
        let Some(project) = Project::find(path) else {
            return Err(CliError::other(
                format!("there is no manage.py in {} or above it", path.display()),
                None,
            ));
        };
        let python = project.python(|name| self.variable(name));
        project.run(&python, arguments).map_err(|error| {
            CliError::other(
                format!("cannot run {} in {}: {error}", python.display(), project.folder.display()),
                Some("name the project's Python in DJANGO_ROLLBACK_PYTHON".to_owned()),
            )
        })
    }
}
