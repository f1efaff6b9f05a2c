//! The one loop that carries a plan out: locks, checks, steps, proof, bookkeeping, commit.
//!
//! When every step can share a transaction there is one around everything, and a failure leaves the database as it was.
//! Where a step cannot, the plan is cut into segments around it, and history says after each how far it came.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use rollback_core::AppliedSet;
use rollback_core::plan::{Step, Way};

use super::open::Unfinished;
use super::recorded::Recorded;
use super::{Manners, Prepared, RolledBack, operation, verify};
use crate::Actor;
use crate::error::EngineError;
use crate::guard::Guard;
use crate::lock::{self, Claim};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Observer, Purpose, Runner, RunnerError};
use crate::store::{HandMade, Operation, Store};

/// Pauses between two tries: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long the server is asked what came of a lost connection.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// What is to be carried out, by whom and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The plan.
    pub prepared: &'a Prepared,
    /// Who asks for it.
    pub actor: &'a Actor,
    /// How it behaves.
    pub manners: &'a Manners,
}

/// Carries the plan out, or finishes the rollback that stopped on its way to the same release.
///
/// A failure says what it left behind: nothing, or an operation that can be resumed.
pub fn execute(
    database: &mut dyn Database,
    runner: &mut dyn Runner,
    order: &Order<'_>,
    observer: &mut dyn Observer,
) -> Result<RolledBack, EngineError> {
    let Order { prepared, actor, manners } = *order;
    if !prepared.plan.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() });
    }
    let resumed = match &prepared.unfinished {
        Some(unfinished) if unfinished.goes_to(&prepared.to.commit) => Some(unfinished),
        Some(unfinished) => return Err(unfinished.refusal()),
        None => None,
    };
    if manners.verify {
        prepared.check_verifiable()?;
    }
    refuse_losses(prepared.lost_rows(), manners)?;
    let execution = Execution {
        store: Store::open(database)?,
        runner,
        prepared,
        manners,
        observer,
        claim: Claim::new("rollback", actor, manners.lock_timeout),
        recorded: Recorded::default(),
        guard: None,
        id: 0,
        is_resumed: resumed.is_some(),
        done_before: resumed.map_or(0, |unfinished| unfinished.operation.steps_done),
        operation: resumed.map_or_else(
            || operation(prepared, actor),
            |unfinished| resume(unfinished, operation(prepared, actor)),
        ),
        started: Instant::now(),
    };
    if prepared.plan.is_atomic() { execution.in_one_transaction() } else { execution.in_segments() }
}

/// The operation that goes on: its first steps are permanent, and the others are those of the new plan.
fn resume(unfinished: &Unfinished, new: Operation) -> Operation {
    let before = &unfinished.operation;
    let mut steps: Vec<String> = before.steps.iter().take(before.steps_done).cloned().collect();
    steps.extend(new.steps);
    Operation {
        steps,
        steps_done: before.steps_done,
        step_begun: before.step_begun,
        from_set: before.from_set.clone(),
        ..new
    }
}

fn refuse_losses(rows: i64, manners: &Manners) -> Result<(), EngineError> {
    match manners.max_lost_rows {
        Some(limit) if rows > limit => Err(EngineError::WouldLoseData { rows, limit }),
        _ => Ok(()),
    }
}

struct Execution<'e> {
    store: Store<'e>,
    runner: &'e mut dyn Runner,
    prepared: &'e Prepared,
    manners: &'e Manners,
    observer: &'e mut dyn Observer,
    claim: Claim,
    recorded: Recorded,
    /// The lock, where a session of its own holds it for all transactions.
    guard: Option<Guard>,
    operation: Operation,
    /// Its number in history.
    id: i64,
    /// Whether it goes on with a rollback that stopped part-way: then it is part-way, whatever happens now.
    is_resumed: bool,
    /// How many steps are permanent.
    done_before: usize,
    started: Instant,
}

/// A failure on the way: of a step, or of the engine's own work around it.
enum Failure {
    Step { step: String, error: RunnerError },
    Engine(EngineError),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    fn kind(&self) -> Option<DatabaseErrorKind> {
        match self {
            Self::Step { error, .. } => Some(error.kind),
            Self::Engine(EngineError::Database { error, .. }) => Some(error.kind),
            Self::Engine(_) => None,
        }
    }

    fn is_lost(&self) -> bool {
        self.kind() == Some(DatabaseErrorKind::Unreachable)
    }

