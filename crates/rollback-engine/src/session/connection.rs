//! A connection with the lock in its transaction.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::clock;
use super::error::SessionError;
use super::file_lock::take_file;
use super::row_lock::take_row;
use crate::dialect::{self, BlockingSession, Holder, LockRequest, Pending, Rules};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Purpose, Row, Value};

/// How long a command waits for another one that only settles what dead commands left behind.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, SessionError>;

/// A connection, and the lock if it holds it.
pub(crate) struct Session<'d> {
    database: &'d mut dyn Database,
    /// The locked file, where a file is the lock.
    file: Option<File>,
}

impl<'d> Session<'d> {
    /// The session of this connection. Nothing is asked of it.
    pub(crate) fn new(database: &'d mut dyn Database) -> Self {
        Self { database, file: None }
    }

    /// What is different about this database.
    pub(crate) fn rules(&self) -> &'static dyn Rules {
        dialect::of(self.database.dialect())
    }

    /// How the database is called.
    pub(crate) fn name(&self) -> String {
        self.database.name()
    }

    /// The connection itself.
    pub(crate) fn database(&mut self) -> &mut dyn Database {
        self.database
    }

    /// Runs a query.
    pub(crate) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let rows = self.database.query(sql, params);
        self.checked(rows)
    }

    /// Runs a statement.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<()> {
        let changed = self.database.execute(sql, params);
        self.checked(changed).map(drop)
    }

    /// Asks the connection, and names the database in a failure.
    pub(crate) fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Database) -> std::result::Result<T, DatabaseError>,
    ) -> Result<T> {
        let answer = question(self.database);
        self.checked(answer)
    }

    fn checked<T>(&self, result: std::result::Result<T, DatabaseError>) -> Result<T> {
        result.map_err(|error| SessionError::Database { database: self.name(), error })
    }

    /// Begins a transaction without the lock.
    pub(crate) fn begin(&mut self, purpose: Purpose) -> Result<()> {
        self.ask(|database| database.begin(purpose))
    }

    /// Begins a transaction and takes the one lock of saves and rollbacks in it, without waiting. Then it takes the lock
    /// on `django_migrations`, for which it waits as long as the request says.
    pub(crate) fn begin_locked(&mut self, purpose: Purpose, request: &LockRequest) -> Result<()> {
        // Whoever is refused is told by whom. A holder that cannot be named has just released the lock.
        const TRIES: u32 = 5;
        let started = Instant::now();
        let mut tries = 1;
        loop {
            match self.begin_locked_once(purpose, request) {
                Err(SessionError::Locked { holder: None, .. }) if tries < TRIES => tries += 1,
                Err(SessionError::Locked { holder: Some(holder), .. })
                    if holder.is_settling() && started.elapsed() < SETTLED_WITHIN =>
                {
                    thread::sleep(SETTLED_WITHIN / 50);
                }
                done => return done,
            }
        }
    }

    /// Begins with the lock, and waits a while for whoever has it: pods that start together all save, and each is done
    /// in a moment.
    pub(crate) fn begin_locked_patiently(&mut self, purpose: Purpose, request: &LockRequest) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        const PAUSE: Duration = Duration::from_millis(100);
        let started = Instant::now();
        loop {
            match self.begin_locked(purpose, request) {
                Err(error) if error.is_busy() && started.elapsed() < PATIENCE => thread::sleep(PAUSE),
                done => return done,
            }
        }
    }

    fn begin_locked_once(&mut self, purpose: Purpose, request: &LockRequest) -> Result<()> {
        let file = take_file(self.database, request)?;
        self.begin(purpose)?;
        self.file = file;
        self.lock(request).inspect_err(|_| self.rollback_quietly())
    }

    /// Like `begin_locked`, for a session whose lock a lock holder has.
    pub(crate) fn begin_for_holder(&mut self, purpose: Purpose, request: &LockRequest) -> Result<()> {
        let rules = self.rules();
        self.begin(purpose)?;
        let begun = self.ask(|database| {
            rules.set_execution_options(database, request)?;
            rules.lock_records(database)
        });
        begun.inspect_err(|_| self.rollback_quietly())
    }

    fn lock(&mut self, request: &LockRequest) -> Result<()> {
        let rules = self.rules();
        self.ask(|database| rules.set_execution_options(database, request))?;
        match take_row(self.database) {
            Ok(true) => {}
            Ok(false) => return Err(SessionError::Locked { database: self.name(), holder: None }),
            Err(error) if error.kind == DatabaseErrorKind::Busy => {
                self.rollback_quietly();
                let holder = self.holder()?;
                return Err(SessionError::Locked { database: self.name(), holder });
            }
            Err(error) => return self.checked(Err(error)),
        }
        self.ask(|database| rules.lock_records(database))
    }

    /// Makes everything since the beginning permanent, and releases the lock.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let committed = self.database.commit();
        self.file = None;
        self.checked(committed)
    }

    /// Ends the transaction: with a commit if its work succeeded, else everything is taken back.
    pub(crate) fn end<T, E: From<SessionError>>(
        &mut self,
        work: std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let ended = work.and_then(|done| {
            self.commit()?;
            Ok(done)
        });
        if ended.is_err() {
            self.rollback_quietly();
        }
        ended
    }

    /// Takes everything since the beginning back. A failure here leaves nothing to do: the connection is gone, and the
    /// database takes the transaction back by itself.
    pub(crate) fn rollback_quietly(&mut self) {
        let _ = self.database.rollback();
        self.file = None;
    }

    /// Connects again.
    pub(crate) fn reconnect(&mut self) -> Result<()> {
        self.ask(|database| database.reconnect())
    }

    /// The database's clock, some seconds from now, as RFC 3339 text, UTC: it sorts.
    pub(crate) fn clock(&mut self, seconds: u64) -> Result<String> {
        self.ask(|database| clock(database, seconds))
    }

    /// A text that no other call returns, in this database or in a copy of it.
    pub(crate) fn random_text(&mut self) -> Result<String> {
        let rows = self.query(self.rules().random_text(), &[])?;
        match rows.into_iter().flatten().next() {
            Some(Value::Text(text)) => Ok(text),
            _ => self.checked(Err(DatabaseError::new(
                DatabaseErrorKind::Other,
                "the database gives no random number",
            ))),
        }
    }

    /// Sets how long the server keeps this transaction while its client is silent; `None` for ever: code of the project
    /// may think for as long as it likes between two statements.
    pub(crate) fn set_idle_timeout(&mut self, longest: Option<Duration>) -> Result<()> {
        let rules = self.rules();
        self.ask(|database| rules.set_idle_timeout(database, longest))
    }

    /// Limits how long every statement of this session waits for a lock, also outside transactions; `None` resets it.
    /// Not through a pooler: there it would stay with others.
    pub(crate) fn limit_waiting(&mut self, longest: Option<Duration>) -> Result<()> {
        let rules = self.rules();
        self.ask(|database| rules.limit_waiting(database, longest))
    }

    /// Takes the locks on these tables.
    pub(crate) fn lock_tables(&mut self, tables: &[String]) -> Result<()> {
        let rules = self.rules();
        self.ask(|database| rules.lock_tables(database, tables))
    }

    /// Those of these tables that exist.
    pub(crate) fn existing(&mut self, tables: &[String]) -> Result<Vec<String>> {
        let rules = self.rules();
        self.ask(|database| rules.existing(database, tables))
    }

    /// Who holds the lock, as far as this role may know.
    pub(crate) fn holder(&mut self) -> Result<Option<Holder>> {
        let rules = self.rules();
        self.ask(|database| rules.holder(database))
    }

    /// The sessions that hold locks on these tables, or on `django_migrations`.
    pub(crate) fn blocking_sessions(&mut self, tables: &[String]) -> Result<Vec<BlockingSession>> {
        let mut tables = tables.to_vec();
        tables.push("django_migrations".to_owned());
        let rules = self.rules();
        self.ask(|database| rules.blocking_sessions(database, &tables))
    }

    /// Runs statements that were recorded.
    pub(crate) fn run_recorded(
        &mut self,
        statements: &[String],
        pending: &mut Pending,
    ) -> std::result::Result<(), DatabaseError> {
        let rules = self.rules();
        statements.iter().try_for_each(|statement| rules.run_recorded(self.database, statement, pending))
    }

    /// Checks, behind the last recorded statement, that no constraint is violated.
    pub(crate) fn finish_recorded(
        &mut self,
        pending: &mut Pending,
    ) -> std::result::Result<(), DatabaseError> {
        self.rules().finish_recorded(self.database, pending)
    }
}
