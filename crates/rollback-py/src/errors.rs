//! The one map from Python's exceptions to the engine's errors.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use rollback_engine::ports::{DatabaseError, DatabaseErrorKind, RunnerError};

/// What a database said, through Django's wrapper around the driver's exception.
///
/// psycopg gives the SQLSTATE as `sqlstate` (3) or `pgcode` (2), Python 3.11 and newer SQLite's code as
/// `sqlite_errorcode`; before, only SQLite's sentence tells.
pub(crate) fn database_error(py: Python<'_>, error: &PyErr) -> DatabaseError {
    if let Some(signal) = signal(py, error) {
        return DatabaseError::new(DatabaseErrorKind::Interrupted { signal }, "interrupted");
    }
    let cause = error.cause(py).unwrap_or_else(|| error.clone_ref(py));
    let exception = cause.value(py);
    let message = cause.value(py).str().map_or_else(|_| cause.to_string(), |text| text.to_string());
    for attribute in ["sqlstate", "pgcode"] {
        if let Ok(code) = exception.getattr(attribute)
            && let Ok(code) = code.extract::<String>()
        {
            return DatabaseError::from_sqlstate(&code, &message);
        }
    }
    let class = exception.get_type();
    let module = class.module().map_or_else(|_| String::new(), |module| module.to_string());
    if module.starts_with("psycopg") && class.name().is_ok_and(|name| name == "OperationalError") {
        return DatabaseError::from_sqlstate("08006", &message);
    }
    let code = exception.getattr("sqlite_errorcode").and_then(|code| code.extract::<i32>());
    DatabaseError::from_sqlite_code(code.unwrap_or_else(|_| sqlite_code(&message)), &message)
}

/// The signal behind a `KeyboardInterrupt`: ours tell which one; any other one is Ctrl-C.
pub(crate) fn signal(py: Python<'_>, error: &PyErr) -> Option<i32> {
    const SIGINT: i32 = 2;
    error
        .is_instance_of::<PyKeyboardInterrupt>(py)
        .then(|| error.value(py).getattr("signal").and_then(|signal| signal.extract()).unwrap_or(SIGINT))
}

/// A failure below Django's executor: what kind of failure of the database it is, if it is one, and a sentence.
pub(crate) fn runner_error(py: Python<'_>, error: &PyErr) -> RunnerError {
    let kind = match signal(py, error) {
        Some(signal) => DatabaseErrorKind::Interrupted { signal },
        None if is_from_database(py, error) => {
            let DatabaseError { kind, message } = database_error(py, error);
            let name = error.get_type(py).name().map_or_else(|_| "Error".to_owned(), |name| name.to_string());
            return RunnerError { kind, message: format!("{name}: {}", without_values(&message)) };
        }
        None => DatabaseErrorKind::Other,
    };
    RunnerError { kind, message: sentence(py, error) }
}

/// Django's own check of foreign keys on SQLite tells the key and the value of the row
/// (`django.db.backends.sqlite3.base`, `check_constraints`): the sentence without them.
fn without_values(message: &str) -> String {
    let mut shown = message.to_owned();
    for (before, after) in
        [(" with primary key '", "' has an invalid"), (" contains a value '", "' that does not")]
    {
        if let Some(start) = shown.find(before).map(|start| start + before.len())
            && let Some(length) = shown[start..].rfind(after)
        {
            shown.replace_range(start..start + length, "…");
        }
    }
    shown
}

/// Whether Django's wrapper around the drivers' exceptions raised it.
fn is_from_database(py: Python<'_>, error: &PyErr) -> bool {
    let class = py.import("django.db").and_then(|module| module.getattr("Error"));
    class.is_ok_and(|class| error.value(py).is_instance(&class).unwrap_or(false))
}

/// SQLite's result code by its sentence (<https://www.sqlite.org/rescode.html>).
fn sqlite_code(message: &str) -> i32 {
    const SENTENCES: &[(&str, i32)] = &[
        ("database is locked", 5),
        ("database table is locked", 6),
        ("attempt to write a readonly database", 8),
        ("unable to open database file", 14),
        ("UNIQUE constraint failed", 19),
        ("file is not a database", 26),
    ];
    SENTENCES.iter().find(|(sentence, _)| message.contains(sentence)).map_or(1, |(_, code)| *code)
}

/// What Django or the project's own code said, in one line and with the name of the exception.
pub(crate) fn sentence(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let text = error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string());
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{name}: {line}"),
        None => name,
    }
}
