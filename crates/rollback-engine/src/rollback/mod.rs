//! Going back: the plan of a rollback with all that speaks against it, and the one loop that carries it out.

mod draft;
mod execute;
pub mod open;
mod recorded;
mod rehearse;
mod script;
mod survey;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollback_core::effect::Drop;
use rollback_core::plan::{Blocker, Plan, Warning, Way};
use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, CommitId, Effects, MigrationFacts, MigrationId, MovedTag, Recording,
    Release, Target, select,
};

use self::draft::Draft;
pub use self::execute::{Order, execute};
use self::open::Unfinished;
pub use self::rehearse::{Rehearsed, keep_rehearsal, rehearse};
pub use self::script::script;
use self::verify::Expected;
use crate::Actor;
use crate::error::EngineError;
use crate::ports::{Database, Purpose, Runner};
use crate::releases;
use crate::signature::Keyring;
use crate::store::{Operation, Store, StoredRelease};

/// A plan with what it was made from: the same value is printed and carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The release that is current now.
    pub from: Release,
    /// The release to go back to.
    pub to: Release,
    /// The releases that leave the list, newest first.
    pub removed: Vec<Release>,
    /// The steps, and what speaks against them.
    pub plan: Plan,
    /// The data that would be lost, in the order of the steps.
    pub losses: Vec<Loss>,
    /// The rollback that this one finishes, or that is in its way.
    pub unfinished: Option<Unfinished>,
    /// The rows that it was made from.
    rows: Vec<AppliedRow>,
    /// The releases that it was made from, from the newest to the target.
    releases: Vec<StoredRelease>,
    target_set: AppliedSet,
    /// What is dropped and there now, with or without data: it is counted again under the lock.
    drops: Vec<Drop>,
    /// The tables that the steps lock, sorted.
    tables: Vec<String>,
    /// What the schema has to be at the end.
    expected: Expected,
    /// The SQL of the steps that have it recorded, checked.
    recordings: BTreeMap<MigrationId, Recording>,
    /// A hash of the steps and of what they are done with: it names the plan in a rehearsal.
    digest: String,
    /// The tables that the steps name; none where they may change any.
    names: Option<BTreeSet<String>>,
    /// What is known of migrations, from files and from capsules.
    facts: Vec<MigrationFacts>,
    /// Why the steps that Django does are not done by recorded SQL, as the ends of sentences.
    without_sql: Vec<(MigrationId, String)>,
}

/// How a plan is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The ways that may be taken, the best first.
    pub ways: &'a [Way],
    /// The keys that verify what is kept.
    pub keys: &'a Keyring,
    /// Whether the schema at the end has to be the target's.
    pub verify: bool,
    /// Whether a plan that was never rehearsed is to be refused.
    pub require_rehearsal: bool,
}

/// Data that a step drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The migration whose undoing drops it.
    pub migration: MigrationId,
    /// The table.
    pub table: String,
    /// The column; none when the whole table goes.
    pub column: Option<String>,
    /// How many rows the table has, or how many of them have a value in the column.
    pub rows: i64,
    /// How many of these were written since the current release was saved; `None` where no column tells.
    pub since: Option<i64>,
}

/// How a rollback behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// How long one statement waits for a lock of another session.
    pub lock_timeout: Duration,
    /// For how long in all it is tried again when other sessions are in the way.
    pub wait: Duration,
    /// Whether the schema at the end has to be the target's.
    pub verify: bool,
    /// How many rows and values may be lost; any number if none is given.
    pub max_lost_rows: Option<i64>,
}

impl Prepared {
    /// Whether neither a migration nor the list of releases would change.
    pub fn is_empty(&self) -> bool {
        self.plan.steps.is_empty() && self.removed.is_empty()
    }

    /// How many rows and values would be lost in all.
    pub fn lost_rows(&self) -> i64 {
        self.losses.iter().map(|loss| loss.rows).sum()
    }

    /// Fails where the target's schema is damaged: nobody can say then whether the result is right.
    pub fn check_verifiable(&self) -> Result<(), EngineError> {
        self.expected.damage.clone().map_or(Ok(()), Err)
    }

    /// A hash of what the plan was made from. Two doors that see the same database see the same one.
    pub fn fingerprint(&self) -> String {
        let rows = self.rows.iter().map(|row| format!("{} {}", row.id, row.migration));
        let releases = self.releases.iter().map(|stored| {
            let set = releases::hash_of(stored).unwrap_or_default();
            format!("{} {} {set}", stored.release.id, stored.release.commit)
        });
        rollback_core::stored::hash(&releases.chain(rows).collect::<Vec<_>>().join("\n"))
    }

    /// The steps that Django has to do, each with why its recorded SQL does not do.
    pub fn needs_python(&self) -> Option<&[(MigrationId, String)]> {
        self.plan.needs_python().then_some(&self.without_sql[..])
    }

    /// Whether a step is done by recorded SQL.
    pub fn uses_sql(&self) -> bool {
        self.plan.steps.iter().any(|step| step.way == Way::Sql)
    }
}

/// What a rollback came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// How the schema was held against the target's: `same`, `drift`, `no-schema` or `not-verified`.
    pub verified: String,
    /// What the receivers of `post_migrate` could not do.
    pub notes: Vec<String>,
}

