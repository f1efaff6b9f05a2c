//! Making the plan: it is made again while something that it counted on turns out not to be usable.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::plan::{self, Blocker, Means, Plan, Situation, Warning, Way};
use rollback_core::{APP_LABEL, AppliedRow, AppliedSet, MigrationFacts, MigrationId, ProjectFacts};

use super::error::RollbackError;
use super::prepared::PlanOptions;
use super::steps::Recordings;
use crate::cases::releases;
use crate::ports::Runner;
use crate::store::{CheckedCapsule, Store, StoredRelease, checked_capsules};

pub(super) struct Draft<'d> {
    /// The releases from the newest to the target.
    releases: &'d [StoredRelease],
    rows: &'d [AppliedRow],
    /// What the project's files say; `None` if there is no project, or it was not needed yet.
    project: Option<ProjectFacts>,
    options: &'d PlanOptions<'d>,
    /// The ways that may be taken.
    ways: &'d [Way],
    capsules: BTreeMap<MigrationId, CheckedCapsule>,
    means: BTreeMap<MigrationId, Means>,
    recordings: Recordings,
    /// The archived sources that the runner has.
    loaded: BTreeSet<MigrationId>,
}

impl<'d> Draft<'d> {
    pub(super) fn new(
        store: &mut Store<'_>,
        releases: &'d [StoredRelease],
        rows: &'d [AppliedRow],
        options: &'d PlanOptions<'d>,
    ) -> Result<Self, RollbackError> {
        let capsules = checked_capsules(store, options.keys, releases.first())?;
        let (vendor, has_key) = (store.session.rules().vendor(), !options.keys.is_empty());
        let means =
            capsules.iter().map(|(id, capsule)| (id.clone(), capsule.means(vendor, has_key))).collect();
        let (recordings, loaded) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self {
            releases,
            rows,
            project: None,
            options,
            ways: options.ways,
            capsules,
            means,
            recordings,
            loaded,
        })
    }

    /// The plan, with everything at hand that it takes out of the database.
    pub(super) fn plan(
        &mut self,
        store: &mut Store<'_>,
        mut runner: Option<&mut (dyn Runner + 'static)>,
    ) -> Result<(Plan, AppliedSet), RollbackError> {
        if self.ways.first() == Some(&Way::Sql) || runner.is_none() {
            let (plan, target) = self.plan_with(store, None)?;
            if runner.is_none() || is_done_by_sql(&plan) {
                return Ok((plan, target));
            }
        }
        self.project =
            runner.as_mut().map(|runner| runner.facts()).transpose().map_err(RollbackError::project)?;
        let (plan, target) = self.plan_with(store, runner.as_deref_mut())?;
        let lacks_file = |blocker: &Blocker| matches!(blocker, Blocker::MissingFile { .. });
        if self.options.verify || !self.ways.contains(&Way::Sql) || !plan.blockers.iter().any(lacks_file) {
            return Ok((plan, target));
        }
        // The user does without the check of the result, and there is nothing but recorded SQL.
        self.ways = &[Way::Sql];
        let (by_sql, target) = self.plan_with(store, runner)?;
        Ok((if by_sql.blockers.is_empty() { by_sql } else { plan }, target))
    }

    fn plan_with(
        &mut self,
        store: &mut Store<'_>,
        mut runner: Option<&mut (dyn Runner + 'static)>,
    ) -> Result<(Plan, AppliedSet), RollbackError> {
        let target = &self.releases[self.releases.len() - 1];
        let target = match releases::applied_at(store, target, self.rows, self.project.as_ref())? {
            Ok(target) => target,
            Err(uncertain) => {
                let blockers = vec![Blocker::UncertainRelease { reason: uncertain.to_string() }];
                return Ok((Plan { blockers, ..Plan::default() }, AppliedSet::default()));
            }
        };
        let remembered: Vec<MigrationFacts> =
            self.capsules.values().map(CheckedCapsule::trusted_facts).collect();
        let mut plan = self.plan_once(&target, &remembered);
        while !self.take_out(store, runner.as_deref_mut(), &plan)? {
            plan = self.plan_once(&target, &remembered);
        }
        self.name_releases(store, &mut plan)?;
        Ok((plan, target))
    }

    fn plan_once(&self, target: &AppliedSet, remembered: &[MigrationFacts]) -> Plan {
        let has_schema = self
            .releases
            .last()
            .is_some_and(|release| release.schema.is_some() || release.final_schema.is_some());
        plan::plan(&Situation {
            now: self.rows,
            target,
            on_disk: self.project.as_ref(),
            remembered,
            means: &self.means,
            ways: self.ways,
            is_verified: self.options.verify && has_schema,
            own_app: APP_LABEL,
        })
    }

    /// Takes out what the plan counts on. Whether all of it can be used.
    fn take_out(
        &mut self,
        store: &mut Store<'_>,
        runner: Option<&mut (dyn Runner + 'static)>,
        plan: &Plan,
    ) -> Result<bool, RollbackError> {
        let mut is_usable = true;
        for step in plan.steps.iter().filter(|step| step.way == Way::Sql) {
            if self.recordings.contains_key(&step.migration) {
                continue;
            }
            match self.capsules[&step.migration].recording(store)? {
                Ok(recording) => drop(self.recordings.insert(step.migration.clone(), recording)),
                Err(reason) => {
                    self.distrust(&step.migration, reason);
                    is_usable = false;
                }
            }
        }
        match runner {
            Some(runner) if plan.needs_python() => Ok(self.load_sources(store, runner, plan)? && is_usable),
            _ => Ok(is_usable),
        }
    }

    fn load_sources(
        &mut self,
        store: &mut Store<'_>,
        runner: &mut dyn Runner,
        plan: &Plan,
    ) -> Result<bool, RollbackError> {
        let mut is_usable = true;
        let mut sources = Vec::new();
        let files: BTreeSet<&MigrationId> =
            self.project.iter().flat_map(|project| &project.migrations).map(|facts| &facts.id).collect();
        let undone = plan.steps.iter().filter(|step| step.loads == Some(Way::Capsule));
        let undone = undone.map(|step| &step.migration);
        let rest = plan.staying.iter().filter(|id| !files.contains(id));
        let needed: Vec<&MigrationId> = undone.chain(rest.filter(|_| !files.is_empty())).collect();
        for migration in needed {
            if self.loaded.contains(migration) {
                continue;
            }
            match self.capsules[migration].source(store)? {
                Ok(text) => sources.push((migration.clone(), text)),
                Err(reason) => {
                    self.distrust(migration, reason);
                    is_usable = false;
                }
            }
        }
        if sources.is_empty() {
            return Ok(is_usable);
        }
        let failed = runner.load(&sources).map_err(RollbackError::project)?;
        self.loaded.extend(sources.into_iter().map(|(migration, _)| migration));
        for (migration, reason) in failed {
            self.loaded.remove(&migration);
            is_usable = false;
            if let Some(means) = self.means.get_mut(&migration) {
                means.source = Err(reason);
            }
        }
        Ok(is_usable)
    }

    fn distrust(&mut self, migration: &MigrationId, reason: String) {
        if let Some(means) = self.means.get_mut(migration) {
            means.distrust = Some(reason);
        }
    }

    /// Says which release brought a migration that cannot be undone here.
    fn name_releases(&self, store: &mut Store<'_>, plan: &mut Plan) -> Result<(), RollbackError> {
        for blocker in &mut plan.blockers {
            let (Blocker::MissingFile { migration, release, .. }
            | Blocker::NotThatWay { migration, release, .. }) = blocker
            else {
                continue;
            };
            for stored in self.releases.iter().rev() {
                let set = releases::readable_set(store, stored, self.rows)?;
                if set.is_some_and(|set| set.contains(migration)) {
                    *release = Some(stored.release.label());
                    break;
                }
            }
        }
        Ok(())
    }

    /// The recorded SQL, and what is known of migrations, from files and from capsules.
    pub(super) fn into_parts(self) -> (Recordings, Vec<MigrationFacts>) {
        let files = self.project.map_or_else(Vec::new, |project| project.migrations);
        let remembered = self.capsules.into_values().map(|capsule| capsule.facts);
        (self.recordings, files.into_iter().chain(remembered).collect())
    }

    /// A hash of the steps and of what they are done with.
    pub(super) fn digest(&self, plan: &Plan) -> String {
        let line = |step: &plan::Step| {
            let with = self
                .capsules
                .get(&step.migration)
                .map(|capsule| capsule.content(step.way))
                .unwrap_or_default();
            format!("{} {} {with}", step.migration, step.way.as_str())
        };
        rollback_core::stored::hash(&plan.steps.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    /// Why the steps that Django does are not done by recorded SQL.
    pub(super) fn without_sql(&self, plan: &Plan) -> Vec<(MigrationId, String)> {
        let steps = plan.steps.iter().filter(|step| step.way.needs_python());
        steps.map(|step| (step.migration.clone(), self.why_not_sql(&step.migration))).collect()
    }

    fn why_not_sql(&self, migration: &MigrationId) -> String {
        match self.means.get(migration) {
            None => "nothing is kept of it".to_owned(),
            Some(Means { distrust: Some(reason), .. }) => reason.clone(),
            Some(Means { sql: Err(reason), .. }) => reason.clone(),
            Some(_) if !self.options.ways.contains(&Way::Sql) => "another way was asked for".to_owned(),
            Some(_) if !self.options.verify => "its result would not be checked".to_owned(),
            Some(_) => "its result cannot be checked".to_owned(),
        }
    }
}

/// Whether no file has to be read: nothing is in the way, nothing is a guess, and Django does no step.
fn is_done_by_sql(plan: &Plan) -> bool {
    let is_guess = |warning: &Warning| matches!(warning, Warning::OrderUnknown { .. });
    plan.blockers.is_empty() && !plan.needs_python() && !plan.warnings.iter().any(is_guess)
}
