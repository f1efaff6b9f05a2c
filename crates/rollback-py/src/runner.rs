//! The engine's `Runner` over Django's executor.

use pyo3::prelude::*;
use rollback_core::{MigrationId, Plan, ProjectFacts, Step, Way};
use rollback_engine::ports::Runner;

use crate::errors::sentence;

/// Django's executor, held by the Python object `django_rollback.runner.Runner`.
pub(crate) struct DjangoRunner {
    python: Py<PyAny>,
}

impl DjangoRunner {
    pub(crate) fn new(runner: Bound<'_, PyAny>) -> Self {
        Self { python: runner.unbind() }
    }

    fn call<T>(&self, method: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, String> {
        Python::attach(|py| {
            let runner = self.python.bind(py);
            method(runner).map_err(|error| {
                let _ = runner.call_method1("failed", (error.value(py),));
                sentence(py, &error)
            })
        })
    }
}

impl Runner for DjangoRunner {
    fn facts(&mut self) -> Result<ProjectFacts, String> {
        let facts: String = self.call(|runner| runner.call_method0("facts")?.extract())?;
        serde_json::from_str(&facts).map_err(|error| error.to_string())
    }

    fn prepare(&mut self, plan: &Plan) -> Result<(), String> {
        let steps = plan.steps.iter().filter(|step| step.way == Way::Disk).map(|step| key(&step.migration));
        let kept = plan.kept.iter().map(key);
        let (steps, kept): (Vec<_>, Vec<_>) = (steps.collect(), kept.collect());
        self.call(|runner| runner.call_method1("prepare", (steps, kept)).map(|_| ()))
    }

    fn undo(&mut self, step: &Step) -> Result<(), String> {
        self.call(|runner| runner.call_method1("undo", key(&step.migration)).map(|_| ()))
    }

    fn finish(&mut self) -> Result<Vec<String>, String> {
        self.call(|runner| runner.call_method0("finish")?.extract())
    }
}

fn key(migration: &MigrationId) -> (String, String) {
    (migration.app.clone(), migration.name.clone())
}
