//! The migrate lock: Python holds the lock of saves and rollbacks until `migrate` has ended.

use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rollback_cli::error::CliError;
use rollback_core::{MigrationId, NewCapsule};
use rollback_engine::cases::CaseError;
use rollback_engine::cases::migrate::{self, Planned};
use rollback_engine::session::LockHolder as Held;
use rollback_engine::store::{Keyring, Secret};

use crate::connection::DjangoConnection;
use crate::errors::signal;

/// The lock, until it is released.
#[pyclass(unsendable)]
pub(crate) struct LockHolder(Option<Held>);

#[pymethods]
impl LockHolder {
    /// Releases the lock. Doing it twice does no harm.
    fn release(&mut self) {
        self.0 = None;
    }
}

type Key = (String, String);
/// A migration as Python says it: its key, whether it is undone, and its parents with what they replace.
type Entry = (Key, bool, Vec<(Key, Vec<Key>)>);

/// Takes the lock for a `migrate` with this plan. Fails with what to tell the user.
#[pyfunction]
pub(crate) fn hold_lock(
    connection: &Bound<'_, PyAny>,
    planned: Vec<Entry>,
    wait: &Bound<'_, PyAny>,
) -> PyResult<LockHolder> {
    let py = connection.py();
    let mut database = DjangoConnection::new(connection)?;
    let planned: Vec<Planned> = planned.into_iter().map(read).collect();
    let mut pause = |who: &str, length: Duration| match wait.call1((who, length.as_secs_f64())) {
        Ok(_) => Ok(()),
        Err(error) => signal(py, &error).map_or(Ok(()), Err),
    };
    let held = migrate::lock(&mut database, &planned, &rollback_cli::actor(), &mut pause);
    held.map(LockHolder).map_err(failed)
}

/// Whether a release was saved in this database.
#[pyfunction]
pub(crate) fn has_releases(connection: &Bound<'_, PyAny>) -> PyResult<bool> {
    let mut database = DjangoConnection::new(connection)?;
    migrate::has_releases(&mut database).map_err(failed)
}

/// Keeps what was recorded while migrations were applied: `capsules` is JSON, as `django_rollback.facts` makes it.
#[pyfunction]
pub(crate) fn keep(connection: &Bound<'_, PyAny>, secrets: Vec<String>, capsules: &str) -> PyResult<()> {
    let mut database = DjangoConnection::new(connection)?;
    let secrets: Vec<Secret> = secrets.into_iter().map(Secret::new).collect();
    let capsules: Vec<NewCapsule> =
        serde_json::from_str(capsules).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    migrate::keep(&mut database, &Keyring::new(&secrets), &capsules).map_err(failed)
}

fn failed(error: CaseError) -> PyErr {
    PyRuntimeError::new_err(CliError::from(error).render())
}

fn read((key, backwards, parents): Entry) -> Planned {
    let id = |(app, name): Key| MigrationId::new(app, name);
    let parents =
        parents.into_iter().map(|(parent, replaced)| (id(parent), replaced.into_iter().map(id).collect()));
    Planned { migration: id(key), backwards, parents: parents.collect() }
}
