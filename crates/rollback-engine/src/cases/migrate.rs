//! The lock over `manage.py migrate`: it takes its turn with saves and rollbacks, and a plan that a rollback has
//! made stale meanwhile does not run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rollback_core::{AppliedSet, MigrationId, NewCapsule};

use super::error::CaseError;
use super::releases;
use crate::actor::Actor;
use crate::dialect::{LOCK_TIMEOUT, LockRequest};
use crate::ports::{Database, Purpose};
use crate::session::{LockHolder, Session, SessionError};
use crate::store::{Keyring, Store, StoreError, applied, capsules};

/// One migration in the plan of a `migrate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The migration.
    pub migration: MigrationId,
    /// Whether it is to be undone.
    pub backwards: bool,
    /// What it depends on, each with what it replaces.
    pub parents: Vec<(MigrationId, Vec<MigrationId>)>,
}

/// How long a `migrate` waits for its turn, and how long it pauses between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(300);

/// Takes the lock for a `migrate`, and checks that its plan still fits what is applied. Before our own tables are there,
/// there is nothing to lock, and nothing is returned.
///
/// `wait` is told who is in the way, and waits; it fails with the number of a signal.
pub fn lock(
    database: &mut dyn Database,
    planned: &[Planned],
    actor: &Actor,
    wait: &mut dyn FnMut(&str, Duration) -> Result<(), i32>,
) -> Result<Option<LockHolder>, CaseError> {
    if !has_lock(database)? {
        return Ok(None);
    }
    let request = LockRequest::new("migrate", actor, LOCK_TIMEOUT);
    let started = Instant::now();
    let holder = loop {
        match LockHolder::take(database, &request) {
            Err(SessionError::Locked { holder, .. }) if started.elapsed() < PATIENCE => {
                let who = holder.unwrap_or_default().to_string();
                wait(&who, PAUSE).map_err(|signal| CaseError::Interrupted { signal })?;
            }
            taken => break taken?,
        }
    };
    check(planned, &applied(database)?)?;
    // A migrate does not fail because something could not be remembered.
    let _ = remember_schema(database);
    Ok(Some(holder))
}

/// Whether the table of the lock exists.
fn has_lock(database: &mut dyn Database) -> Result<bool, CaseError> {
    let mut session = Session::new(database);
    Ok(!session.query(session.rules().has_lock_table(), &[])?.is_empty())
}

/// Every migration to apply is not applied, and what it depends on is or will be; every one to undo is applied.
fn check(planned: &[Planned], applied: &AppliedSet) -> Result<(), CaseError> {
    let mut before: BTreeSet<&MigrationId> = BTreeSet::new();
    for Planned { migration, backwards, parents } in planned {
        let stale = |migration: &MigrationId, is_applied| {
            Err(CaseError::StaleMigrate { migration: migration.clone(), is_applied })
        };
        let is_applied = applied.contains(migration);
        if is_applied != *backwards {
            return stale(migration, is_applied);
        }
        let is_there = |(parent, replaced): &&(MigrationId, Vec<MigrationId>)| {
            before.contains(parent)
                || applied.contains(parent)
                || (!replaced.is_empty() && replaced.iter().all(|each| applied.contains(each)))
        };
        if !backwards && let Some((missing, _)) = parents.iter().find(|parent| !is_there(parent)) {
            return stale(missing, false);
        }
        before.insert(migration);
    }
    Ok(())
}

/// Whether a release was saved: then what undoes a migration is worth recording.
pub fn has_releases(database: &mut dyn Database) -> Result<bool, CaseError> {
    if !has_lock(database)? {
        return Ok(false);
    }
    match Store::open(database) {
        Ok(mut store) => Ok(!store.releases()?.is_empty()),
        Err(StoreError::NotInstalled { .. } | StoreError::NewerTables { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Keeps what a `migrate` has recorded about the migrations that it has applied.
pub fn keep(database: &mut dyn Database, keys: &Keyring, new: &[NewCapsule]) -> Result<(), CaseError> {
    let mut store = Store::open(database)?;
    store.session.begin(Purpose::Records)?;
    let kept = new.iter().try_for_each(|new| capsules::put(&mut store, keys, new));
    Ok(store.session.end(kept)?)
}

/// The current release has this schema at its end: what somebody changed by hand since it was saved is in it, and
/// going back to it will not call that a fault.
fn remember_schema(database: &mut dyn Database) -> Result<(), CaseError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let rows = store.applied_rows()?;
    let Some(current) = stored.first() else { return Ok(()) };
    if current.schema.is_none()
        || releases::readable_set(&mut store, current, &rows)? != Some(AppliedSet::of_rows(&rows))
    {
        return Ok(());
    }
    let schema = store.look(Store::read_schema)?;
    let known = current.final_schema.as_ref().or(current.schema.as_ref());
    if known == Some(&schema.encode().hash) {
        return Ok(());
    }
    store.session.begin(Purpose::Records)?;
    let written =
        store.put_schema(&schema).and_then(|hash| store.set_final_schema(current.release.id, &hash));
    Ok(store.session.end(written)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> MigrationId {
        MigrationId::new("a", name)
    }

    fn planned(line: &str) -> Planned {
        let mut words = line.split_whitespace();
        let name = words.next().expect("a name");
        let parent = |word: &str| match word.split_once('=') {
            Some((parent, replaced)) => (id(parent), replaced.split('+').map(id).collect()),
            None => (id(word), Vec::new()),
        };
        Planned {
            migration: id(name.trim_start_matches('-')),
            backwards: name.starts_with('-'),
            parents: words.map(parent).collect(),
        }
    }

    #[test]
    fn a_plan_that_no_longer_fits_is_refused() {
        for (plan, applied, stale) in [
            ("2 1|3 2", "1", None),
            ("2 1|3 2", "", Some("1")),
            ("2 1|3 2", "1 2", Some("2")),
            ("3 2", "1", Some("2")),
            ("3 s=1+2", "1 2", None),
            ("3 s=1+2", "1", Some("s")),
            ("-3 2|-2 1", "1 2 3", None),
            ("-3 2|-2 1", "1 2", Some("3")),
        ] {
            let planned: Vec<Planned> = plan.split('|').map(planned).collect();
            let applied: AppliedSet = applied.split_whitespace().map(id).collect();
            let found = match check(&planned, &applied) {
                Err(CaseError::StaleMigrate { migration, .. }) => Some(migration.name),
                _ => None,
            };
            assert_eq!(found.as_deref(), stale, "{plan}");
        }
    }
}
