//! Going back: making the plan of a rollback, and the one loop that carries it out.

use rollback_core::plan::{self, Blocker, Plan, Situation, Step, Warning, Way};
use rollback_core::{
    AppliedRow, AppliedSet, CommitId, MigrationFacts, MovedTag, ProjectFacts, Release, Target, select,
};

use crate::error::EngineError;
use crate::ports::{Database, Observer, Purpose, Runner};
use crate::releases;
use crate::store::{APP_LABEL, Operation, Store, StoredRelease};
use crate::{Actor, VERSION};

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
    /// The rows that it was made from.
    rows: Vec<AppliedRow>,
    /// The id of the newest release when it was made.
    newest: i64,
    target_set: AppliedSet,
}

impl Prepared {
    /// Whether neither a migration nor the list of releases would change.
    pub fn is_empty(&self) -> bool {
        self.plan.steps.is_empty() && self.removed.is_empty()
    }

    /// A hash of what the plan was made from. Two doors that see the same database see the same one.
    pub fn fingerprint(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| format!("{} {}", row.id, row.migration)).collect();
        rollback_core::stored::hash(&format!("{} {}\n{}", self.newest, self.to.commit, rows.join("\n")))
    }

    /// Whether the code of the project must run.
    pub fn needs_code(&self) -> bool {
        self.plan.steps.iter().any(|step| step.way == Way::Disk)
    }
}

/// What a rollback came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// What the receivers of `post_migrate` could not do.
    pub notes: Vec<String>,
}

/// Makes the plan back to the release that `target` names. Nothing is written.
///
/// `project` is what Django's loader finds; without it the plan rests on what the database remembers.
pub fn prepare(
    database: &mut dyn Database,
    target: &Target,
    project: Option<&ProjectFacts>,
) -> Result<Prepared, EngineError> {
    let mut store = Store::open(database)?;
    let stored = store.releases()?;
    let known: Vec<Release> = stored.iter().map(|stored| stored.release.clone()).collect();
    let (to, moved) = select(target, &known)?;
    let rows = store.applied_rows()?;
    let remembered = store.remembered()?;
    let place = known.iter().position(|release| release.id == to.id).unwrap_or_default();
    let (mut plan, target_set) = plan_to(&mut store, &stored[place], project, &rows, &remembered)?;
    let not_saved = not_saved(&mut store, &stored[0], &rows)?;
    plan.warnings.splice(0..0, moved.as_ref().map(moved_tag).into_iter().chain(not_saved));
    Ok(Prepared {
        from: known[0].clone(),
        to: to.clone(),
        removed: known[..place].to_vec(),
        plan,
        rows,
        newest: known[0].id,
        target_set,
    })
}

fn plan_to(
    store: &mut Store<'_>,
    stored: &StoredRelease,
    project: Option<&ProjectFacts>,
    rows: &[AppliedRow],
    remembered: &[MigrationFacts],
) -> Result<(Plan, AppliedSet), EngineError> {
    match releases::applied_at(store, stored, rows, project)? {
        Ok(target) => {
            let situation =
                Situation { now: rows, target: &target, on_disk: project, remembered, own_app: APP_LABEL };
            Ok((plan::plan(&situation), target))
        }
        Err(uncertain) => {
            let blockers = vec![Blocker::UncertainRelease { reason: uncertain.to_string() }];
            Ok((Plan { blockers, ..Plan::default() }, AppliedSet::default()))
        }
    }
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

/// Carries the plan out.
///
/// When every step can share a transaction there is one around everything, the check of the result included, and a
/// failure leaves the database as it was. Otherwise each step is made permanent with its record, and a failure leaves
/// those before it done: the operation's row in history says how far it came.
pub fn execute(
    database: &mut dyn Database,
    runner: &mut dyn Runner,
    prepared: &Prepared,
    actor: &Actor,
    observer: &mut dyn Observer,
) -> Result<RolledBack, EngineError> {
    if !prepared.plan.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() });
    }
    let execution = Execution {
        store: Store::open(database)?,
        runner,
        prepared,
        observer,
        operation: operation(prepared, actor),
        begun: false,
    };
    if prepared.plan.is_atomic() { execution.in_one_transaction() } else { execution.step_by_step() }
}

struct Execution<'e> {
    store: Store<'e>,
    runner: &'e mut dyn Runner,
    prepared: &'e Prepared,
    observer: &'e mut dyn Observer,
    operation: Operation,
    /// Whether a step was begun at all.
    begun: bool,
}

/// Why a step did not end: at which one, and what was said.
struct StepFailure {
    step: String,
    reason: String,
}

