//! What history says of a rollback.

use rollback_core::{AppliedSet, CommitId};

use super::prepared::Prepared;
use crate::store::{Outcome, RollbackEvent, Route, Store, StoreError};

/// Where a plan goes.
pub(super) fn route(prepared: &Prepared) -> Route {
    Route {
        from: Some(prepared.from.commit.clone()),
        to: Some(prepared.to.commit.clone()),
        tags: prepared.to.tags.clone(),
        steps: prepared.plan.steps.iter().map(|step| step.migration.to_string()).collect(),
    }
}

/// The releases that leave the list, newest first.
pub(super) fn removed(prepared: &Prepared) -> Vec<CommitId> {
    prepared.removed.iter().map(|release| release.commit.clone()).collect()
}

/// How many rows and values there are to lose, if there are any.
pub(super) fn lost_rows(prepared: &Prepared) -> Option<i64> {
    Some(prepared.lost_rows()).filter(|rows| *rows > 0)
}

/// A rollback that begins.
pub(super) fn beginning(prepared: &Prepared) -> RollbackEvent {
    RollbackEvent {
        outcome: Outcome::Running,
        route: route(prepared),
        steps_done: 0,
        step_begun: false,
        failed_step: None,
        waits_until: None,
        from_set: None,
        to_set: None,
        releases_removed: removed(prepared),
        verified: None,
        lost_rows: lost_rows(prepared),
        token: None,
    }
}

/// A rollback that goes on: its first steps are permanent, and the others are those of the new plan.
pub(super) fn going_on(before: &RollbackEvent, prepared: &Prepared) -> RollbackEvent {
    let new = beginning(prepared);
    let mut steps: Vec<String> = before.route.steps.iter().take(before.steps_done).cloned().collect();
    steps.extend(new.route.steps.iter().cloned());
    RollbackEvent {
        route: Route { steps, ..new.route.clone() },
        steps_done: before.steps_done,
        step_begun: before.step_begun,
        from_set: before.from_set.clone(),
        ..new
    }
}

/// Behind the last step: the target becomes the current release, and keeps its set if 0.4.0 had saved it.
pub(super) fn close(
    store: &mut Store<'_>,
    prepared: &Prepared,
    event: &mut RollbackEvent,
) -> Result<(), StoreError> {
    let set = store.put_set(&prepared.target_set)?;
    store.adopt_release(prepared.to.id, Some(&set), &prepared.to.tags)?;
    store.remove_releases_after(prepared.to.id)?;
    let result = store.put_set(&prepared.plan.result)?;
    let before = store.put_set(&AppliedSet::of_rows(&prepared.rows))?;
    event.to_set = Some(result);
    event.from_set.get_or_insert(before);
    event.step_begun = false;
    event.outcome = Outcome::Done;
    Ok(())
}
