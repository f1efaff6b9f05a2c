//! The one loop that carries a plan out: locks, checks, steps, proof, history, commit.
//!
//! If every step can share a transaction, there is one around everything, and a failure leaves the database as it was.
//! If a step cannot, the plan is cut into segments around it, and history says after each how far it came.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use rollback_core::AppliedSet;
use rollback_core::plan::{Step, Way};

use super::error::RollbackError;
use super::failure::Failure;
use super::preflight::{lost_rows_now, still_there};
use super::prepared::{ExecutionOptions, Prepared};
use super::steps::{Steps, write_rows};
use super::{record, verify};
use crate::actor::Actor;
use crate::dialect::{IDLE_TIMEOUT, LockRequest, RemadeObject};
use crate::ports::{Database, DatabaseErrorKind, Observer, Purpose, Runner, RunnerError};
use crate::session::LockHolder;
use crate::store::{Event, Operation, Outcome, RollbackEvent, Store, StoreError, Verification};

/// Pauses between two tries: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long the server is asked what became of a lost connection.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// What is carried out, by whom and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The plan.
    pub prepared: &'a Prepared,
    /// Who asks for it.
    pub actor: &'a Actor,
    /// How it behaves.
    pub options: &'a ExecutionOptions,
}

/// What became of a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// How the schema compares with the target's.
    pub verified: Verification,
    /// What the receivers of `post_migrate` could not do, and other notes.
    pub notes: Vec<String>,
}

/// Carries the plan out, or finishes the rollback that stopped on its way to the same release.
///
/// A failure says what it left behind: nothing, or an operation that can be resumed.
pub fn execute(
    database: &mut dyn Database,
    runner: &mut dyn Runner,
    order: &Order<'_>,
    observer: &mut dyn Observer,
) -> Result<RolledBack, RollbackError> {
    let Order { prepared, actor, options } = *order;
    prepared.check_blockers()?;
    let resumed = match &prepared.unfinished {
        Some(unfinished) if unfinished.goes_to(&prepared.to.commit) => Some(&unfinished.event),
        Some(unfinished) => return Err(unfinished.refusal().into()),
        None => None,
    };
    if options.verify {
        prepared.check_verifiable()?;
    }
    refuse_losses(prepared.lost_rows(), options)?;
    let event = resumed
        .map_or_else(|| record::beginning(prepared), |unfinished| record::going_on(unfinished, prepared));
    let execution = Execution {
        store: Store::open(database)?,
        runner,
        prepared,
        options,
        observer,
        actor,
        request: LockRequest::new("rollback", actor, options.lock_timeout),
        steps: Steps::new(&prepared.recordings),
        lock_holder: None,
        id: 0,
        is_resumed: resumed.is_some(),
        done_before: event.steps_done,
        event,
        started: Instant::now(),
    };
    if prepared.plan.is_atomic() { execution.in_one_transaction() } else { execution.in_segments() }
}

fn refuse_losses(rows: i64, options: &ExecutionOptions) -> Result<(), RollbackError> {
    match options.max_lost_rows {
        Some(limit) if rows > limit => Err(RollbackError::WouldLoseData { rows, limit }),
        _ => Ok(()),
    }
}

struct Execution<'e> {
    store: Store<'e>,
    runner: &'e mut dyn Runner,
    prepared: &'e Prepared,
    options: &'e ExecutionOptions,
    observer: &'e mut dyn Observer,
    actor: &'e Actor,
    request: LockRequest,
    steps: Steps<'e>,
    /// Holds the lock for all transactions, if there are several.
    lock_holder: Option<LockHolder>,
    /// What history says of it.
    event: RollbackEvent,
    /// Its number in history; 0 before it has one.
    id: i64,
    /// Whether it goes on with a rollback that stopped part-way: then it is part-way, whatever happens now.
    is_resumed: bool,
    /// How many steps are permanent.
    done_before: usize,
    started: Instant,
}

