//! Rehearsing a rollback on a scratch copy: down step by step, up again, and the schema compared after each.

use std::time::{Duration, Instant};

use rollback_core::plan::{Step, Way};
use rollback_core::{MigrationId, Schema, schema};

use super::error::RollbackError;
use super::prepared::Prepared;
use super::steps::{Steps, write_rows};
use super::{record, verify};
use crate::actor::Actor;
use crate::dialect::{LOCK_TIMEOUT, LockRequest};
use crate::ports::{Database, Purpose, Runner, RunnerError};
use crate::store::{Event, Operation, RehearsalEvent, Store};

/// One step, down and up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// The migration.
    pub migration: MigrationId,
    /// The way down.
    pub way: Way,
    /// How long it took to undo it.
    pub down: Duration,
    /// How long it took to apply it again.
    pub up: Duration,
    /// How the schema differs from the one before, after down and up; empty if it does not.
    pub differences: Vec<String>,
}

/// Undoes the plan on a scratch copy, and applies it again. Fails where a step does, or where the schema at the bottom is
/// not the target's.
pub fn rehearse(
    scratch: &mut dyn Database,
    runner: &mut dyn Runner,
    prepared: &Prepared,
) -> Result<Vec<Rehearsed>, RollbackError> {
    prepared.check_blockers()?;
    let mut rehearsal = Rehearsal { store: Store::open(scratch)?, runner, prepared };
    let (before, downs) = rehearsal.down()?;
    rehearsal.up(&before, &downs)
}

struct Rehearsal<'r> {
    store: Store<'r>,
    runner: &'r mut dyn Runner,
    prepared: &'r Prepared,
}

impl Rehearsal<'_> {
    /// The schema before each step, and how long each took.
    fn down(&mut self) -> Result<(Vec<Schema>, Vec<Duration>), RollbackError> {
        let (mut before, mut took) = (Vec::new(), Vec::new());
        let mut steps = Steps::new(&self.prepared.recordings);
        if self.prepared.plan.needs_python() {
            self.store.session.begin(Purpose::Schema)?;
            let prepared = self.runner.prepare(&self.prepared.plan).map_err(RollbackError::project);
            self.store.session.end(prepared)?;
        }
        for step in &self.prepared.plan.steps {
            before.push(self.read_schema()?);
            let begun = Instant::now();
            self.undo(step, &mut steps)?;
            took.push(begun.elapsed());
        }
        self.store.session.begin(Purpose::Records)?;
        let verified = verify::verify(&mut self.store, &self.prepared.expected, &self.prepared.to);
        self.store.session.end(verified)?;
        Ok((before, took))
    }

    fn undo(&mut self, step: &Step, steps: &mut Steps<'_>) -> Result<(), RollbackError> {
        let failed = |error: RunnerError| RollbackError::Rehearsal {
            step: step.migration.to_string(),
            reason: error.message,
        };
        if step.outside_transaction.is_some() && step.way.needs_python() {
            self.runner.undo(step).map_err(failed)?;
            self.store.session.begin(Purpose::Records)?;
            let written = write_rows(&mut self.store, step);
            return Ok(self.store.session.end(written)?);
        }
        self.store.session.begin(Purpose::Schema)?;
        let applied = steps.apply(&mut self.store, self.runner, step);
        let checked = applied.and_then(|()| match step.way {
            Way::Sql => steps.finish(&mut self.store),
            _ => Ok(()),
        });
        self.store.session.end(checked.map_err(failed))
    }

    fn up(&mut self, before: &[Schema], downs: &[Duration]) -> Result<Vec<Rehearsed>, RollbackError> {
        let mut rehearsed = Vec::new();
        for ((step, before), down) in self.prepared.plan.steps.iter().zip(before).zip(downs).rev() {
            if !step.way.undoes() {
                continue;
            }
            let begun = Instant::now();
            self.runner.apply(&step.migration).map_err(|error| RollbackError::Rehearsal {
                step: step.migration.to_string(),
                reason: format!("applied again, {}", error.message),
            })?;
            let up = begun.elapsed();
            let differences = schema::describe(&before.differences(&self.read_schema()?));
            rehearsed.push(Rehearsed {
                migration: step.migration.clone(),
                way: step.way,
                down: *down,
                up,
                differences,
            });
        }
        Ok(rehearsed)
    }

    fn read_schema(&mut self) -> Result<Schema, RollbackError> {
        self.store.session.begin(Purpose::Records)?;
        let schema = self.store.read_schema();
        Ok(self.store.session.end(schema)?)
    }
}

/// Writes into history that this plan was rehearsed, and how that went.
pub fn keep_rehearsal(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
    problem: Option<&str>,
) -> Result<(), RollbackError> {
    let mut store = Store::open(database)?;
    let event = RehearsalEvent {
        route: record::route(prepared),
        plan: Some(prepared.digest.clone()),
        problem: problem.map(str::to_owned),
    };
    let request = LockRequest::new("rehearsal", actor, LOCK_TIMEOUT);
    store.session.begin_locked(Purpose::Records, &request)?;
    let written = store.write_operation(&Operation::new(Event::Rehearsal(event), actor));
    Ok(store.session.end(written)?)
}
