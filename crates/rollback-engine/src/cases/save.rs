//! Saving a release: recording which migrations belong to the deployed commit.

use rollback_core::legacy::newest_per_app;
use rollback_core::{APP_LABEL, AppliedRow, AppliedSet, CommitId, MigrationId, NewCapsule, Release};

use super::error::CaseError;
use super::releases;
use super::unfinished::refuse_unfinished;
use crate::actor::Actor;
use crate::dialect::{LOCK_TIMEOUT, LockRequest};
use crate::ports::{Database, DatabaseErrorKind, Purpose, Runner};
use crate::session::SessionError;
use crate::store::{
    Event, Keyring, Listed, NewRelease, Operation, SetSource, Store, StoredRelease, capsules,
};

/// What to save.
#[derive(Clone, Copy)]
pub struct SaveRequest<'a> {
    /// The deployed commit.
    pub commit: &'a CommitId,
    /// Its tags.
    pub tags: &'a [String],
    /// Who saves it.
    pub actor: &'a Actor,
    /// The keys that sign what is kept; `None` if this door has no secret.
    pub keys: &'a Keyring,
    /// The tags that git has now, with their commits: asked for releases of 0.4.0, which stored none.
    pub tags_in_git: &'a dyn Fn() -> Vec<(String, CommitId)>,
}

/// What a save came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The release.
    pub release: Release,
    /// What is applied now.
    pub applied: AppliedSet,
    /// What the save did.
    pub outcome: SaveOutcome,
    /// The release before it in the list, if there is one.
    pub previous: Option<Release>,
}

/// What a save did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// A new release is at the end of the list.
    Created,
    /// It was saved already, with the same migrations and tags.
    Unchanged,
    /// It was saved already, and now has other migrations or more tags.
    Updated {
        /// Migrations that it did not have.
        added: Vec<MigrationId>,
        /// Migrations that it had.
        removed: Vec<MigrationId>,
        /// Tags that it did not have.
        tags: Vec<String>,
    },
    /// It was saved already and is not the newest release: nothing was changed.
    NotNewest {
        /// The newest release.
        newest: Release,
        /// Whether what is applied now is what was applied when this commit was saved.
        same_set: bool,
    },
}

/// Saves a release. Saving the same again changes nothing.
///
/// A `runner`, if there is one, is asked for what there is to keep of migrations of which nothing is kept yet.
pub fn save(
    database: &mut dyn Database,
    runner: Option<&mut (dyn Runner + 'static)>,
    request: &SaveRequest<'_>,
) -> Result<Saved, CaseError> {
    let mut store = Store::open(database)?;
    refuse_unfinished(&mut store)?;
    let rows = store.applied_rows()?;
    let unknown = match runner {
        Some(runner) => what_to_keep(&mut store, runner, &rows)?,
        None => Vec::new(),
    };
    let known = store.releases()?;
    let legacy = known.iter().any(StoredRelease::is_original);
    let first_look = decide(&mut store, request, &rows, &known)?;
    let applied = AppliedSet::of_rows(&rows);
    if unknown.is_empty()
        && !legacy
        && is_listed(&mut store, request.keys, known.first(), &applied)?
        && known.first().is_some_and(|newest| newest.schema.is_some())
        && matches!(first_look, SaveOutcome::Unchanged | SaveOutcome::NotNewest { .. })
    {
        return Ok(saved(request, &rows, &known, first_look));
    }
    let lock = LockRequest::new("save", request.actor, LOCK_TIMEOUT);
    store.session.begin_locked_patiently(Purpose::Records, &lock)?;
    let written = write(&mut store, request, &unknown);
    match store.session.end(written) {
        // Was the commit still there in time? Saving the same again changes nothing, so the question answers itself.
        Err(error)
            if error.session().and_then(SessionError::kind) == Some(DatabaseErrorKind::Unreachable) =>
        {
            store.session.reconnect()?;
            store.session.begin_locked_patiently(Purpose::Records, &lock)?;
            let written = write(&mut store, request, &unknown);
            store.session.end(written)
        }
        ended => ended,
    }
}

/// Under the lock: looks again, then writes.
fn write(
    store: &mut Store<'_>,
    request: &SaveRequest<'_>,
    unknown: &[NewCapsule],
) -> Result<Saved, CaseError> {
    for new in unknown {
        capsules::put(store, request.keys, new)?;
    }
    let rows = store.applied_rows()?;
    let mut known = store.releases()?;
    if known.iter().any(StoredRelease::is_original) {
        releases::adopt(store, &rows, &(request.tags_in_git)(), request.commit)?;
        known = store.releases()?;
    }
    let outcome = decide(store, request, &rows, &known)?;
    let applied = AppliedSet::of_rows(&rows);
    match &outcome {
        SaveOutcome::NotNewest { .. } => {}
        SaveOutcome::Unchanged => {
            if known[0].schema.is_none() {
                let schema = current_schema(store)?;
                store.set_schema(known[0].release.id, &schema)?;
            }
        }
        SaveOutcome::Created => {
            let (set, schema) = (store.put_set(&applied)?, current_schema(store)?);
            store.insert_release(&new_release(request.commit, request.tags, &set, &schema, &rows))?;
            store.append_operation(&operation(request, request.tags, &known, set))?;
        }
        SaveOutcome::Updated { .. } => {
            let (set, schema) = (store.put_set(&applied)?, current_schema(store)?);
            let tags = releases::all_tags(&known[0].release.tags, request.tags);
            let release = new_release(request.commit, &tags, &set, &schema, &rows);
            store.update_release(known[0].release.id, &release)?;
            store.append_operation(&operation(request, &tags, &known, set))?;
        }
    }
    let known = store.releases()?;
    if let Some(current) = known.first()
        && !matches!(outcome, SaveOutcome::NotNewest { .. })
        && !is_listed(store, request.keys, Some(current), &applied)?
    {
        capsules::set_manifest(store, request.keys, current, &applied)?;
    }
    Ok(saved(request, &rows, &known, outcome))
}

fn new_release<'a>(
    commit: &'a CommitId,
    tags: &'a [String],
    set: &'a str,
    schema: &'a str,
    rows: &[AppliedRow],
) -> NewRelease<'a> {
    NewRelease { commit, tags, set, schema, newest_per_app: newest_per_app(rows) }
}

