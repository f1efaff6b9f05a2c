//! Making the plan back to a release, with all that speaks against it.

use std::collections::BTreeSet;

use rollback_core::plan::{Blocker, Plan, Warning, Way};
use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, Effects, MigrationFacts, MigrationId, MovedTag, Release, Target,
    select,
};

use super::draft::Draft;
use super::error::RollbackError;
use super::preflight::{self, Findings, Subject};
use super::prepared::{PlanOptions, Prepared};
use super::steps::Recordings;
use super::verify::{self, Expected};
use crate::cases::{releases, unfinished};
use crate::ports::{Database, Runner};
use crate::store::{Store, StoreError, StoredRelease};

/// Makes the plan back to the release that `target` names, and looks at the database for what speaks against it.
/// Nothing is written, and no lock is taken.
///
/// If recorded SQL does everything, the plan rests on what the database keeps, and is the same through both doors. If
/// not, `runner` is asked for the project's files, which takes as long as loading them.
pub fn prepare(
    database: &mut dyn Database,
    target: &Target,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    options: &PlanOptions<'_>,
) -> Result<Prepared, RollbackError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let known: Vec<Release> = stored.iter().map(|stored| stored.release.clone()).collect();
    let (to, moved) = select(target, &known)?;
    let place = known.iter().position(|release| release.id == to.id).unwrap_or_default();
    let rows = store.applied_rows()?;
    let releases = stored[..=place].to_vec();
    let drafted = draft(&mut store, &releases, &rows, runner.as_deref_mut(), options)?;
    let Drafted { mut plan, target_set, recordings, facts, digest, without_sql } = drafted;
    plan.warnings.splice(
        0..0,
        moved.as_ref().map(moved_tag).into_iter().chain(not_saved(&mut store, &releases[0], &rows)?),
    );
    plan.warnings.extend(unlisted(&plan, &releases[0], options));
    plan.blockers.extend(not_rehearsed(&mut store, &plan, to, &digest, options)?);
    let (to, removed) = (to.clone(), known[..place].to_vec());
    let has_runner = runner.is_some();
    let Looked { expected, findings, names } =
        if plan.blockers.is_empty() && !(plan.steps.is_empty() && removed.is_empty()) {
            let effects = effects(&plan, &recordings, runner)?;
            let ends = Ends { current: &releases[0], target: &releases[place], rows: &rows };
            look(&mut store, &plan, &ends, &facts, effects.as_ref())?
        } else {
            Looked::default()
        };
    plan.warnings.extend(findings.warnings);
    plan.blockers.extend(findings.blockers);
    if options.require_runner && !has_runner {
        plan.blockers.extend(needs_python(&plan, &without_sql));
    }
    Ok(Prepared {
        from: known[0].clone(),
        to,
        removed,
        plan,
        losses: findings.losses,
        unfinished: unfinished::unfinished(&mut store)?,
        rows,
        releases,
        target_set,
        drops: findings.drops,
        tables: findings.tables,
        expected,
        recordings,
        digest,
        names,
        without_sql,
    })
}

/// A plan, and what it takes out of the database.
struct Drafted {
    plan: Plan,
    target_set: AppliedSet,
    recordings: Recordings,
    /// What is known of migrations, from files and from capsules.
    facts: Vec<MigrationFacts>,
    digest: String,
    without_sql: Vec<(MigrationId, String)>,
}

fn draft(
    store: &mut Store<'_>,
    releases: &[StoredRelease],
    rows: &[AppliedRow],
    runner: Option<&mut (dyn Runner + 'static)>,
    options: &PlanOptions<'_>,
) -> Result<Drafted, RollbackError> {
    let mut draft = Draft::new(store, releases, rows, options)?;
    let (plan, target_set) = draft.plan(store, runner)?;
    let (digest, without_sql) = (draft.digest(&plan), draft.without_sql(&plan));
    let (recordings, facts) = draft.into_parts();
    Ok(Drafted { plan, target_set, recordings, facts, digest, without_sql })
}

/// The warning that no signed manifest says which capsules belong to the current release.
fn unlisted(plan: &Plan, current: &StoredRelease, options: &PlanOptions<'_>) -> Option<Warning> {
    let uses_capsules = plan.steps.iter().any(|step| matches!(step.way, Way::Sql | Way::Capsule));
    let is_unlisted = uses_capsules && !options.keys.is_empty() && current.signature.is_none();
    is_unlisted.then(|| Warning::Unlisted { current: current.release.label() })
}

/// The blocker of a plan that was to be rehearsed, and was not.
fn not_rehearsed(
    store: &mut Store<'_>,
    plan: &Plan,
    to: &Release,
    digest: &str,
    options: &PlanOptions<'_>,
) -> Result<Option<Blocker>, StoreError> {
    let is_missing = options.require_rehearsal && plan.undoes() && !store.has_rehearsal(digest)?;
    Ok(is_missing.then(|| Blocker::NotRehearsed { target: to.label() }))
}

/// Where a rollback begins and ends.
struct Ends<'e> {
    current: &'e StoredRelease,
    target: &'e StoredRelease,
    rows: &'e [AppliedRow],
}