    fn reason(&self) -> String {
        match self {
            Self::Step { error, .. } => error.message.clone(),
            Self::Engine(EngineError::Database { error, .. }) => error.message.clone(),
            Self::Engine(error) => error.to_string(),
        }
    }

    /// At which step it ended, as history says it.
    fn place(&self) -> &str {
        match self {
            Self::Step { step, .. } => step,
            Self::Engine(EngineError::WrongResult { .. }) => "the check of the result",
            Self::Engine(EngineError::WrongSchema { .. }) => "the check of the schema",
            Self::Engine(_) => "the records of the rollback",
        }
    }
}

impl Execution<'_> {
    fn in_one_transaction(mut self) -> Result<RolledBack, EngineError> {
        let mut tries = 0;
        self.announce_patiently(&mut tries)?;
        loop {
            let failure = match self.attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            self.store.rollback_quietly();
            if failure.is_lost() {
                return self.after_a_lost_connection(&failure);
            }
            match self.wait_after(failure, &mut tries) {
                Ok(()) => self.operation.steps_done = self.done_before,
                Err(failure) => return Err(self.all_taken_back(failure)),
            }
        }
    }

    /// Everything, once: from the lock to the commit.
    fn attempt(&mut self) -> Result<RolledBack, Failure> {
        self.begin(self.purpose())?;
        self.check_still_true()?;
        self.lock_tables()?;
        self.prepare_runner()?;
        self.run_together(&self.prepared.plan.steps)?;
        self.close_and_commit()
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), EngineError> {
        match self.guard {
            Some(_) => self.store.begin_guarded(purpose, &self.claim),
            None => self.store.begin_locked(purpose, &self.claim),
        }
    }

    /// All locks before the first step; then nobody can write what was not counted.
    fn lock_tables(&mut self) -> Result<(), EngineError> {
        if self.prepared.plan.is_atomic() {
            self.store.lock_tables(&self.prepared.tables)?;
        } else {
            // An earlier segment may have dropped or renamed some.
            let left = self.store.existing(&self.prepared.tables)?;
            self.store.lock_tables(&left)?;
        }
        let Some(limit) = self.manners.max_lost_rows else { return Ok(()) };
        let drops = if self.prepared.plan.is_atomic() {
            self.prepared.drops.clone()
        } else {
            super::survey::still_there(&mut self.store, &self.prepared.drops)?
        };
        refuse_losses(super::survey::lost_rows_now(&mut self.store, &drops, limit)?, self.manners)
    }

    /// Announces in a transaction of its own. Nothing has been written when it fails.
    fn announce_patiently(&mut self, tries: &mut u32) -> Result<(), EngineError> {
        loop {
            let announced = self.begin(Purpose::Records).and_then(|()| self.announce());
            let Err(error) = self.store.end(announced) else { return Ok(()) };
            match self.wait_after(Failure::Engine(error), tries) {
                Ok(()) => {}
                Err(Failure::Engine(error)) => return Err(error),
                Err(Failure::Step { error, .. }) => return Err(EngineError::Project(error.message)),
            }
        }
    }

    /// Writes down that the rollback is on its way, so that a process that dies leaves a trace.
    fn announce(&mut self) -> Result<(), EngineError> {
        self.check_still_true()?;
        self.operation.token = Some(self.store.new_token()?);
        let resumed = self.prepared.unfinished.as_ref().map(|unfinished| unfinished.id);
        self.id = match resumed {
            Some(id) => {
                self.store.update_operation(id, &self.operation)?;
                id
            }
            None => self.store.append_operation(&self.operation)?,
        };
        Ok(())
    }

    fn run_together(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let hand_made = self.hand_made()?;
        self.run_all(steps)?;
        // Where Django remakes a table of SQLite, it makes again what it knows of, and no more.
        let left: Vec<HandMade> = self.hand_made()?;
        for lost in hand_made.iter().filter(|made| !left.contains(made)) {
            self.store.make_again(lost)?;
        }
        Ok(())
    }

    /// The indexes and triggers on SQLite that somebody made by hand.
    fn hand_made(&mut self) -> Result<Vec<HandMade>, EngineError> {
        if !self.prepared.expected.has_drift() {
            return Ok(Vec::new());
        }
        let mut made = self.store.indexes_and_triggers()?;
        made.retain(|made| self.prepared.expected.is_drift(&made.kind, &made.table, &made.name));
        Ok(made)
    }

    fn run_all(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            self.observer.step_begins(step);
            let begun = Instant::now();
            if step.runs_code {
                self.store.allow_silence(true)?;
            }
            self.change(step).map_err(|error| self.failed(step, error))?;
            if step.runs_code {
                self.store.allow_silence(false)?;
            }
            self.operation.steps_done += 1;
            self.observer.step_ends(step, begun.elapsed());
        }
        if let Some(last) = steps.iter().rfind(|step| step.way == Way::Sql) {
            let checked = self.recorded.finish(&mut self.store);
            checked.map_err(|error| self.failed(last, as_runner_failure(error)))?;
        }
        Ok(())
    }

    fn change(&mut self, step: &Step) -> Result<(), RunnerError> {
        match step.way {
            Way::Disk | Way::Capsule => self.runner.undo(step)?,
            Way::Sql => self.run_recorded(step).map_err(as_runner_failure)?,
            Way::Mark => return self.store.record(&step.migration).map_err(as_runner_error),
            Way::Unmark => {}
        }
        step.rows.iter().try_for_each(|row| self.store.unrecord(row)).map_err(as_runner_error)
    }

    fn run_recorded(&mut self, step: &Step) -> Result<(), DatabaseError> {
        let statements = &self.prepared.recordings[&step.migration].statements;
        self.recorded.run(&mut self.store, statements)
    }

    fn failed(&mut self, step: &Step, error: RunnerError) -> Failure {
        self.observer.step_failed(&step.migration);
        Failure::Step { step: step.migration.to_string(), error }
    }

    fn prepare_runner(&mut self) -> Result<(), Failure> {
        if !self.prepared.plan.needs_python() {
            return Ok(());
        }
        let prepared = self.runner.prepare(&self.prepared.plan);
        prepared.map_err(|error| Failure::Step { step: "the state of the models".to_owned(), error })
    }

    /// After the last step, in its transaction or in one of its own: signals, proof and bookkeeping.
    fn close(&mut self) -> Result<RolledBack, Failure> {
        let notes = self.finish_runner()?;
        self.check_result()?;
        let verified = if self.manners.verify {
            verify::verify(&mut self.store, &self.prepared.expected, &self.prepared.to)?
        } else {
            "not-verified"
        };
        self.operation.verified = Some(verified.to_owned());
        self.operation.step_begun = false;
        bookkeeping(&mut self.store, self.prepared, &mut self.operation)?;
        self.operation.outcome = "done".to_owned();
        self.store.update_operation(self.id, &self.operation)?;
        Ok(RolledBack { verified: verified.to_owned(), notes })
    }

    fn finish_runner(&mut self) -> Result<Vec<String>, Failure> {
        if !self.prepared.plan.needs_python() {
            return Ok(Vec::new());
        }
        let finished = self.runner.finish();
        finished.map_err(|error| Failure::Step { step: "post_migrate".to_owned(), error })
    }

    /// On SQLite foreign keys have to be off before the transaction, and only when tables change.
    fn purpose(&self) -> Purpose {
        if self.prepared.plan.undoes() { Purpose::Schema } else { Purpose::Records }
    }

    /// Under the lock: a plan that was made from another state never runs.
    fn check_still_true(&mut self) -> Result<(), EngineError> {
        let releases = self.store.releases()?;
        if !releases.starts_with(&self.prepared.releases) || self.store.applied_rows()? != self.prepared.rows
        {
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

    /// Waits before the next try, if another session was in the way and there is time; else the failure stands.
    fn wait_after(&mut self, failure: Failure, tries: &mut u32) -> Result<(), Failure> {
        if !failure.kind().is_some_and(lock::is_busy) {
            return Err(failure);
        }
        let waited = self.started.elapsed();
        let Some(left) = self.manners.wait.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return Err(Failure::Engine(EngineError::Waited {
                database: self.store.name(),
                waited: (waited + Duration::from_millis(500)).as_secs(),
                reason: failure.reason(),
                sessions: self.store.blocking_sessions(&self.prepared.tables)?,
            }));
        };
        self.observer.waits(&failure.reason());
        self.stay_alive()?;
        let paused = self.observer.pause(pause(*tries).min(left));
        *tries += 1;
        paused.map_err(|signal| Failure::Engine(EngineError::Interrupted { signal }))
    }

    /// Says in history that this rollback will try again: nobody holds the lock meanwhile, and others would take it for
    /// one whose process has died.
    fn stay_alive(&mut self) -> Result<(), EngineError> {
        if self.id == 0 {
            return Ok(());
        }
        match self.write_until_when() {
            Err(error) if error.signal().is_some() => Err(error),
            // The worst that comes of it is a wrong word in history for a while.
            _ => Ok(()),
        }
    }

    fn write_until_when(&mut self) -> Result<(), EngineError> {
        const MARGIN: Duration = Duration::from_secs(10);
        let longest = LONGEST_PAUSE + self.manners.lock_timeout + MARGIN;
        let until = self.store.clock(longest.as_secs())?;
        self.operation.waits_until = Some(until);
        let written = self.write_progress();
        self.operation.waits_until = None;
        written
    }

    fn all_taken_back(&mut self, failure: Failure) -> EngineError {
        self.operation.steps_done = self.done_before;
        let place = failure.place().to_owned();
        let error = match failure {
            Failure::Step {
                error: RunnerError { kind: DatabaseErrorKind::Interrupted { signal }, .. },
                ..
            } => EngineError::Interrupted { signal },
            Failure::Step { step, error } => EngineError::Failed { step, reason: error.message },
            Failure::Engine(error) => match error.signal() {
                Some(signal) => EngineError::Interrupted { signal },
                None => error,
            },
        };
        let outcome = match error {
            _ if self.is_resumed => "stopped",
            EngineError::Interrupted { .. } => "interrupted",
            _ => "failed",
        };
        self.record_end(outcome, &place);
        error
    }

    /// Writes into history how it ended. Where even that fails, the error that the user sees is the first one, and the
    /// next command settles the row.
    fn record_end(&mut self, outcome: &str, step: &str) {
        self.operation.outcome = outcome.to_owned();
        self.operation.failed_step = Some(step.to_owned());
        self.operation.to_set = None;
        self.operation.verified = None;
        let _ = self.write_progress();
    }

    fn write_progress(&mut self) -> Result<(), EngineError> {
        self.store.begin(Purpose::Records)?;
        let written = self.store.update_operation(self.id, &self.operation);
        self.store.end(written)
    }

    /// Asks the server what came of it: the operation's row says `done` only if everything was committed. The lock tells
    /// when the old session has ended, one way or the other.
    fn after_a_lost_connection(mut self, failure: &Failure) -> Result<RolledBack, EngineError> {
        let (reason, place) = (failure.reason(), failure.place().to_owned());
        let lost = Instant::now();
        let mut tries = 0;
        loop {
            match self.ask_after_a_lost_connection() {
                Ok(Some(operation)) => {
                    let notes = vec![format!(
                        "the connection was lost at the end ({reason}), and everything had been committed by then"
                    )];
                    return Ok(RolledBack { verified: operation.verified.unwrap_or_default(), notes });
                }
                Ok(None) => {
                    self.operation.steps_done = self.done_before;
                    self.record_end(if self.is_resumed { "stopped" } else { "failed" }, &place);
                    return Err(EngineError::ConnectionLost { database: self.store.name(), reason });
                }
                Err(_) if lost.elapsed() < RECONNECT_PATIENCE => {}
                Err(_) => return Err(EngineError::Unknown { database: self.store.name(), reason }),
            }
            let interrupted = self.observer.pause(pause(tries)).is_err();
            tries += 1;
            if interrupted {
                return Err(EngineError::Unknown { database: self.store.name(), reason });
            }
        }
    }

    /// The operation, if it is done; nothing, if everything was taken back.
    fn ask_after_a_lost_connection(&mut self) -> Result<Option<Operation>, EngineError> {
        self.store.reconnect()?;
        self.begin(Purpose::Records)?;
        let found = self.store.operation(self.id);
        self.store.rollback_quietly();
        // A server that took over without our commit may have given the number to another operation.
        let is_ours = |operation: &Operation| operation.token == self.operation.token;
        let found = found?.map(|found| found.operation).filter(is_ours);
        Ok(found.filter(|operation| operation.outcome == "done"))
    }

    /// Segment after segment, while a session of its own holds the lock.
    fn in_segments(mut self) -> Result<RolledBack, EngineError> {
        self.guard = Some(Guard::take(self.store.database(), &self.claim)?);
        self.announce_patiently(&mut 0)?;
        self.each_segment().map_err(|failure| {
            self.store.rollback_quietly();
            self.stopped(failure)
        })
    }

    fn each_segment(&mut self) -> Result<RolledBack, Failure> {
        let segments = self.prepared.plan.segments();
        let last = segments.len() - 1;
        for (number, segment) in segments.iter().enumerate() {
            if segment.is_outside_transaction {
                self.run_apart(&segment.steps[0], number == 0)?;
                continue;
            }
            self.begin_segment()?;
            if number == 0 {
                self.prepare_runner()?;
            }
            self.run_together(segment.steps)?;
            if number == last {
                return self.close_and_commit();
            }
            self.store.update_operation(self.id, &self.operation)?;
            self.store.commit()?;
            self.done_before = self.operation.steps_done;
        }
        self.begin(Purpose::Records)?;
        self.close_and_commit()
    }

    fn close_and_commit(&mut self) -> Result<RolledBack, Failure> {
        let done = self.close()?;
        self.store.commit()?;
        Ok(done)
    }

    /// Begins a transaction and takes the tables' locks; others in the way are waited for here.
    fn begin_segment(&mut self) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let begun = self.begin(Purpose::Schema).and_then(|()| self.lock_tables());
            let Err(error) = begun else { return Ok(()) };
            self.store.rollback_quietly();
            self.wait_after(Failure::Engine(error), &mut tries)?;
        }
    }

    /// A step outside a transaction. History says that it has begun before anything of it can be permanent.
    fn run_apart(&mut self, step: &Step, is_first: bool) -> Result<(), Failure> {
        // Its locks cannot be kept until it takes them, but they can be waited for.
        self.begin_segment()?;
        if is_first {
            self.prepare_runner()?;
        }
        self.store.commit()?;
        self.operation.step_begun = true;
        self.write_progress()?;
        self.observer.step_begins(step);
        let begun = Instant::now();
        self.store.limit_waiting(Some(self.manners.lock_timeout))?;
        let undone = self.runner.undo(step);
        let limited = self.store.limit_waiting(None);
        undone.map_err(|error| self.failed(step, error))?;
        limited?;
        self.begin(Purpose::Records)?;
        step.rows.iter().try_for_each(|row| self.store.unrecord(row))?;
        self.operation.steps_done += 1;
        self.operation.step_begun = false;
        self.store.update_operation(self.id, &self.operation)?;
        self.store.commit()?;
        self.done_before = self.operation.steps_done;
        self.observer.step_ends(step, begun.elapsed());
        Ok(())
    }

    /// Writes down where it ended: with nothing changed, or part-way.
    fn stopped(&mut self, failure: Failure) -> EngineError {
        if failure.is_lost() {
            // Where the server is not there again at once, the next command settles what history says.
            let _ = self.store.reconnect();
        }
        if self.done_before == 0 && !self.operation.step_begun && !self.is_resumed {
            return self.all_taken_back(failure);
        }
        let (done, total) = (self.done_before, self.operation.steps.len());
        self.operation.steps_done = done;
        self.record_end("stopped", failure.place());
        let reason = match failure {
            Failure::Step { step, error } => format!("{step} could not be undone: {}", error.message),
            Failure::Engine(error) => error.cause(),
        };
        EngineError::Stopped { reason, done, total }
    }
}

