//! The door `manage.py`: what the command line asks of it, passed on to the Python object `django_rollback.door.Door`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3::prelude::*;
use rollback_cli::console::{Console, Level, Stream};
use rollback_cli::error::CliError;
use rollback_cli::{DatabaseChoice, Door, DoorKind, Environment, Session};
use rollback_engine::ports::Runner;
use rollback_engine::store::Secret;
use rollback_revision::{Repository, RepositoryError};

use crate::connection::DjangoConnection;
use crate::errors::{database_error, sentence, signal};
use crate::runner::DjangoRunner;

/// The door of Django.
pub(crate) struct DjangoDoor {
    python: Py<PyAny>,
    environment: Environment,
}

impl DjangoDoor {
    pub(crate) fn new(door: &Bound<'_, PyAny>) -> PyResult<Self> {
        let path = |name: &str| -> PyResult<Option<PathBuf>> { door.getattr(name)?.extract() };
        let environment = Environment {
            program: door.getattr("program")?.extract()?,
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            commit_variables: door.getattr("commit_variables")?.extract()?,
            working_directory: std::env::current_dir().unwrap_or_default(),
            project: path("project")?,
            default_path: path("default_path")?,
            secrets: door
                .getattr("secrets")?
                .extract::<Vec<String>>()?
                .into_iter()
                .map(Secret::new)
                .collect(),
            ways: door.getattr("ways")?.extract()?,
        };
        Ok(Self { python: door.clone().unbind(), environment })
    }

    /// The connection that this method of the Python object opens, with an executor.
    fn session(&self, method: &str, choice: &DatabaseChoice) -> Result<Session, CliError> {
        Python::attach(|py| {
            let door = self.python.bind(py);
            let connection =
                door.call_method1(method, (&choice.name,)).map_err(|error| refused(py, &error))?;
            let opened = DjangoConnection::new(&connection).map_err(|error| refused(py, &error))?;
            let runner = door.call_method1("runner", (&connection,)).map_err(|error| refused(py, &error))?;
            Ok(Session { database: Box::new(opened), runner: Some(Box::new(DjangoRunner::new(runner))) })
        })
    }

    pub(crate) fn console(&self) -> DjangoConsole {
        DjangoConsole { python: Python::attach(|py| self.python.clone_ref(py)) }
    }
}

impl Door for DjangoDoor {
    fn kind(&self) -> DoorKind {
        DoorKind::Django
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn connect(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError> {
        if choice.file.is_some() {
            return Err(CliError::usage(
                "`--database-file` is an option of the binary: manage.py uses the setting DATABASES",
                "name an alias with `--database`",
            ));
        }
        self.session("connect", choice)
    }

    fn loader(&mut self, choice: &DatabaseChoice) -> Option<Box<dyn Runner>> {
        let runner = Python::attach(|py| {
            self.python.bind(py).call_method1("loader", (&choice.name,)).map(DjangoRunner::new)
        });
        runner.ok().map(|runner| Box::new(runner) as Box<dyn Runner>)
    }

    fn scratch(&mut self, choice: &DatabaseChoice) -> Result<Session, CliError> {
        self.session("scratch", choice)
    }

    fn end_scratch(&mut self) {
        // A copy that cannot be removed is left behind: the outcome of the rehearsal is what counts.
        let _ = Python::attach(|py| self.python.bind(py).call_method0("end_scratch").map(|_| ()));
    }

    fn repository(&self, path: &Path) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
        let found = rollback_git::discover(path)?;
        Ok(found.map(|repository| Box::new(repository) as Box<dyn Repository>))
    }

    fn has_project(&self, _: &Path) -> bool {
        false
    }

    fn hand_over(&mut self, _: &Path, _: &[String]) -> Result<i32, CliError> {
        Err(CliError::other("manage.py hands nothing over: it is the project's own door", None))
    }
}

/// The door's own refusals carry a hint; anything else is the database's.
fn refused(py: Python<'_>, error: &PyErr) -> CliError {
    match error.value(py).getattr("hint").and_then(|hint| hint.extract::<String>()) {
        Ok(hint) => {
            let message = error.value(py).str().map_or_else(|_| sentence(py, error), |text| text.to_string());
            let is_usage =
                error.value(py).getattr("is_usage").and_then(|usage| usage.extract()).unwrap_or(false);
            if is_usage { CliError::usage(message, hint) } else { CliError::other(message, Some(hint)) }
        }
        Err(_) => CliError::other(
            format!("cannot connect to the database: {}", database_error(py, error)),
            Some("`manage.py check --database default` uses the same settings".to_owned()),
        ),
    }
}

/// Django's `stdout` and `stderr`, and the logger if one was named.
pub(crate) struct DjangoConsole {
    python: Py<PyAny>,
}

impl DjangoConsole {
    fn write(&self, method: &str, text: &str) -> io::Result<()> {
        Python::attach(|py| match self.python.bind(py).call_method1(method, (text,)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyBrokenPipeError>(py) => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            Err(error) => Err(io::Error::other(sentence(py, &error))),
        })
    }
}

impl Console for DjangoConsole {
    fn out(&mut self, text: &str) -> io::Result<()> {
        self.write("out", text)
    }

    fn secret(&mut self, text: &str) -> io::Result<()> {
        self.write("secret", text)
    }

    fn say(&mut self, level: Level, line: &str, stream: Stream) {
        let stream = match stream {
            Stream::Stdout => "out",
            Stream::Stderr => "err",
            Stream::Silent => "silent",
        };
        // A message that cannot be written must not stop the command.
        let _ = Python::attach(|py| {
            self.python.bind(py).call_method1("say", (word(level), line, stream)).map(|_| ())
        });
    }

    fn is_terminal(&self) -> bool {
        Python::attach(|py| self.python.bind(py).getattr("is_terminal")?.extract()).unwrap_or(false)
    }

    fn ask(&mut self, question: &str) -> Result<Option<String>, i32> {
        Python::attach(|py| {
            let answer =
                self.python.bind(py).call_method1("ask", (question,)).and_then(|answer| answer.extract());
            answer.or_else(|error| signal(py, &error).map_or(Ok(None), Err))
        })
    }

    fn pause(&mut self, length: Duration) -> Result<(), i32> {
        Python::attach(|py| match self.python.bind(py).call_method1("pause", (length.as_secs_f64(),)) {
            Ok(_) => Ok(()),
            Err(error) => signal(py, &error).map_or(Ok(()), Err),
        })
    }

    fn rate(&mut self, level: Level) {
        let _ = Python::attach(|py| self.python.bind(py).call_method1("rate", (word(level),)).map(|_| ()));
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Success => "success",
        Level::Warning => "warning",
    }
}
