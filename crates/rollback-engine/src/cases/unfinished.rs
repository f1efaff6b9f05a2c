//! Rollbacks that did not come to their end: what a command that died has left behind, and what can be done about one
//! that stopped part-way.

use rollback_core::CommitId;

use super::error::CaseError;
use crate::actor::Actor;
use crate::dialect::{LOCK_TIMEOUT, LockRequest, SETTLE};
use crate::ports::{Database, Purpose};
use crate::store::{Event, Operation, Outcome, RecordedOperation, RollbackEvent, Store};

/// A rollback that stopped part-way: some of its steps are permanent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its number in history.
    pub(crate) id: i64,
    /// What history says of it.
    pub event: RollbackEvent,
}

impl Unfinished {
    /// Whether it was on its way to this commit.
    pub fn goes_to(&self, commit: &CommitId) -> bool {
        self.event.route.to.as_ref() == Some(commit)
    }

    /// The refusal of whatever else is asked for meanwhile.
    pub(crate) fn refusal(&self) -> CaseError {
        let RollbackEvent { route, steps_done, .. } = &self.event;
        let to = route.to.as_ref().map_or_else(String::new, |to| to.short().to_owned());
        CaseError::Unfinished { to, done: *steps_done, total: route.steps.len() }
    }
}

/// The rollback that stopped part-way, if the last one did.
pub(crate) fn unfinished(store: &mut Store<'_>) -> Result<Option<Unfinished>, CaseError> {
    Ok(match store.stopped_rollback()? {
        Some((id, Operation { event: Event::Rollback(event), .. })) => Some(Unfinished { id, event }),
        _ => None,
    })
}

/// Refuses what makes no sense while a rollback is part-way.
pub(crate) fn refuse_unfinished(store: &mut Store<'_>) -> Result<(), CaseError> {
    unfinished(store)?.map_or(Ok(()), |unfinished| Err(unfinished.refusal()))
}

/// The rollback that can be resumed.
pub fn to_resume(database: &mut dyn Database) -> Result<Unfinished, CaseError> {
    unfinished(&mut Store::open(database)?)?.ok_or(CaseError::NothingUnfinished)
}

/// Closes a rollback that stopped part-way and leaves the database where it is. Nothing permanent is taken back: what
/// was dropped is gone, and `migrate` applies migrations again.
pub fn abort(database: &mut dyn Database, actor: &Actor) -> Result<RollbackEvent, CaseError> {
    let mut store = Store::open(database)?;
    store.session.begin_locked(Purpose::Records, &LockRequest::new("abort", actor, LOCK_TIMEOUT))?;
    let closed = close(&mut store);
    store.session.end(closed)
}

fn close(store: &mut Store<'_>) -> Result<RollbackEvent, CaseError> {
    let (id, mut operation) = store.stopped_rollback()?.ok_or(CaseError::NothingUnfinished)?;
    let Event::Rollback(event) = &mut operation.event else { return Err(CaseError::NothingUnfinished) };
    event.outcome = Outcome::Aborted;
    let closed = event.clone();
    store.update_operation(id, &operation)?;
    Ok(closed)
}

/// Settles what dead commands have left behind, and returns what became of them. An operation that says that it is on
/// its way while nobody holds the lock is dead: the database has taken its transaction back.
///
/// If nothing can be written here, or another session is at work, the asking command goes on; a signal ends it.
pub fn settle(database: &mut dyn Database, actor: &Actor) -> Result<Vec<Operation>, CaseError> {
    match settle_what_is_left(database, actor) {
        Err(error) if error.signal().is_none() => Ok(Vec::new()),
        settled => settled,
    }
}

fn settle_what_is_left(database: &mut dyn Database, actor: &Actor) -> Result<Vec<Operation>, CaseError> {
    let mut store = Store::open(database)?;
    if left_behind(&mut store)?.is_empty() {
        return Ok(Vec::new());
    }
    store.session.begin_locked(Purpose::Records, &LockRequest::new(SETTLE, actor, LOCK_TIMEOUT))?;
    let settled = settle_all(&mut store);
    store.session.end(settled)
}

fn settle_all(store: &mut Store<'_>) -> Result<Vec<Operation>, CaseError> {
    let mut settled = Vec::new();
    for (id, mut operation) in left_behind(store)? {
        if let Event::Rollback(event) = &mut operation.event {
            let is_unchanged = event.steps_done == 0 && !event.step_begun;
            event.outcome = if is_unchanged { Outcome::Interrupted } else { Outcome::Stopped };
        }
        store.update_operation(id, &operation)?;
        settled.push(operation);
    }
    Ok(settled)
}

/// The operations that are on their way, except for those that wait for others: these do not hold the lock between two
/// tries.
fn left_behind(store: &mut Store<'_>) -> Result<Vec<(i64, Operation)>, CaseError> {
    let running = store.running_operations()?;
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let now = store.session.clock(0)?;
    let is_dead = |operation: &Operation| match &operation.event {
        Event::Rollback(RollbackEvent { waits_until: Some(until), .. }) => *until < now,
        _ => true,
    };
    let running = running.into_iter().map(|RecordedOperation { id, operation, .. }| (id, operation));
    Ok(running.filter(|(_, operation)| is_dead(operation)).collect())
}
