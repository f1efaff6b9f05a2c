//! Applying a step: the one place that does, for a rollback, a script and a rehearsal.

use std::collections::BTreeMap;

use rollback_core::plan::{Step, Way};
use rollback_core::{Effect, MigrationId, NewCapsule, Plan, ProjectFacts, Recording};

use crate::dialect::Pending;
use crate::ports::{DatabaseError, DatabaseErrorKind, Runner, RunnerError};
use crate::session::SessionError;
use crate::store::{Store, StoreError};

/// The SQL of the steps that have it recorded.
pub(super) type Recordings = BTreeMap<MigrationId, Recording>;

/// Applies steps, one after the other.
pub(super) struct Steps<'s> {
    recordings: &'s Recordings,
    /// Whether constraints that the last steps may violate were not checked yet.
    pending: Pending,
}

impl<'s> Steps<'s> {
    /// Steps that take their SQL from here.
    pub(super) fn new(recordings: &'s Recordings) -> Self {
        Self { recordings, pending: Pending::default() }
    }

    /// Undoes the migration of a step if it undoes one, and changes the rows of `django_migrations`.
    pub(super) fn apply(
        &mut self,
        store: &mut Store<'_>,
        runner: &mut dyn Runner,
        step: &Step,
    ) -> Result<(), RunnerError> {
        match step.way {
            Way::Disk | Way::Capsule => runner.undo(step)?,
            Way::Sql => self.run_recorded(store, step).map_err(as_runner_error)?,
            Way::Mark | Way::Unmark => {}
        }
        write_rows(store, step).map_err(stored_as_runner_error)
    }

    fn run_recorded(&mut self, store: &mut Store<'_>, step: &Step) -> Result<(), DatabaseError> {
        let statements = &self.recordings[&step.migration].statements;
        store.session.run_recorded(statements, &mut self.pending)
    }

    /// Behind the last step of a transaction: checks that no constraint is violated.
    pub(super) fn finish(&mut self, store: &mut Store<'_>) -> Result<(), RunnerError> {
        store.session.finish_recorded(&mut self.pending).map_err(as_runner_error)
    }
}

/// Changes the rows of `django_migrations` as a step says.
pub(super) fn write_rows(store: &mut Store<'_>, step: &Step) -> Result<(), StoreError> {
    match step.way {
        Way::Mark => store.mark(&step.migration),
        _ => step.rows.iter().try_for_each(|row| store.unmark(row)),
    }
}

fn as_runner_error(error: DatabaseError) -> RunnerError {
    RunnerError { kind: error.kind, message: error.message }
}

fn stored_as_runner_error(error: StoreError) -> RunnerError {
    match error {
        StoreError::Session(SessionError::Database { error, .. }) => as_runner_error(error),
        other => RunnerError { kind: DatabaseErrorKind::Other, message: other.to_string() },
    }
}

/// Takes the place of Django where no code of the project has to run: only rows and recorded SQL.
pub(super) struct NoRunner;

fn no_django<T>() -> Result<T, RunnerError> {
    Err(RunnerError { kind: DatabaseErrorKind::Other, message: "this door has no Django".to_owned() })
}

impl Runner for NoRunner {
    fn facts(&mut self) -> Result<ProjectFacts, RunnerError> {
        no_django()
    }

    fn capsules(&mut self, _: &[MigrationId]) -> Result<Vec<NewCapsule>, RunnerError> {
        no_django()
    }

    fn load(&mut self, _: &[(MigrationId, String)]) -> Result<Vec<(MigrationId, String)>, RunnerError> {
        no_django()
    }

    fn effects(&mut self, _: &Plan) -> Result<Vec<Effect>, RunnerError> {
        no_django()
    }

    fn prepare(&mut self, _: &Plan) -> Result<(), RunnerError> {
        no_django()
    }

    fn undo(&mut self, _: &Step) -> Result<(), RunnerError> {
        no_django()
    }

    fn apply(&mut self, _: &MigrationId) -> Result<(), RunnerError> {
        no_django()
    }

    fn finish(&mut self) -> Result<Vec<String>, RunnerError> {
        Ok(Vec::new())
    }
}