/// A failure on the way: of a step, or of the engine's own work around it.
enum Failure {
    Step(StepFailure),
    Engine(EngineError),
}

impl Failure {
    fn at(step: &str, reason: String) -> Self {
        Self::Step(StepFailure { step: step.to_owned(), reason })
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Execution<'_> {
    fn in_one_transaction(mut self) -> Result<RolledBack, EngineError> {
        self.store.begin_locked(self.purpose())?;
        let notes = self.all_steps();
        let done = notes.and_then(|notes| self.store.commit().map(|()| notes).map_err(Failure::from));
        match done {
            Ok(notes) => Ok(RolledBack { notes }),
            Err(failure) => {
                self.store.rollback_quietly();
                Err(self.all_taken_back(failure))
            }
        }
    }

    fn all_steps(&mut self) -> Result<Vec<String>, Failure> {
        self.check_still_true()?;
        self.prepare_runner()?;
        for step in &self.prepared.plan.steps {
            self.observer.step_begins(step);
            self.run(step)?;
            self.observer.step_ends(step);
        }
        self.operation.steps_done = self.prepared.plan.steps.len();
        let notes = self.finish_runner()?;
        self.check_result()?;
        self.bookkeeping()?;
        self.operation.outcome = "done".to_owned();
        self.store.append_operation(&self.operation)?;
        Ok(notes)
    }

    /// On SQLite foreign keys have to be off before the transaction, and only when tables change.
    fn purpose(&self) -> Purpose {
        if self.prepared.needs_code() { Purpose::Schema } else { Purpose::Records }
    }

    fn run(&mut self, step: &Step) -> Result<(), Failure> {
        self.change(step).map_err(|reason| self.failed(step, reason))
    }

    fn change(&mut self, step: &Step) -> Result<(), String> {
        match step.way {
            Way::Disk => self.runner.undo(step)?,
            Way::Record => {
                return self.store.record(&step.migration).map_err(|error| error.to_string());
            }
            Way::Unrecord => {}
        }
        step.rows.iter().try_for_each(|row| self.store.unrecord(row)).map_err(|error| error.to_string())
    }

    fn failed(&mut self, step: &Step, reason: String) -> Failure {
        self.observer.step_failed(&step.migration);
        Failure::at(&step.migration.to_string(), reason)
    }

    fn prepare_runner(&mut self) -> Result<(), Failure> {
        if !self.prepared.needs_code() {
            return Ok(());
        }
        let prepared = self.runner.prepare(&self.prepared.plan);
        prepared.map_err(|reason| Failure::at("the state of the models", reason))
    }

    fn finish_runner(&mut self) -> Result<Vec<String>, Failure> {
        if !self.prepared.needs_code() {
            return Ok(Vec::new());
        }
        self.runner.finish().map_err(|reason| Failure::at("post_migrate", reason))
    }

    /// Under the lock: a plan that was made from another state never runs.
    fn check_still_true(&mut self) -> Result<(), EngineError> {
        let newest = self.store.releases()?.first().map(|stored| stored.release.id);
        if newest != Some(self.prepared.newest) || self.store.applied_rows()? != self.prepared.rows {
            return Err(EngineError::Stale);
        }
        Ok(())
    }

    /// Before the commit: the rows are those that the plan promised.
    fn check_result(&mut self) -> Result<(), EngineError> {
        let found = AppliedSet::of_rows(&self.store.applied_rows()?);
        let expected = &self.prepared.plan.result;
        let surplus = found.minus(expected).map(|id| format!("{id} is still recorded"));
        let absent = expected.minus(&found).map(|id| format!("{id} is not recorded any more"));
        let difference: Vec<String> = surplus.chain(absent).take(3).collect();
        if difference.is_empty() {
            return Ok(());
        }
        Err(EngineError::WrongResult { difference: difference.join(", ") })
    }

    /// The target becomes the current release, and keeps its set if 0.4.0 had saved it.
    fn bookkeeping(&mut self) -> Result<(), EngineError> {
        let set = self.store.put_set(&self.prepared.target_set)?;
        self.store.adopt_release(self.prepared.to.id, Some(&set), &self.prepared.to.tags)?;
        self.store.remove_releases_after(self.prepared.to.id)?;
        let result = self.store.put_set(&self.prepared.plan.result)?;
        let before = self.store.put_set(&AppliedSet::of_rows(&self.prepared.rows))?;
        self.operation.to_set = Some(result);
        self.operation.from_set = Some(before);
        Ok(())
    }

    fn all_taken_back(&mut self, failure: Failure) -> EngineError {
        self.operation.steps_done = 0;
        match failure {
            Failure::Step(StepFailure { step, reason }) => {
                self.record_failure(&step);
                EngineError::Failed { step, reason }
            }
            Failure::Engine(error @ EngineError::WrongResult { .. }) => {
                self.record_failure("the check of the result");
                error
            }
            Failure::Engine(error @ EngineError::Database { .. }) => {
                self.record_failure("the records of the rollback");
                error
            }
            Failure::Engine(error) => error,
        }
    }

    /// Writes the failure into history. Where even that fails, the error that the user sees is the first one.
    fn record_failure(&mut self, step: &str) {
        self.operation.outcome = "failed".to_owned();
        self.operation.failed_step = Some(step.to_owned());
        if self.store.begin(Purpose::Records).is_err() {
            return;
        }
        let written = self.store.append_operation(&self.operation);
        let _ = self.store.end(written);
    }

    fn step_by_step(mut self) -> Result<RolledBack, EngineError> {
        let id = self.announce()?;
        match self.each_step(id) {
            Ok(notes) => Ok(RolledBack { notes }),
            Err(failure) => {
                self.store.rollback_quietly();
                Err(self.stopped(id, failure))
            }
        }
    }

    /// Writes down where it ended: with nothing changed, or part-way.
    fn stopped(&mut self, id: i64, failure: Failure) -> EngineError {
        let StepFailure { step, reason } = match failure {
            Failure::Step(failure) => failure,
            Failure::Engine(error) => {
                StepFailure { step: "the records of the rollback".to_owned(), reason: error.to_string() }
            }
        };
        let (done, total) = (self.operation.steps_done, self.prepared.plan.steps.len());
        let in_doubt = self.prepared.plan.steps.get(done).is_some_and(|next| !next.atomic);
        let unchanged = done == 0 && !(in_doubt && self.begun);
        self.operation.outcome = if unchanged { "failed" } else { "stopped" }.to_owned();
        self.operation.failed_step = Some(step.clone());
        // The row says `running` where even that cannot be written, and the rows of django_migrations say the rest.
        let _ = self.write_progress(id);
        if unchanged {
            EngineError::Failed { step, reason }
        } else {
            EngineError::Stopped { step, reason, done, total }
        }
    }

    /// Checks under the lock, and writes down that the rollback is on its way.
    fn announce(&mut self) -> Result<i64, EngineError> {
        self.store.begin_locked(Purpose::Records)?;
        let announced = self.check_still_true().and_then(|()| self.store.append_operation(&self.operation));
        self.store.end(announced)
    }

    fn each_step(&mut self, id: i64) -> Result<Vec<String>, Failure> {
        self.prepare_runner()?;
        self.begun = true;
        for step in &self.prepared.plan.steps {
            self.observer.step_begins(step);
            if step.atomic {
                self.store.begin_locked(Purpose::Schema)?;
                self.run(step)?;
            } else {
                self.runner.undo(step).map_err(|reason| self.failed(step, reason))?;
                self.store.begin_locked(Purpose::Records)?;
                step.rows.iter().try_for_each(|row| self.store.unrecord(row))?;
            }
            self.operation.steps_done += 1;
            self.store.update_operation(id, &self.operation)?;
            self.store.commit()?;
            self.observer.step_ends(step);
        }
        let notes = self.finish_runner()?;
        self.store.begin_locked(Purpose::Records)?;
        self.check_result()?;
        self.bookkeeping()?;
        self.operation.outcome = "done".to_owned();
        self.store.update_operation(id, &self.operation)?;
        self.store.commit()?;
        Ok(notes)
    }

    fn write_progress(&mut self, id: i64) -> Result<(), EngineError> {
        self.store.begin(Purpose::Records)?;
        let written = self.store.update_operation(id, &self.operation);
        self.store.end(written)
    }
}

fn operation(prepared: &Prepared, actor: &Actor) -> Operation {
    let removed: Vec<CommitId> = prepared.removed.iter().map(|release| release.commit.clone()).collect();
    Operation {
        kind: "rollback".to_owned(),
        outcome: "running".to_owned(),
        from: Some(prepared.from.commit.clone()),
        to: Some(prepared.to.commit.clone()),
        tags: prepared.to.tags.clone(),
        from_set: None,
        to_set: None,
        steps: prepared.plan.steps.iter().map(|step| step.migration.to_string()).collect(),
        steps_done: 0,
        releases_removed: removed,
        failed_step: None,
        token: None,
        user: actor.user.clone(),
        host: actor.host.clone(),
        version: VERSION.to_owned(),
    }
}
