//! The engine's `Runner` over Django's executor.

use pyo3::prelude::*;
use rollback_core::NewCapsule;
use rollback_core::{Effect, MigrationId, Plan, ProjectFacts, Step};
use rollback_engine::ports::{DatabaseErrorKind, Runner, RunnerError};
use serde::de::DeserializeOwned;

use crate::errors::runner_error;

/// Django's executor, held by the Python object `django_rollback.runner.Runner`.
pub(crate) struct DjangoRunner {
    python: Py<PyAny>,
}

impl DjangoRunner {
    pub(crate) fn new(runner: Bound<'_, PyAny>) -> Self {
        Self { python: runner.unbind() }
    }

    fn call<T>(&self, method: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, RunnerError> {
        Python::attach(|py| {
            let runner = self.python.bind(py);
            method(runner).map_err(|error| {
                let _ = runner.call_method1("failed", (error.value(py),));
                runner_error(py, &error)
            })
        })
    }
}

impl Runner for DjangoRunner {
    fn facts(&mut self) -> Result<ProjectFacts, RunnerError> {
        let facts: String = self.call(|runner| runner.call_method0("facts")?.extract())?;
        read(&facts)
    }

    fn capsules(&mut self, migrations: &[MigrationId]) -> Result<Vec<NewCapsule>, RunnerError> {
        let keys: Keys = migrations.iter().map(key).collect();
        let capsules: String = self.call(|runner| runner.call_method1("capsules", (keys,))?.extract())?;
        read(&capsules)
    }

    fn load(&mut self, sources: &[(MigrationId, String)]) -> Result<Vec<(MigrationId, String)>, RunnerError> {
        let sources: Vec<_> = sources.iter().map(|(migration, text)| (key(migration), text)).collect();
        let failed: Vec<((String, String), String)> =
            self.call(|runner| runner.call_method1("load", (sources,))?.extract())?;
        Ok(failed.into_iter().map(|(key, reason)| (MigrationId::from(key), reason)).collect())
    }

    fn effects(&mut self, plan: &Plan) -> Result<Vec<Effect>, RunnerError> {
        let effects: String = self.call(|runner| runner.call_method1("effects", keys(plan))?.extract())?;
        read(&effects)
    }

    fn prepare(&mut self, plan: &Plan) -> Result<(), RunnerError> {
        self.call(|runner| runner.call_method1("prepare", keys(plan)).map(|_| ()))
    }

    fn undo(&mut self, step: &Step) -> Result<(), RunnerError> {
        self.call(|runner| runner.call_method1("undo", key(&step.migration)).map(|_| ()))
    }

    fn apply(&mut self, migration: &MigrationId) -> Result<(), RunnerError> {
        self.call(|runner| runner.call_method1("apply", key(migration)).map(|_| ()))
    }

    fn finish(&mut self) -> Result<Vec<String>, RunnerError> {
        self.call(|runner| runner.call_method0("finish")?.extract())
    }
}

/// Migrations, as Django's loader names them.
type Keys = Vec<(String, String)>;

/// The migrations to undo, and those that stay.
fn keys(plan: &Plan) -> (Keys, Keys) {
    let steps = plan.steps.iter().filter(|step| step.way.undoes()).map(|step| key(&step.migration));
    (steps.collect(), plan.staying.iter().map(key).collect())
}

fn read<T: DeserializeOwned>(document: &str) -> Result<T, RunnerError> {
    serde_json::from_str(document)
        .map_err(|error| RunnerError { kind: DatabaseErrorKind::Other, message: error.to_string() })
}

fn key(migration: &MigrationId) -> (String, String) {
    (migration.app.clone(), migration.name.clone())
}
