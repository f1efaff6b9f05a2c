//! The one map from Python's exceptions to the engine's errors.

use pyo3::prelude::*;
use rollback_engine::ports::DatabaseError;

/// What a database said, through Django's wrapper around the driver's exception.
///
/// psycopg gives the SQLSTATE as `sqlstate` (3) or `pgcode` (2), Python 3.11 and newer SQLite's code as
/// `sqlite_errorcode`; before, only SQLite's sentence tells.
pub(crate) fn database_error(py: Python<'_>, error: &PyErr) -> DatabaseError {
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