/// Makes the plan back to the release that `target` names, and looks at the database for what speaks against it.
/// Nothing is written, and no lock is taken.
///
/// Where recorded SQL does everything, the plan rests on what the database keeps, and is the same through both doors.
/// Where it does not, `runner` is asked for the project's files, which takes as long as loading them.
pub fn prepare(
    database: &mut dyn Database,
    target: &Target,
    mut runner: Option<&mut (dyn Runner + 'static)>,
    wishes: &Wishes<'_>,
) -> Result<Prepared, EngineError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let known: Vec<Release> = stored.iter().map(|stored| stored.release.clone()).collect();
    let (to, moved) = select(target, &known)?;
    let place = known.iter().position(|release| release.id == to.id).unwrap_or_default();
    let rows = store.applied_rows()?;
    let releases = stored[..=place].to_vec();
    let mut draft = Draft::new(&mut store, &releases, &rows, wishes)?;
    let (mut plan, target_set) = draft.plan(&mut store, runner.as_deref_mut())?;
    let not_saved = not_saved(&mut store, &stored[0], &rows)?;
    plan.warnings.splice(0..0, moved.as_ref().map(moved_tag).into_iter().chain(not_saved));
    let uses_what_is_kept = plan.steps.iter().any(|step| matches!(step.way, Way::Sql | Way::Capsule));
    if uses_what_is_kept && !wishes.keys.is_empty() && stored[0].signature.is_none() {
        plan.warnings.push(Warning::Unlisted { current: known[0].label() });
    }
    let without_sql = draft.without_sql(&plan);
    let draft_digest = draft.digest(&plan);
    if wishes.require_rehearsal && plan.undoes() && !store.has_rehearsal(&draft_digest)? {
        plan.blockers.push(Blocker::NotRehearsed { target: to.label() });
    }
    let Draft { kept, recordings, project, .. } = draft;
    let remembered = kept.into_values().map(|kept| kept.facts);
    let facts = project.map_or_else(Vec::new, |project| project.migrations).into_iter().chain(remembered);
    let mut prepared = Prepared {
        from: known[0].clone(),
        to: to.clone(),
        removed: known[..place].to_vec(),
        plan,
        losses: Vec::new(),
        unfinished: open::unfinished(&mut store)?,
        rows,
        releases,
        target_set,
        drops: Vec::new(),
        tables: Vec::new(),
        expected: Expected::default(),
        recordings,
        digest: draft_digest,
        names: None,
        facts: facts.collect(),
        without_sql,
    };
    if prepared.plan.blockers.is_empty() && !prepared.is_empty() {
        let effects = effects(&prepared, runner)?;
        prepared.names =
            effects.as_ref().filter(|effects| !effects.is_opaque).map(|effects| effects.names.clone());
        store.look(|store| {
            prepared.expected =
                verify::expected(store, &stored[0], &stored[place], &prepared, effects.as_ref())?;
            prepared.plan.warnings.extend(prepared.expected.warnings(&prepared.from, &prepared.to));
            survey::survey(store, &mut prepared, effects.as_ref())
        })?;
    }
    Ok(prepared)
}

/// What the steps do to the database: as Django says it, or as it said it when their SQL was recorded.
fn effects(
    prepared: &Prepared,
    runner: Option<&mut (dyn Runner + 'static)>,
) -> Result<Option<Effects>, EngineError> {
    if !prepared.plan.undoes() {
        return Ok(None);
    }
    if prepared.plan.needs_python() {
        let Some(runner) = runner else { return Ok(None) };
        return Ok(Some(Effects::of(&runner.effects(&prepared.plan).map_err(EngineError::project)?)));
    }
    let recorded = prepared
        .plan
        .steps
        .iter()
        .filter_map(|step| Some(prepared.recordings.get(&step.migration)?.effects_of(&step.migration)));
    Ok(Some(Effects::of(&recorded.flatten().collect::<Vec<_>>())))
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
) -> Result<Option<Warning>, EngineError> {
    let Some(saved) = releases::readable_set(store, current, rows)? else { return Ok(None) };
    let now = AppliedSet::of_rows(rows);
    let migrations: Vec<_> = now.minus(&saved).filter(|id| id.app != APP_LABEL).cloned().collect();
    Ok((!migrations.is_empty()).then(|| Warning::NotSaved { migrations, current: current.release.label() }))
}

/// Writes into history that another door is asked to carry the plan out, and returns what tells it that it sees the
/// same database: a copy has the same rows, but not this one.
pub fn hand_over(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<String, EngineError> {
    let mut store = Store::open(database)?;
    let token = store.new_token()?;
    let operation = Operation {
        kind: "hand-over".to_owned(),
        outcome: "done".to_owned(),
        token: Some(token.clone()),
        ..operation(prepared, actor)
    };
    store.begin(Purpose::Records)?;
    let written = store.append_operation(&operation);
    store.end(written).map(|_| token)
}

/// Whether history has the hand-over with this token, among the last operations.
pub fn was_handed_over(database: &mut dyn Database, token: &str) -> Result<bool, EngineError> {
    const LAST: u32 = 50;
    let operations = Store::open(database)?.operations(LAST)?;
    Ok(operations.iter().any(|recorded| recorded.operation.token.as_deref() == Some(token)))
}

fn operation(prepared: &Prepared, actor: &Actor) -> Operation {
    let removed: Vec<CommitId> = prepared.removed.iter().map(|release| release.commit.clone()).collect();
    Operation {
        from: Some(prepared.from.commit.clone()),
        to: Some(prepared.to.commit.clone()),
        tags: prepared.to.tags.clone(),
        steps: prepared.plan.steps.iter().map(|step| step.migration.to_string()).collect(),
        releases_removed: removed,
        lost_rows: Some(prepared.lost_rows()).filter(|rows| *rows > 0),
        ..Operation::new("rollback", "running", actor)
    }
}