/// Stores the schema of now, and returns its content address.
fn current_schema(store: &mut Store<'_>) -> Result<String, CaseError> {
    let schema = store.read_schema()?;
    Ok(store.put_schema(&schema)?)
}

/// What saving comes to, given what is there.
fn decide(
    store: &mut Store<'_>,
    request: &SaveRequest<'_>,
    rows: &[AppliedRow],
    known: &[StoredRelease],
) -> Result<SaveOutcome, CaseError> {
    let Some(place) = known.iter().position(|release| release.release.commit == *request.commit) else {
        return Ok(SaveOutcome::Created);
    };
    let applied = AppliedSet::of_rows(rows);
    let same_set =
        matches!(&known[place].set, SetSource::Stored { hash, .. } if *hash == applied.encode().hash);
    if place > 0 {
        return Ok(SaveOutcome::NotNewest { newest: known[0].release.clone(), same_set });
    }
    let had = &known[0].release.tags;
    let tags: Vec<String> = request.tags.iter().filter(|tag| !had.contains(tag)).cloned().collect();
    if same_set && tags.is_empty() && releases::readable_set(store, &known[0], rows)?.is_some() {
        return Ok(SaveOutcome::Unchanged);
    }
    let (added, removed) = difference(store, &known[0], rows)?;
    Ok(SaveOutcome::Updated { added, removed, tags })
}

/// What the release did not have, and what it had. A damaged set is about to be replaced, so it does not matter here.
fn difference(
    store: &mut Store<'_>,
    release: &StoredRelease,
    rows: &[AppliedRow],
) -> Result<(Vec<MigrationId>, Vec<MigrationId>), CaseError> {
    let Some(before) = releases::readable_set(store, release, rows)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let now = AppliedSet::of_rows(rows);
    Ok((now.minus(&before).cloned().collect(), before.minus(&now).cloned().collect()))
}

fn saved(
    request: &SaveRequest<'_>,
    rows: &[AppliedRow],
    known: &[StoredRelease],
    outcome: SaveOutcome,
) -> Saved {
    let place =
        known.iter().position(|release| release.release.commit == *request.commit).unwrap_or_default();
    Saved {
        release: known[place].release.clone(),
        applied: AppliedSet::of_rows(rows),
        outcome,
        previous: known.get(place + 1).map(|release| release.release.clone()),
    }
}

fn operation(request: &SaveRequest<'_>, tags: &[String], known: &[StoredRelease], set: String) -> Operation {
    let before = known.first();
    let listed = Listed {
        from: before.map(|release| release.release.commit.clone()),
        to: Some(request.commit.clone()),
        tags: tags.to_vec(),
        from_set: before.and_then(|release| release.set_hash().map(str::to_owned)),
        to_set: Some(set),
    };
    Operation::new(Event::Save(listed), request.actor)
}

/// Whether the current release has the list of its capsules.
fn is_listed(
    store: &mut Store<'_>,
    keys: &Keyring,
    current: Option<&StoredRelease>,
    applied: &AppliedSet,
) -> Result<bool, CaseError> {
    let Some(current) = current else { return Ok(true) };
    Ok(capsules::has_manifest(store, keys, current, applied)?)
}

/// What there is to keep of applied migrations of which nothing is kept yet. The project is loaded only where there are
/// such.
fn what_to_keep(
    store: &mut Store<'_>,
    runner: &mut dyn Runner,
    rows: &[AppliedRow],
) -> Result<Vec<NewCapsule>, CaseError> {
    let missing = capsules::missing(store, &AppliedSet::of_rows(rows))?;
    let unknown: Vec<MigrationId> = missing.iter().filter(|id| id.app != APP_LABEL).cloned().collect();
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    runner.capsules(&unknown).map_err(CaseError::project)
}
