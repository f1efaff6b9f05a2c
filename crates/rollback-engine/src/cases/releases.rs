//! Reading releases: the list, one of them, and where the database stands against them.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::graph::Graph;
use rollback_core::legacy::{self, Uncertain};
use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, CommitId, MigrationFacts, MigrationId, ProjectFacts, Release,
    SchemaDifference, StoredError, Target, select,
};

use super::error::CaseError;
use crate::ports::Database;
use crate::store::{RecordedOperation, SetSource, Store, StoreError, StoredRelease, capsules};

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRelease {
    /// The release.
    pub release: Release,
    /// How many migrations were applied; `None` if that is not certain (saved by 0.4.0).
    pub migrations: Option<usize>,
    /// Whether it was rebuilt from git.
    pub imported: bool,
}

/// One release with all it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRelease {
    /// The release.
    pub release: Release,
    /// Whether it is the current one.
    pub current: bool,
    /// Whether it was rebuilt from git.
    pub imported: bool,
    /// What was applied, or why that is not certain.
    pub applied: Result<AppliedSet, Uncertain>,
    /// The release that was saved before it.
    pub previous: Option<Release>,
}

/// Where the database stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The current release.
    pub current: Release,
    /// Whether that was rebuilt from git.
    pub imported: bool,
    /// How many migrations are applied.
    pub applied: usize,
    /// Applied now, and not when the current release was saved.
    pub ahead: Vec<MigrationId>,
    /// Applied when the current release was saved, and not now.
    pub missing: Vec<MigrationId>,
    /// How the schema differs from the one that the current release was saved with; `None` if it was saved without.
    pub schema: Option<Vec<SchemaDifference>>,
}

impl Status {
    /// Whether the database is what the current release had, as far as that was recorded.
    pub fn is_same(&self) -> bool {
        let schema = self.schema.as_ref().is_none_or(Vec::is_empty);
        self.ahead.is_empty() && self.missing.is_empty() && schema
    }
}

/// The saved releases, newest first. The first is the current one.
pub fn list(database: &mut dyn Database) -> Result<Vec<ListedRelease>, CaseError> {
    let mut store = Store::open(database)?;
    let releases = store.releases()?;
    let rows =
        if releases.iter().any(StoredRelease::is_original) { store.applied_rows()? } else { Vec::new() };
    releases.into_iter().map(|release| listed(&mut store, release, &rows)).collect()
}

fn listed(
    store: &mut Store<'_>,
    stored: StoredRelease,
    rows: &[AppliedRow],
) -> Result<ListedRelease, CaseError> {
    let migrations = match &stored.set {
        SetSource::Stored { size, .. } => size.and_then(|size| usize::try_from(size).ok()),
        SetSource::Original { .. } => applied_at(store, &stored, rows, None)?.ok().map(|set| set.len()),
    };
    Ok(ListedRelease { imported: stored.is_imported(), release: stored.release, migrations })
}

/// One release, the current one unless another is named.
pub fn show(database: &mut dyn Database, target: Option<&Target>) -> Result<ShownRelease, CaseError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let releases: Vec<Release> = stored.iter().map(|stored| stored.release.clone()).collect();
    let id = match target {
        Some(target) => select(target, &releases)?.0.id,
        None => releases.first().map(|release| release.id).ok_or(rollback_core::SelectError::NoRelease)?,
    };
    let place = stored.iter().position(|stored| stored.release.id == id).unwrap_or_default();
    let rows = store.applied_rows()?;
    Ok(ShownRelease {
        release: stored[place].release.clone(),
        current: place == 0,
        imported: stored[place].is_imported(),
        applied: applied_at(&mut store, &stored[place], &rows, None)?,
        previous: releases.get(place + 1).cloned(),
    })
}

/// Compares what is applied with the current release.
pub fn status(database: &mut dyn Database) -> Result<Status, CaseError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let current = stored.first().ok_or(rollback_core::SelectError::NoRelease)?;
    let rows = store.applied_rows()?;
    let now = AppliedSet::of_rows(&rows);
    let then = applied_at(&mut store, current, &rows, None)?.unwrap_or_else(|_| now.clone());
    let schema = match store.schema_of(current)? {
        Some(saved) => Some(saved.differences(&store.look(Store::read_schema)?)),
        None => None,
    };
    Ok(Status {
        current: current.release.clone(),
        imported: current.is_imported(),
        applied: now.len(),
        ahead: now.minus(&then).filter(is_of_the_application).cloned().collect(),
        missing: then.minus(&now).filter(is_of_the_application).cloned().collect(),
        schema,
    })
}

