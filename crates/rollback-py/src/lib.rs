//! The extension module `django_rollback._native`: the command line over Django's own connection and executor.
//! `_native.pyi` in the Python package says what each side calls.
//!
//! It translates, and decides nothing. There is no database driver in it: two SQLite libraries in one process would
//! break each other's file locks, and Django's connection is the one to use here.

mod connection;
mod door;
mod errors;
mod migrate_lock;
mod runner;

use pyo3::prelude::*;

/// Runs one command for the Python object `door` and returns its exit code and, if it failed, what to say.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what PyO3 hands over is owned")]
fn run(door: Py<PyAny>, arguments: Vec<String>) -> PyResult<(i32, Option<String>)> {
    let mut door = Python::attach(|py| door::DjangoDoor::new(door.bind(py)))?;
    let mut console = door.console();
    let ended = rollback_cli::run(&mut door, &mut console, &arguments);
    Ok((ended.code, ended.error))
}

/// The engine behind `manage.py save_migrations_state`, `rollback_migrations` and `rollback`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", rollback_engine::VERSION)?;
    module.add_class::<migrate_lock::LockHolder>()?;
    module.add_function(wrap_pyfunction!(migrate_lock::hold_lock, module)?)?;
    module.add_function(wrap_pyfunction!(migrate_lock::has_releases, module)?)?;
    module.add_function(wrap_pyfunction!(migrate_lock::keep, module)?)?;
    module.add_function(wrap_pyfunction!(run, module)?)
}