impl Execution<'_> {
    fn in_one_transaction(mut self) -> Result<RolledBack, RollbackError> {
        let mut tries = 0;
        self.announce_patiently(&mut tries)?;
        let announced = self.event.clone();
        loop {
            let failure = match self.attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            self.store.session.rollback_quietly();
            // Whatever it had come to, it has begun and no more.
            self.event = announced.clone();
            if failure.is_lost() {
                return self.after_a_lost_connection(&failure);
            }
            if let Err(failure) = self.wait_after(failure, &mut tries) {
                return Err(self.all_taken_back(failure));
            }
        }
    }

    /// Everything, once: from the lock to the commit.
    fn attempt(&mut self) -> Result<RolledBack, Failure> {
        self.steps = Steps::new(&self.prepared.recordings);
        self.begin(self.purpose())?;
        self.check_still_true()?;
        self.lock_tables()?;
        self.prepare_runner()?;
        self.run_together(&self.prepared.plan.steps)?;
        self.close_and_commit()
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), RollbackError> {
        let session = &mut self.store.session;
        let begun = match self.lock_holder {
            Some(_) => session.begin_for_holder(purpose, &self.request),
            None => session.begin_locked(purpose, &self.request),
        };
        Ok(begun?)
    }

    /// All locks before the first step; then nobody can write what was not counted.
    fn lock_tables(&mut self) -> Result<(), RollbackError> {
        if self.prepared.plan.is_atomic() {
            self.store.session.lock_tables(&self.prepared.tables)?;
        } else {
            // An earlier segment may have dropped or renamed some.
            let left = self.store.session.existing(&self.prepared.tables)?;
            self.store.session.lock_tables(&left)?;
        }
        let Some(limit) = self.options.max_lost_rows else { return Ok(()) };
        let drops = if self.prepared.plan.is_atomic() {
            self.prepared.drops.clone()
        } else {
            still_there(&mut self.store, &self.prepared.drops)?
        };
        refuse_losses(lost_rows_now(&mut self.store, &drops, limit)?, self.options)
    }

    /// Announces in a transaction of its own. Nothing has been written when it fails.
    fn announce_patiently(&mut self, tries: &mut u32) -> Result<(), RollbackError> {
        loop {
            let announced = self.begin(Purpose::Records).and_then(|()| self.announce());
            let Err(error) = self.store.session.end(announced) else { return Ok(()) };
            match self.wait_after(Failure::Engine(error), tries) {
                Ok(()) => {}
                Err(Failure::Engine(error)) => return Err(error),
                Err(Failure::Step { error, .. }) => return Err(RollbackError::project(error)),
            }
        }
    }

    /// Writes down that the rollback is on its way, so that a process that dies leaves a trace.
    fn announce(&mut self) -> Result<(), RollbackError> {
        self.check_still_true()?;
        self.event.token = Some(self.store.session.random_text()?);
        let resumed = self.prepared.unfinished.as_ref().map(|unfinished| unfinished.id);
        self.id = match resumed {
            Some(id) => {
                self.write_event(id)?;
                id
            }
            None => self.store.append_operation(&self.operation())?,
        };
        Ok(())
    }

    fn run_together(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let hand_made = self.hand_made()?;
        self.run_all(steps)?;
        // When Django remakes a table of SQLite, it makes again what it knows of, and no more.
        let left: Vec<RemadeObject> = self.hand_made()?;
        for lost in hand_made.iter().filter(|made| !left.contains(made)) {
            self.make_again(lost)?;
        }
        Ok(())
    }

    /// The indexes and triggers on SQLite that somebody made by hand.
    fn hand_made(&mut self) -> Result<Vec<RemadeObject>, RollbackError> {
        if !self.prepared.expected.has_drift() {
            return Ok(Vec::new());
        }
        let mut made = self.lost_in_remakes()?;
        made.retain(|made| self.prepared.expected.is_drift(&made.kind, &made.table, &made.name));
        Ok(made)
    }

    fn lost_in_remakes(&mut self) -> Result<Vec<RemadeObject>, RollbackError> {
        let rules = self.store.session.rules();
        Ok(self.store.session.ask(|database| rules.lost_in_remakes(database))?)
    }

    /// Makes an index or a trigger again. If that fails because its table or column is gone, nothing is wrong.
    fn make_again(&mut self, object: &RemadeObject) -> Result<(), RollbackError> {
        let made = self.store.session.execute(&object.sql, &[]);
        match made {
            Err(error) if matches!(error.kind(), Some(DatabaseErrorKind::Interrupted { .. })) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    fn run_all(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            self.observer.step_begins(step);
            let begun = Instant::now();
            if step.runs_code {
                self.store.session.set_idle_timeout(None)?;
            }
            let applied = self.steps.apply(&mut self.store, self.runner, step);
            applied.map_err(|error| self.failed(step, error))?;
            if step.runs_code {
                self.store.session.set_idle_timeout(Some(IDLE_TIMEOUT))?;
            }
            self.event.steps_done += 1;
            self.observer.step_ends(step, begun.elapsed());
        }
        if let Some(last) = steps.iter().rfind(|step| step.way == Way::Sql) {
            let checked = self.steps.finish(&mut self.store);
            checked.map_err(|error| self.failed(last, error))?;
        }
        Ok(())
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
        let verified = if self.options.verify {
            verify::verify(&mut self.store, &self.prepared.expected, &self.prepared.to)?
        } else {
            Verification::NotVerified
        };
        self.event.verified = Some(verified);
        record::close(&mut self.store, self.prepared, &mut self.event)?;
        self.write_event(self.id)?;
        Ok(RolledBack { verified, notes })
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
    fn check_still_true(&mut self) -> Result<(), RollbackError> {
        let releases = self.store.releases()?;
        if !releases.starts_with(&self.prepared.releases) || self.store.applied_rows()? != self.prepared.rows
        {
            return Err(StoreError::Stale.into());
        }
        Ok(())
    }

    /// Before the commit: the rows are those that the plan promised.
    fn check_result(&mut self) -> Result<(), RollbackError> {
        let found = AppliedSet::of_rows(&self.store.applied_rows()?);
        let expected = &self.prepared.plan.result;
        let surplus = found.minus(expected).map(|id| format!("{id} is still recorded"));
        let absent = expected.minus(&found).map(|id| format!("{id} is not recorded any more"));
        let difference: Vec<String> = surplus.chain(absent).take(3).collect();
        if difference.is_empty() {
            return Ok(());
        }
        Err(RollbackError::WrongResult { difference: difference.join(", ") })
    }

    /// Waits before the next try, if another session was in the way and there is time; else the failure stands.
    fn wait_after(&mut self, failure: Failure, tries: &mut u32) -> Result<(), Failure> {
        if !failure.is_busy() {
            return Err(failure);
        }
        let waited = self.started.elapsed();
        let Some(left) = self.options.wait.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return Err(Failure::Engine(RollbackError::Waited {
                database: self.store.session.name(),
                waited: (waited + Duration::from_millis(500)).as_secs(),
                reason: failure.reason(),
                sessions: self.store.session.blocking_sessions(&self.prepared.tables)?,
            }));
        };
        self.observer.waits(&failure.reason());
        self.stay_alive()?;
        let paused = self.observer.pause(pause(*tries).min(left));
        *tries += 1;
        paused.map_err(|signal| Failure::Engine(RollbackError::interrupted(signal)))
    }

    /// Says in history that this rollback will try again: nobody holds the lock meanwhile, and others would take it for
    /// one whose process has died.
    fn stay_alive(&mut self) -> Result<(), RollbackError> {
        if self.id == 0 {
            return Ok(());
        }
        match self.write_until_when() {
            Err(error) if error.signal().is_some() => Err(error),
            // The worst that comes of it is a wrong word in history for a while.
            _ => Ok(()),
        }
    }

    fn write_until_when(&mut self) -> Result<(), RollbackError> {
        const MARGIN: Duration = Duration::from_secs(10);
        let longest = LONGEST_PAUSE + self.options.lock_timeout + MARGIN;
        let until = self.store.session.clock(longest.as_secs())?;
        self.event.waits_until = Some(until);
        let written = self.write_progress();
        self.event.waits_until = None;
        written
    }

    fn all_taken_back(&mut self, failure: Failure) -> RollbackError {
        self.event.steps_done = self.done_before;
        let place = failure.place().to_owned();
        let error = failure.into_error();
        let outcome = match error.signal() {
            _ if self.is_resumed => Outcome::Stopped,
            Some(_) => Outcome::Interrupted,
            None => Outcome::Failed,
        };
        self.record_end(outcome, &place);
        error
    }

    /// Writes into history how it ended. If even that fails, the error that the user sees is the first one, and the
    /// next command settles the row.
    fn record_end(&mut self, outcome: Outcome, step: &str) {
        self.event.outcome = outcome;
        self.event.failed_step = Some(step.to_owned());
        self.event.to_set = None;
        self.event.verified = None;
        let _ = self.write_progress();
    }

    fn operation(&self) -> Operation {
        Operation::new(Event::Rollback(self.event.clone()), self.actor)
    }

    fn write_event(&mut self, id: i64) -> Result<(), RollbackError> {
        let operation = self.operation();
        Ok(self.store.update_operation(id, &operation)?)
    }

    fn write_progress(&mut self) -> Result<(), RollbackError> {
        self.store.session.begin(Purpose::Records)?;
        let written = self.write_event(self.id);
        self.store.session.end(written)
    }

    /// Asks the server what came of it: the operation's row says `done` only if everything was committed. The lock tells
    /// when the old session has ended, one way or the other.
    fn after_a_lost_connection(mut self, failure: &Failure) -> Result<RolledBack, RollbackError> {
        let (reason, place) = (failure.reason(), failure.place().to_owned());
        let lost = Instant::now();
        let mut tries = 0;
        loop {
            match self.ask_after_a_lost_connection() {
                Ok(Some(event)) => {
                    let notes = vec![format!(
                        "the connection was lost at the end ({reason}), and everything had been committed by then"
                    )];
                    let verified = event.verified.unwrap_or(Verification::NotVerified);
                    return Ok(RolledBack { verified, notes });
                }
                Ok(None) => {
                    self.event.steps_done = self.done_before;
                    let outcome = if self.is_resumed { Outcome::Stopped } else { Outcome::Failed };
                    self.record_end(outcome, &place);
                    return Err(RollbackError::ConnectionLost {
                        database: self.store.session.name(),
                        reason,
                    });
                }
                Err(_) if lost.elapsed() < RECONNECT_PATIENCE => {}
                Err(_) => return Err(RollbackError::Unknown { database: self.store.session.name(), reason }),
            }
            let interrupted = self.observer.pause(pause(tries)).is_err();
            tries += 1;
            if interrupted {
                return Err(RollbackError::Unknown { database: self.store.session.name(), reason });
            }
        }
    }

    /// What history says of it, if it is done; nothing if everything was taken back.
    fn ask_after_a_lost_connection(&mut self) -> Result<Option<RollbackEvent>, RollbackError> {
        self.store.session.reconnect()?;
        self.begin(Purpose::Records)?;
        let found = self.store.operation(self.id);
        self.store.session.rollback_quietly();
        // A server that took over without our commit may have given the number to another operation.
        let is_ours = |event: &RollbackEvent| event.token == self.event.token;
        Ok(match found?.map(|found| found.operation.event) {
            Some(Event::Rollback(event)) if is_ours(&event) && event.outcome == Outcome::Done => Some(event),
            _ => None,
        })
    }

    /// Segment after segment, while a session of its own holds the lock.
    fn in_segments(mut self) -> Result<RolledBack, RollbackError> {
        self.lock_holder = Some(LockHolder::take(self.store.session.database(), &self.request)?);
        self.announce_patiently(&mut 0)?;
        self.each_segment().map_err(|failure| {
            self.store.session.rollback_quietly();
            self.stopped(failure)
        })
    }

    fn each_segment(&mut self) -> Result<RolledBack, Failure> {
        let segments = self.prepared.plan.segments();
        let last = segments.len() - 1;
        for (number, segment) in segments.iter().enumerate() {
            if segment.is_outside_transaction {
                self.run_outside_transaction(&segment.steps[0], number == 0)?;
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
            self.write_event(self.id)?;
            self.store.session.commit()?;
            self.done_before = self.event.steps_done;
        }
        self.begin(Purpose::Records)?;
        self.close_and_commit()
    }

    fn close_and_commit(&mut self) -> Result<RolledBack, Failure> {
        let done = self.close()?;
        self.store.session.commit()?;
        Ok(done)
    }

    /// Begins a transaction and takes the tables' locks; others in the way are waited for here.
    fn begin_segment(&mut self) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let begun = self.begin(Purpose::Schema).and_then(|()| self.lock_tables());
            let Err(error) = begun else { return Ok(()) };
            self.store.session.rollback_quietly();
            self.wait_after(Failure::Engine(error), &mut tries)?;
        }
    }

    /// A step outside a transaction. History says that it has begun before anything of it can be permanent.
    fn run_outside_transaction(&mut self, step: &Step, is_first: bool) -> Result<(), Failure> {
        // Its locks cannot be kept until it takes them, but they can be waited for.
        self.begin_segment()?;
        if is_first {
            self.prepare_runner()?;
        }
        self.store.session.commit()?;
        self.event.step_begun = true;
        self.write_progress()?;
        self.observer.step_begins(step);
        let begun = Instant::now();
        self.store.session.limit_waiting(Some(self.options.lock_timeout))?;
        let undone = self.runner.undo(step);
        let limited = self.store.session.limit_waiting(None);
        undone.map_err(|error| self.failed(step, error))?;
        limited?;
        self.begin(Purpose::Records)?;
        write_rows(&mut self.store, step)?;
        self.event.steps_done += 1;
        self.event.step_begun = false;
        self.write_event(self.id)?;
        self.store.session.commit()?;
        self.done_before = self.event.steps_done;
        self.observer.step_ends(step, begun.elapsed());
        Ok(())
    }

    /// Writes down where it ended: with nothing changed, or part-way.
    fn stopped(&mut self, failure: Failure) -> RollbackError {
        if failure.is_lost() {
            // If the server is not back at once, the next command settles what history says.
            let _ = self.store.session.reconnect();
        }
        if self.done_before == 0 && !self.event.step_begun && !self.is_resumed {
            return self.all_taken_back(failure);
        }
        let (done, total) = (self.done_before, self.event.route.steps.len());
        self.event.steps_done = done;
        self.record_end(Outcome::Stopped, failure.place());
        let reason = failure.cause();
        RollbackError::Stopped { reason, done, total }
    }
}

/// The pause after this many tries: twice as long each time, and never the same for two who wait for each other.
fn pause(tries: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(5)).min(LONGEST_PAUSE);
    let random = RandomState::new().hash_one(tries) % 500;
    longest.mul_f64(0.5 + f64::from(u32::try_from(random).unwrap_or(0)) / 1000.0)
}
