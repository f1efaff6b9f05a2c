//! Standing guard over `manage.py migrate`: it takes its turn with saves and rollbacks, and a plan that a rollback has
//! made stale meanwhile does not run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rollback_core::{AppliedSet, MigrationId, NewCapsule};

use crate::Actor;
use crate::capsules;
use crate::error::EngineError;
use crate::guard::Guard;
use crate::lock::{Claim, LOCK_TIMEOUT};
use crate::ports::{Database, Dialect, Purpose};
use crate::releases;
use crate::signature::Keyring;
use crate::store::{self, Store};

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
/// there is nothing to guard, and nothing is returned.
///
/// `wait` is told who is in the way, and waits; it fails with the number of a signal.
pub fn guard(
    database: &mut dyn Database,
    planned: &[Planned],
    actor: &Actor,
    wait: &mut dyn FnMut(&str, Duration) -> Result<(), i32>,
) -> Result<Option<Guard>, EngineError> {
    if !has_lock(database)? {
        return Ok(None);
    }
    let claim = Claim::new("migrate", actor, LOCK_TIMEOUT);
    let started = Instant::now();
    let guard = loop {
        match Guard::take(database, &claim) {
            Err(EngineError::Locked { holder, .. }) if started.elapsed() < PATIENCE => {
                let who = holder.unwrap_or_default().to_string();
                wait(&who, PAUSE).map_err(|signal| EngineError::Interrupted { signal })?;
            }
            taken => break taken?,
        }
    };
    check(planned, &store::applied(database)?)?;
    // A migrate does not fail because something could not be remembered.
    let _ = remember_schema(database);
    Ok(Some(guard))
}

/// Asked without an error: an error would break the transaction of whoever is in one.
fn has_lock(database: &mut dyn Database) -> Result<bool, EngineError> {
    let sql = match database.dialect() {
        Dialect::Sqlite => {
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'django_rollback_lock'"
        }
        Dialect::Postgres => "SELECT 1 WHERE to_regclass('django_rollback_lock') IS NOT NULL",
    };
    let rows = database.query(sql, &[]);
    let name = database.name();
    rows.map(|rows| !rows.is_empty()).map_err(|error| EngineError::Database { database: name, error })
}

/// Every migration to apply is not applied, and what it depends on is or will be; every one to undo is applied.
fn check(planned: &[Planned], applied: &AppliedSet) -> Result<(), EngineError> {
    let mut before: BTreeSet<&MigrationId> = BTreeSet::new();
    for Planned { migration, backwards, parents } in planned {
        let stale = |migration: &MigrationId, is_applied| {
            Err(EngineError::StaleMigrate { migration: migration.clone(), is_applied })
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
pub fn has_releases(database: &mut dyn Database) -> Result<bool, EngineError> {
    if !has_lock(database)? {
        return Ok(false);
    }
    match Store::open(database) {
        Ok(mut store) => Ok(!store.releases()?.is_empty()),
        Err(EngineError::NotInstalled { .. } | EngineError::NewerTables { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps what a `migrate` has recorded about the migrations that it has applied.
pub fn keep(database: &mut dyn Database, keys: &Keyring, new: &[NewCapsule]) -> Result<(), EngineError> {
    let mut store = Store::open(database)?;
    store.begin(Purpose::Records)?;
    let kept = new.iter().try_for_each(|new| capsules::put(&mut store, keys, new));
    store.end(kept)
}

/// The current release has this schema at its end: what somebody changed by hand since it was saved is in it, and
/// going back to it will not call that a fault.
fn remember_schema(database: &mut dyn Database) -> Result<(), EngineError> {
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
    store.begin(Purpose::Records)?;
    let written =
        store.put_schema(&schema).and_then(|hash| store.set_final_schema(current.release.id, &hash));
    store.end(written)
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
                Err(EngineError::StaleMigrate { migration, .. }) => Some(migration.name),
                _ => None,
            };
            assert_eq!(found.as_deref(), stale, "{plan}");
        }
    }
}