/// Our own migrations belong to no release: no rollback undoes them.
fn is_of_the_application(migration: &&MigrationId) -> bool {
    migration.app != APP_LABEL
}

/// The last operations, newest first.
pub fn history(database: &mut dyn Database, limit: u32) -> Result<Vec<RecordedOperation>, CaseError> {
    Ok(Store::open(database)?.operations(limit)?)
}

/// What was applied at a release: read, or for one of 0.4.0 rebuilt where that is certain. The project's files, where
/// they are known, say more about the graph than what is remembered.
pub(crate) fn applied_at(
    store: &mut Store<'_>,
    stored: &StoredRelease,
    rows: &[AppliedRow],
    project: Option<&ProjectFacts>,
) -> Result<Result<AppliedSet, Uncertain>, StoreError> {
    match &stored.set {
        SetSource::Stored { hash, .. } => store.applied_set(&stored.release.commit, hash).map(Ok),
        SetSource::Original { newest_per_app } => {
            let remembered = capsules::facts(store)?;
            let graph = graph_of(&remembered, project);
            Ok(legacy::rebuild(newest_per_app, rows, &graph, APP_LABEL))
        }
    }
}

fn graph_of(remembered: &[MigrationFacts], project: Option<&ProjectFacts>) -> Graph {
    let nothing = ProjectFacts::default();
    let project = project.unwrap_or(&nothing);
    let mut facts: BTreeMap<&MigrationId, &MigrationFacts> = BTreeMap::new();
    facts.extend(remembered.iter().chain(&project.migrations).map(|fact| (&fact.id, fact)));
    let facts: Vec<&MigrationFacts> = facts.into_values().collect();
    Graph::build(&facts, &project.unmigrated_apps, &BTreeSet::new())
}

/// As `applied_at`, where a set that is damaged or not certain matters no more than one that is missing.
pub(crate) fn readable_set(
    store: &mut Store<'_>,
    stored: &StoredRelease,
    rows: &[AppliedRow],
) -> Result<Option<AppliedSet>, StoreError> {
    match applied_at(store, stored, rows, None) {
        Ok(set) => Ok(set.ok()),
        // What a newer version wrote is refused, and never replaced.
        Err(error @ StoreError::StoredSet { error: StoredError::Newer { .. }, .. }) => Err(error),
        Err(StoreError::Damaged { .. } | StoreError::StoredSet { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives every release of 0.4.0 its set while the rows still tell it (each later `migrate` could blur them), and the
/// tags that git has for it now. The newest release gets both by being saved itself.
pub(crate) fn adopt(
    store: &mut Store<'_>,
    rows: &[AppliedRow],
    tags_in_git: &[(String, CommitId)],
    being_saved: &CommitId,
) -> Result<(), StoreError> {
    let releases = store.releases()?;
    let updated = releases.first().filter(|newest| newest.release.commit == *being_saved);
    for stored in releases.iter().filter(|stored| stored.is_original() && Some(*stored) != updated) {
        let set = match applied_at(store, stored, rows, None)? {
            Ok(set) => Some(store.put_set(&set)?),
            Err(_) => None,
        };
        let commit = &stored.release.commit;
        let in_git = tags_in_git.iter().filter(|(_, target)| target == commit).map(|(tag, _)| tag.clone());
        let tags = all_tags(&stored.release.tags, &in_git.collect::<Vec<_>>());
        store.adopt_release(stored.release.id, set.as_deref(), &tags)?;
    }
    Ok(())
}

/// Both, sorted, each once.
pub(crate) fn all_tags(had: &[String], more: &[String]) -> Vec<String> {
    let tags: BTreeSet<&String> = had.iter().chain(more).collect();
    tags.into_iter().cloned().collect()
}

/// The tags of each release: those saved with it, and those that git has for its commit now, unless another release
/// was saved under them.
pub fn with_git_tags(releases: &mut [ListedRelease], in_git: &[(String, CommitId)]) {
    let saved: Vec<String> = releases.iter().flat_map(|listed| listed.release.tags.iter().cloned()).collect();
    for listed in releases {
        let commit = &listed.release.commit;
        let more = in_git.iter().filter(|(tag, target)| target == commit && !saved.contains(tag));
        listed.release.tags.extend(more.map(|(tag, _)| tag.clone()));
        listed.release.tags.sort();
    }
}
