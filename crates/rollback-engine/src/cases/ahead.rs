//! Whether the database is ahead of the code: whoever starts an old image on a new database wants to know.

use std::collections::BTreeMap;

use rollback_core::plan::{self, Situation, WAYS};
use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, CommitId, MigrationFacts, MigrationId, ProjectFacts, Release,
};

use super::error::CaseError;
use super::releases;
use crate::ports::{Database, Runner};
use crate::store::{CheckedCapsule, Keyring, Store, StoredRelease, checked_capsules};

/// The database against the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The current release of the database.
    pub current: Release,
    /// The release that fits the code: where to go back to. None where no saved release does.
    pub target: Option<Release>,
    /// The applied migrations that the code does not have, in the order in which they would be undone.
    pub migrations: Vec<MigrationId>,
    /// The releases that brought them, newest first.
    pub brought_by: Vec<Release>,
}

/// Compares what is applied with the code: with the release of its commit, or where that was never saved, with its
/// migration files. `None` where nothing was saved yet.
pub fn ahead(
    database: &mut dyn Database,
    commit: Option<&CommitId>,
    runner: Option<&mut (dyn Runner + 'static)>,
    keys: &Keyring,
) -> Result<Option<Ahead>, CaseError> {
    let project = runner.map(|runner| runner.facts()).transpose().map_err(CaseError::project)?;
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let Some(current) = stored.first().map(|stored| stored.release.clone()) else { return Ok(None) };
    let comparison = Comparison {
        rows: store.applied_rows()?,
        remembered: checked_capsules(&mut store, keys, stored.first())?
            .values()
            .map(CheckedCapsule::trusted_facts)
            .collect(),
        project,
    };
    let (place, migrations) = comparison.place(&mut store, &stored, commit)?;
    let newer = &stored[..place.unwrap_or(stored.len())];
    let brought_by = comparison.brought_by(&mut store, newer, &migrations)?;
    let target = place.map(|place| stored[place].release.clone());
    Ok(Some(Ahead { current, target, migrations, brought_by }))
}

struct Comparison {
    rows: Vec<AppliedRow>,
    remembered: Vec<MigrationFacts>,
    project: Option<ProjectFacts>,
}

impl Comparison {
    /// Which release fits the code, by its place in the list, and what is applied beyond the code.
    fn place(
        &self,
        store: &mut Store<'_>,
        stored: &[StoredRelease],
        commit: Option<&CommitId>,
    ) -> Result<(Option<usize>, Vec<MigrationId>), CaseError> {
        let saved = commit.and_then(|commit| stored.iter().position(|each| each.release.commit == *commit));
        if let Some(place) = saved {
            let set = releases::applied_at(store, &stored[place], &self.rows, self.project.as_ref())?;
            return Ok((Some(place), set.map(|set| self.surplus(&set)).unwrap_or_default()));
        }
        let Some(project) = &self.project else {
            let commit = commit.map(|commit| commit.as_str().to_owned()).unwrap_or_default();
            return Err(CaseError::CodeUnknown { commit });
        };
        let files: AppliedSet = project.migrations.iter().map(|facts| facts.id.clone()).collect();
        let migrations = self.surplus(&files);
        let place = if migrations.is_empty() { Some(0) } else { self.fitting(store, stored, &files)? };
        Ok((place, migrations))
    }

    /// The releases that brought these migrations, newest first.
    fn brought_by(
        &self,
        store: &mut Store<'_>,
        newer: &[StoredRelease],
        migrations: &[MigrationId],
    ) -> Result<Vec<Release>, CaseError> {
        let mut brought_by = Vec::new();
        for each in newer {
            let set = releases::readable_set(store, each, &self.rows)?.unwrap_or_default();
            if migrations.iter().any(|migration| set.contains(migration)) {
                brought_by.push(each.release.clone());
            }
        }
        Ok(brought_by)
    }

    /// What is applied beyond this set, squashes folded.
    fn surplus(&self, set: &AppliedSet) -> Vec<MigrationId> {
        self.surplus_of(&self.rows, set)
    }

    fn surplus_of(&self, rows: &[AppliedRow], set: &AppliedSet) -> Vec<MigrationId> {
        let plan = plan::plan(&Situation {
            now: rows,
            target: set,
            on_disk: self.project.as_ref(),
            remembered: &self.remembered,
            means: &BTreeMap::new(),
            ways: WAYS,
            is_verified: false,
            own_app: APP_LABEL,
        });
        plan.steps.into_iter().filter(|step| step.way.undoes()).map(|step| step.migration).collect()
    }

    /// The newest release of which the code has every migration.
    fn fitting(
        &self,
        store: &mut Store<'_>,
        stored: &[StoredRelease],
        files: &AppliedSet,
    ) -> Result<Option<usize>, CaseError> {
        for (place, each) in stored.iter().enumerate() {
            let Some(set) = releases::readable_set(store, each, &self.rows)? else { continue };
            let rows: Vec<AppliedRow> =
                set.iter().cloned().zip(1..).map(|(migration, id)| AppliedRow { id, migration }).collect();
            if self.surplus_of(&rows, files).is_empty() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}
