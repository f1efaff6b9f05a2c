//! The engine's `Database` over Django's own connection.

use std::path::PathBuf;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList};
use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};

use crate::errors::database_error;

/// A connection of Django's, held by the Python object `django_rollback.connection.Connection`.
pub(crate) struct DjangoConnection {
    python: Py<PyAny>,
    dialect: Dialect,
    name: String,
}

impl DjangoConnection {
    pub(crate) fn new(connection: &Bound<'_, PyAny>) -> PyResult<Self> {
        let vendor: String = connection.getattr("dialect")?.getattr("vendor")?.extract()?;
        let dialect = match vendor.as_str() {
            "postgresql" => Dialect::Postgres,
            "sqlite" => Dialect::Sqlite,
            _ => return Err(PyRuntimeError::new_err(format!("the engine does not support {vendor}"))),
        };
        let name = connection.getattr("name")?.extract()?;
        Ok(Self { python: connection.clone().unbind(), dialect, name })
    }

    fn call<T>(&self, method: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, DatabaseError> {
        Python::attach(|py| method(self.python.bind(py)).map_err(|error| database_error(py, &error)))
    }
}

impl Database for DjangoConnection {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let rows = self.call(|connection| {
            let py = connection.py();
            let rows =
                connection.call_method1("query", (placeholders(sql, params), to_python(py, params)?))?;
            rows.try_iter()?.map(|row| row?.try_iter()?.map(|value| from_python(&value?)).collect()).collect()
        })?;
        rows_of_known_types(rows)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.call(|connection| {
            let py = connection.py();
            let arguments = (placeholders(sql, params), to_python(py, params)?);
            let changed: i64 = connection.call_method1("execute", arguments)?.extract()?;
            Ok(u64::try_from(changed).unwrap_or(0))
        })
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.call(|connection| connection.call_method1("run", (sql,)).map(|_| ()))
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError> {
        self.call(|connection| connection.call_method1("begin", (purpose == Purpose::Schema,)).map(|_| ()))
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        self.call(|connection| connection.call_method0("commit").map(|_| ()))
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        self.call(|connection| connection.call_method0("rollback").map(|_| ()))
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        self.call(|connection| connection.call_method0("reconnect").map(|_| ()))
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        let other = self.call(|connection| Self::new(&connection.call_method0("another")?))?;
        Ok(Box::new(other))
    }

    fn is_pooled(&mut self) -> Result<Option<bool>, DatabaseError> {
        self.call(|connection| connection.call_method0("is_pooled")?.extract())
    }

    fn lock_file(&self) -> Option<PathBuf> {
        self.call(|connection| connection.getattr("lock_file")?.extract()).ok().flatten()
    }
}

/// `$1` as Django's cursors write it, `%s`; without parameters they take the text as it is.
fn placeholders(sql: &str, params: &[Value]) -> String {
    if params.is_empty() {
        return sql.to_owned();
    }
    let sql = sql.replace('%', "%%");
    (1..=params.len()).rev().fold(sql, |sql, number| sql.replace(&format!("${number}"), "%s"))
}

fn to_python<'py>(py: Python<'py>, params: &[Value]) -> PyResult<Option<Bound<'py, PyList>>> {
    if params.is_empty() {
        return Ok(None);
    }
    let list = PyList::empty(py);
    for param in params {
        match param {
            Value::Null => list.append(py.None())?,
            Value::Int(number) => list.append(number)?,
            Value::Text(text) => list.append(text)?,
        }
    }
    Ok(Some(list))
}

/// The value, or the name of a type that the engine does not use.
fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Result<Value, String>> {
    if value.is_none() {
        return Ok(Ok(Value::Null));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Ok(Value::Int(flag.is_true().into())));
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(Ok(Value::Int(number)));
    }
    match value.extract::<String>() {
        Ok(text) => Ok(Ok(Value::Text(text))),
        Err(_) => Ok(Err(value.get_type().name()?.to_string())),
    }
}

fn rows_of_known_types(rows: Vec<Vec<Result<Value, String>>>) -> Result<Vec<Row>, DatabaseError> {
    let rows: Result<Vec<Row>, String> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
    rows.map_err(|name| {
        DatabaseError::new(DatabaseErrorKind::Other, &format!("a column holds a value of type {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_those_of_django() {
        let params = vec![Value::Null; 11];
        assert_eq!(
            placeholders("a = $1 AND b LIKE '%x' OR c = $11", &params),
            "a = %s AND b LIKE '%%x' OR c = %s"
        );
        assert_eq!(placeholders("strftime('%Y')", &[]), "strftime('%Y')");
    }
}