/// What the database says of a plan.
#[derive(Default)]
struct Looked {
    expected: Expected,
    findings: Findings,
    names: Option<BTreeSet<String>>,
}

fn look(
    store: &mut Store<'_>,
    plan: &Plan,
    ends: &Ends<'_>,
    facts: &[MigrationFacts],
    effects: Option<&Effects>,
) -> Result<Looked, StoreError> {
    let Ends { current, target, rows } = *ends;
    let names = effects.filter(|effects| !effects.is_opaque).map(|effects| effects.names.clone());
    store.look(|store| {
        let comparison = verify::Comparison { current, target, rows, plan, effects };
        let expected = verify::expected(store, &comparison)?;
        let subject = Subject { plan, facts, expected: &expected, saved_at: &current.release.saved_at };
        let mut findings = preflight::preflight(store, &subject, effects)?;
        findings.warnings.splice(0..0, expected.warnings(&current.release, &target.release));
        Ok(Looked { expected, findings, names })
    })
}

/// What the steps do to the database: as Django says it, or as it said it when their SQL was recorded. `None` if nobody
/// here can tell.
fn effects(
    plan: &Plan,
    recordings: &Recordings,
    runner: Option<&mut (dyn Runner + 'static)>,
) -> Result<Option<Effects>, RollbackError> {
    if !plan.undoes() {
        return Ok(None);
    }
    if plan.needs_python() {
        let Some(runner) = runner else { return Ok(None) };
        return Ok(Some(Effects::of(&runner.effects(plan).map_err(RollbackError::project)?)));
    }
    let recorded = plan
        .steps
        .iter()
        .filter_map(|step| Some(recordings.get(&step.migration)?.effects_of(&step.migration)));
    Ok(Some(Effects::of(&recorded.flatten().collect::<Vec<_>>())))
}

/// The blocker of a plan that needs Django, unless another blocker says that Django would not help either.
fn needs_python(plan: &Plan, without_sql: &[(MigrationId, String)]) -> Option<Blocker> {
    let is_needed = plan.needs_python() && may_be_helped_by_django(plan);
    is_needed.then(|| Blocker::NeedsPython { migrations: without_sql.to_vec() })
}

/// Whether no blocker stays whichever door carries the plan out.
pub(super) fn may_be_helped_by_django(plan: &Plan) -> bool {
    let stays = |blocker: &Blocker| matches!(blocker, Blocker::ReadOnly { .. } | Blocker::NotThatWay { .. });
    !plan.blockers.iter().any(stays)
}

fn moved_tag(moved: &MovedTag) -> Warning {
    let MovedTag { tag, saved, now } = moved;
    let message = format!(
        "tag {tag} was commit {} when its release was saved, and names {} in git now: the saved release counts",
        saved.short(),
        now.short()
    );
    Warning::MovedTag { message }
}

fn not_saved(
    store: &mut Store<'_>,
    current: &StoredRelease,
    rows: &[AppliedRow],
) -> Result<Option<Warning>, StoreError> {
    let Some(saved) = releases::readable_set(store, current, rows)? else { return Ok(None) };
    let now = AppliedSet::of_rows(rows);
    let migrations: Vec<_> = now.minus(&saved).filter(|id| id.app != APP_LABEL).cloned().collect();
    Ok((!migrations.is_empty()).then(|| Warning::NotSaved { migrations, current: current.release.label() }))
}
