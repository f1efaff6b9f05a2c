//! Rehearsing a rollback on a scratch copy: down step by step, up again, and the schema compared after each.

use std::time::{Duration, Instant};

use rollback_core::plan::{Step, Way};
use rollback_core::{MigrationId, Schema, schema};

use super::recorded::Recorded;
use super::{Prepared, operation, verify};
use crate::Actor;
use crate::error::EngineError;
use crate::lock::Claim;
use crate::ports::{Database, Purpose, Runner};
use crate::store::Store;

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
    /// How the schema differs from the one before, after down and up; empty where it does not.
    pub differences: Vec<String>,
}

/// Undoes the plan on a scratch copy, and applies it again. Fails where a step does, or where the schema at the bottom is
/// not the target's.
pub fn rehearse(
    scratch: &mut dyn Database,
    runner: &mut dyn Runner,
    prepared: &Prepared,
) -> Result<Vec<Rehearsed>, EngineError> {
    if !prepared.plan.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() });
    }
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
    fn down(&mut self) -> Result<(Vec<Schema>, Vec<Duration>), EngineError> {
        let (mut before, mut took) = (Vec::new(), Vec::new());
        let mut recorded = Recorded::default();
        if self.prepared.plan.needs_python() {
            self.store.begin(Purpose::Schema)?;
            let prepared = self.runner.prepare(&self.prepared.plan).map_err(EngineError::project);
            self.store.end(prepared)?;
        }
        for step in &self.prepared.plan.steps {
            before.push(self.read_schema()?);
            let begun = Instant::now();
            self.undo(step, &mut recorded)?;
            took.push(begun.elapsed());
        }
        self.store.begin(Purpose::Records)?;
        let verified = verify::verify(&mut self.store, &self.prepared.expected, &self.prepared.to);
        self.store.end(verified)?;
        Ok((before, took))
    }

    fn undo(&mut self, step: &Step, recorded: &mut Recorded) -> Result<(), EngineError> {
        let failed = |reason: String| EngineError::Rehearsal { step: step.migration.to_string(), reason };
        if step.outside_transaction.is_some() && step.way.needs_python() {
            self.runner.undo(step).map_err(|error| failed(error.message))?;
            self.store.begin(Purpose::Records)?;
            let unrecorded = self.write_records(step);
            return self.store.end(unrecorded);
        }
        self.store.begin(Purpose::Schema)?;
        let undone = match step.way {
            Way::Disk | Way::Capsule => self.runner.undo(step).map_err(|error| failed(error.message)),
            Way::Sql => {
                let statements = &self.prepared.recordings[&step.migration].statements;
                let ran = recorded.run(&mut self.store, statements);
                let ran = ran.and_then(|()| recorded.finish(&mut self.store));
                ran.map_err(|error| failed(error.message))
            }
            Way::Mark | Way::Unmark => Ok(()),
        };
        let undone = undone.and_then(|()| self.write_records(step));
        self.store.end(undone)
    }

    fn write_records(&mut self, step: &Step) -> Result<(), EngineError> {
        match step.way {
            Way::Mark => self.store.record(&step.migration),
            _ => step.rows.iter().try_for_each(|row| self.store.unrecord(row)),
        }
    }

    fn up(&mut self, before: &[Schema], downs: &[Duration]) -> Result<Vec<Rehearsed>, EngineError> {
        let mut rehearsed = Vec::new();
        for ((step, before), down) in self.prepared.plan.steps.iter().zip(before).zip(downs).rev() {
            if !step.way.undoes() {
                continue;
            }
            let begun = Instant::now();
            self.runner.apply(&step.migration).map_err(|error| EngineError::Rehearsal {
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

    fn read_schema(&mut self) -> Result<Schema, EngineError> {
        self.store.begin(Purpose::Records)?;
        let schema = self.store.read_schema();
        self.store.end(schema)
    }
}

/// Writes into history that this plan was rehearsed, and how that went.
pub fn keep_rehearsal(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
    problem: Option<&str>,
) -> Result<(), EngineError> {
    let mut store = Store::open(database)?;
    let mut operation = operation(prepared, actor);
    operation.kind = "rehearsal".to_owned();
    operation.outcome = if problem.is_none() { "done" } else { "failed" }.to_owned();
    operation.failed_step = problem.map(str::to_owned);
    operation.steps_done = if problem.is_none() { operation.steps.len() } else { 0 };
    operation.releases_removed = Vec::new();
    operation.lost_rows = None;
    operation.plan = Some(prepared.digest.clone());
    store.begin_locked(Purpose::Records, &Claim::new("rehearsal", actor, crate::lock::LOCK_TIMEOUT))?;
    let written = store.append_operation(&operation);
    store.end(written).map(drop)
}