/// The target becomes the current release, and keeps its set if 0.4.0 had saved it.
pub(super) fn bookkeeping(
    store: &mut Store<'_>,
    prepared: &Prepared,
    operation: &mut Operation,
) -> Result<(), EngineError> {
    let set = store.put_set(&prepared.target_set)?;
    store.adopt_release(prepared.to.id, Some(&set), &prepared.to.tags)?;
    store.remove_releases_after(prepared.to.id)?;
    let result = store.put_set(&prepared.plan.result)?;
    let before = store.put_set(&AppliedSet::of_rows(&prepared.rows))?;
    operation.to_set = Some(result);
    operation.from_set.get_or_insert(before);
    Ok(())
}

fn as_runner_failure(error: DatabaseError) -> RunnerError {
    RunnerError { kind: error.kind, message: error.message }
}

fn as_runner_error(error: EngineError) -> RunnerError {
    match error {
        EngineError::Database { error, .. } => as_runner_failure(error),
        other => RunnerError { kind: DatabaseErrorKind::Other, message: other.to_string() },
    }
}

/// The pause after this many tries: twice as long each time, and never the same for two who wait for each other.
fn pause(tries: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(5)).min(LONGEST_PAUSE);
    let random = RandomState::new().hash_one(tries) % 500;
    longest.mul_f64(0.5 + f64::from(u32::try_from(random).unwrap_or(0)) / 1000.0)
}
