//! Rollbacks that did not come to their end: what a command that died has left behind, and what can be done about one
//! that stopped part-way.

use rollback_core::CommitId;

use crate::Actor;
use crate::error::EngineError;
use crate::lock::{Claim, LOCK_TIMEOUT, SETTLE};
use crate::ports::{Database, Purpose};
use crate::store::{Operation, RecordedOperation, Store};

/// A rollback that stopped part-way: some of its steps are permanent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its number in history.
    pub(super) id: i64,
    /// What history says of it.
    pub operation: Operation,
}

impl Unfinished {
    /// Whether it was on its way to this commit.
    pub fn goes_to(&self, commit: &CommitId) -> bool {
        self.operation.to.as_ref() == Some(commit)
    }

    pub(super) fn refusal(&self) -> EngineError {
        let to = self.operation.to.as_ref().map_or_else(String::new, |to| to.short().to_owned());
        EngineError::Open { to, done: self.operation.steps_done, total: self.operation.steps.len() }
    }
}

/// The rollback that stopped part-way, if the last one did.
pub(super) fn unfinished(store: &mut Store<'_>) -> Result<Option<Unfinished>, EngineError> {
    Ok(store.stopped_rollback()?.map(|RecordedOperation { id, operation, .. }| Unfinished { id, operation }))
}

/// Refuses what makes no sense while a rollback is part-way.
pub(crate) fn refuse_open(store: &mut Store<'_>) -> Result<(), EngineError> {
    unfinished(store)?.map_or(Ok(()), |unfinished| Err(unfinished.refusal()))
}

/// The rollback that can be resumed.
pub fn to_resume(database: &mut dyn Database) -> Result<Unfinished, EngineError> {
    unfinished(&mut Store::open(database)?)?.ok_or(EngineError::NothingOpen)
}

/// Closes a rollback that stopped part-way and leaves the database where it is. Nothing that is permanent is taken
/// back: what was dropped is gone, and applying a migration again is `migrate`'s.
pub fn abort(database: &mut dyn Database, actor: &Actor) -> Result<Operation, EngineError> {
    let mut store = Store::open(database)?;
    store.begin_locked(Purpose::Records, &Claim::new("abort", actor, LOCK_TIMEOUT))?;
    let closed = close(&mut store);
    store.end(closed)
}

fn close(store: &mut Store<'_>) -> Result<Operation, EngineError> {
    let Unfinished { id, mut operation } = unfinished(store)?.ok_or(EngineError::NothingOpen)?;
    operation.outcome = "aborted".to_owned();
    store.update_operation(id, &operation)?;
    Ok(operation)
}

/// Settles what commands that died have left behind, and returns what that came to. An operation that says that it is
/// on its way while nobody holds the lock is not: its transaction is the database's to take back, and it did.
///
/// That nothing can be written here, or that somebody is at work, is no failure of the command that asks; a signal is.
pub fn settle(database: &mut dyn Database, actor: &Actor) -> Result<Vec<Operation>, EngineError> {
    match settle_what_is_left(database, actor) {
        Err(error) if error.signal().is_none() => Ok(Vec::new()),
        settled => settled,
    }
}

fn settle_what_is_left(database: &mut dyn Database, actor: &Actor) -> Result<Vec<Operation>, EngineError> {
    let mut store = Store::open(database)?;
    if left_behind(&mut store)?.is_empty() {
        return Ok(Vec::new());
    }
    store.begin_locked(Purpose::Records, &Claim::new(SETTLE, actor, LOCK_TIMEOUT))?;
    let settled = settle_all(&mut store);
    store.end(settled)
}

fn settle_all(store: &mut Store<'_>) -> Result<Vec<Operation>, EngineError> {
    let mut settled = Vec::new();
    for RecordedOperation { id, mut operation, .. } in left_behind(store)? {
        let unchanged = operation.steps_done == 0 && !operation.step_begun;
        operation.outcome = if unchanged { "interrupted" } else { "stopped" }.to_owned();
        store.update_operation(id, &operation)?;
        settled.push(operation);
    }
    Ok(settled)
}

/// The operations that are on their way, but for those that wait for others: nobody holds the lock between two tries.
fn left_behind(store: &mut Store<'_>) -> Result<Vec<RecordedOperation>, EngineError> {
    let mut running = store.running_operations()?;
    if !running.is_empty() {
        let now = store.clock(0)?;
        running.retain(|recorded| recorded.operation.waits_until.as_ref().is_none_or(|until| *until < now));
    }
    Ok(running)
}
