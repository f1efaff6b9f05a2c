//! Ctrl-C and SIGTERM: the first one stops the running statement, and the engine undoes the transaction.
//!
//! It is raised once, as an error of the database, by the next call that may be stopped. A running commit may not.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};

/// Stops the statement that a connection runs, from another thread.
pub(crate) type Canceller = Box<dyn Fn() + Send>;

static PENDING: AtomicI32 = AtomicI32::new(0);
static RAISED: AtomicBool = AtomicBool::new(false);
static CANCELLER: Mutex<Option<Canceller>> = Mutex::new(None);

/// Asks to stop. Returns whether there is a connection that will see it.
pub fn request(signal: i32) -> bool {
    PENDING.store(signal, Ordering::SeqCst);
    match CANCELLER.lock() {
        Ok(canceller) => canceller.as_ref().map(|cancel| cancel()).is_some(),
        Err(_) => false,
    }
}

/// The number of the signal that asked to stop.
pub fn requested() -> Option<i32> {
    Some(PENDING.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// The interruption, if there is one that has not been raised yet.
fn raise() -> Option<DatabaseError> {
    let signal = requested()?;
    (!RAISED.swap(true, Ordering::SeqCst))
        .then(|| DatabaseError::new(DatabaseErrorKind::Interrupted { signal }, "interrupted by a signal"))
}

/// A database whose statements can be stopped.
pub(crate) trait Cancel {
    /// What stops a statement of this connection.
    fn canceller(&self) -> Option<Canceller>;
}

/// A connection that `request` can interrupt; the newest one counts.
pub(crate) struct Interruptible<D>(D);

impl<D: Database + Cancel> Interruptible<D> {
    /// From now on a signal stops the statements of this connection.
    pub(crate) fn new(database: D) -> Self {
        remember(&database);
        Self(database)
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut D) -> Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        if let Some(interruption) = raise() {
            return Err(interruption);
        }
        call(&mut self.0).map_err(|error| raise().unwrap_or(error))
    }
}

fn remember(database: &impl Cancel) {
    if let Ok(mut canceller) = CANCELLER.lock() {
        *canceller = database.canceller();
    }
}

impl<D: Database + Cancel> Database for Interruptible<D> {
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        self.call(|database| database.query(sql, params))
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.call(|database| database.execute(sql, params))
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.call(|database| database.run(sql))
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError> {
        self.call(|database| database.begin(purpose))
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        match raise() {
            Some(interruption) => {
                self.0.rollback()?;
                Err(interruption)
            }
            None => self.0.commit(),
        }
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        self.0.rollback()
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        self.0.reconnect()?;
        remember(&self.0);
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        self.0.another()
    }

    fn is_pooled(&mut self) -> Result<Option<bool>, DatabaseError> {
        self.0.is_pooled()
    }

    fn lock_file(&self) -> Option<PathBuf> {
        self.0.lock_file()
    }
}
