//! Who may write, how long a statement waits for others, and who is in the way.

use std::fmt;
use std::time::Duration;

use rollback_core::sql::without_values;

use crate::actor::Actor;
use crate::ports::{Database, DatabaseError};

/// Who takes the lock, for what, and how long they wait for the locks of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// What the session calls itself while it holds the lock: others read it.
    pub label: String,
    /// How long one statement waits for a lock of another session.
    pub lock_timeout: Duration,
    /// How long the server keeps the transaction of a silent client; `None` for ever.
    pub idle_timeout: Option<Duration>,
}

/// How long one statement waits for a lock by default. Every reader that comes meanwhile queues behind it, so it is as
/// short as the application can bear unnoticed. It is below PostgreSQL's `deadlock_timeout`: in a deadlock, the rollback
/// gives way.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a look at a table waits for a session that alters it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server keeps the locks of a client whose host has vanished.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a session calls its operation while it settles what dead commands left behind.
pub(crate) const SETTLE: &str = "settle";

/// What a session's name begins with.
pub(crate) const PREFIX: &str = "django-rollback: ";

impl LockRequest {
    /// The request of this operation.
    pub fn new(operation: &str, actor: &Actor, lock_timeout: Duration) -> Self {
        let label = format!("{PREFIX}{operation} by {}@{}", actor.user, actor.host);
        Self { label, lock_timeout, idle_timeout: Some(IDLE_TIMEOUT) }
    }

    /// For a look at tables that another session may be altering: a waiting reader keeps nobody else waiting.
    pub(crate) fn to_look() -> Self {
        let label = format!("{PREFIX}look");
        Self { label, lock_timeout: LOOK_TIMEOUT, idle_timeout: Some(IDLE_TIMEOUT) }
    }

    /// The same for a session that holds the lock while another one works: it may be silent for as long as that takes.
    pub(crate) fn for_another(self) -> Self {
        Self { idle_timeout: None, ..self }
    }
}

/// A label as others see it, without the prefix that marks our sessions.
pub(crate) fn shown_label(label: &str) -> &str {
    label.strip_prefix(PREFIX).unwrap_or(label)
}

/// Who holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// `rollback by deploy@web-1`; empty if that cannot be read.
    pub what: String,
    /// The process id of its session on the server.
    pub pid: Option<i64>,
    /// Since when, by the database's clock.
    pub since: Option<String>,
}

impl Holder {
    /// Whether it only writes down what became of commands that died: a matter of milliseconds.
    pub(crate) fn is_settling(&self) -> bool {
        self.what.strip_prefix(SETTLE).is_some_and(|rest| rest.starts_with(' '))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.what.is_empty() { "another session" } else { &self.what })?;
        if let Some(since) = &self.since {
            write!(f, ", since {since}")?;
        }
        match self.pid {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

/// A session that holds a lock that a rollback needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingSession {
    /// Its process id on the server.
    pub pid: i64,
    /// Its role.
    pub user: String,
    /// The age of its transaction, in seconds.
    pub age: i64,
    /// What it runs, or ran last, without the values in it.
    pub query: String,
}

impl BlockingSession {
    /// A session with the query that it runs: shown without its values, and not too long.
    pub(crate) fn new(pid: i64, user: String, age: i64, query: &str) -> Self {
        const LONGEST: usize = 120;
        let query = without_values(query);
        let short: String = query.chars().take(LONGEST).collect();
        let query = if short.len() < query.len() { format!("{short}…") } else { short };
        Self { pid, user, age, query }
    }
}

impl fmt::Display for BlockingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, user, age, query } = self;
        write!(f, "pid {pid}, user {user}, for {age} s: {query}")
    }
}

/// Statements about locks, all of them inside a transaction unless they say otherwise.
pub(crate) trait Locks {
    /// Whether rows can be locked. Where they cannot, a file beside the database is the lock.
    fn has_row_locks(&self) -> bool;

    /// Whether a reader waits behind a session that alters a table.
    fn readers_wait(&self) -> bool;

    /// A query that takes the lock's row without waiting, and returns it.
    fn take_row(&self) -> &'static str;

    /// Sets how this transaction behaves: its isolation, its timeouts, its name, and how durable its commit is.
    fn set_execution_options(
        &self,
        database: &mut dyn Database,
        request: &LockRequest,
    ) -> Result<(), DatabaseError>;

    /// Sets how long the server keeps this transaction while its client is silent; `None` for ever.
    fn set_idle_timeout(
        &self,
        database: &mut dyn Database,
        longest: Option<Duration>,
    ) -> Result<(), DatabaseError>;

    /// Sets how long statements outside transactions wait for a lock, for this session; `None` resets it.
    fn limit_waiting(
        &self,
        database: &mut dyn Database,
        longest: Option<Duration>,
    ) -> Result<(), DatabaseError>;

    /// Keeps every other writer of `django_migrations` away, also a `migrate` of a project without this app.
    fn lock_records(&self, database: &mut dyn Database) -> Result<(), DatabaseError>;

    /// Takes all locks that the steps need, in one order, before the first step: then no step has to wait, and others
    /// wait once.
    fn lock_tables(&self, database: &mut dyn Database, tables: &[String]) -> Result<(), DatabaseError>;

    /// Who holds the lock, as far as this role may know.
    fn holder(&self, database: &mut dyn Database) -> Result<Option<Holder>, DatabaseError>;

    /// The sessions that hold locks on these tables, the oldest first.
    fn blocking_sessions(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Vec<BlockingSession>, DatabaseError>;
}
