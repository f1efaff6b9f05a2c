//! One at a time: who may write, how long they wait for others, and who is in the way.
//!
//! The lock is a row, taken without waiting inside the transaction: a session's advisory lock is worth nothing behind a
//! transaction pooler. `SET LOCAL` and nothing else, for the same reason. SQLite has no row locks: there a file beside
//! the database is locked, and the operating system frees it when its holder ends, however it ends.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rollback_core::sql::without_values;

use crate::Actor;
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Row, Value};

/// Who takes the lock, for what, and how long they wait for the locks of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the session calls itself while it holds the lock: others read it.
    pub label: String,
    /// How long one statement waits for a lock of another session.
    pub lock_timeout: Duration,
    /// How long the server keeps the transaction of a client that is silent; `None` for ever.
    pub idle_timeout: Option<Duration>,
}

/// How long one statement waits for a lock by default. Every reader that comes meanwhile waits behind it, so it is as
/// short as the application can do without noticing, and below PostgreSQL's `deadlock_timeout`: in a deadlock the
/// rollback gives way.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a look at a table waits for whoever alters it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the server keeps the locks of a client whose host has vanished.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command waits for another one that only settles what was left behind.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(1);
/// What such a session calls its operation.
pub(crate) const SETTLE: &str = "settle";
/// What the session's name begins with.
const PREFIX: &str = "django-rollback: ";
/// The longest `application_name` that PostgreSQL keeps.
const LONGEST_LABEL: usize = 63;

impl Claim {
    /// The claim of this operation.
    pub fn new(operation: &str, actor: &Actor, lock_timeout: Duration) -> Self {
        let label = format!("{PREFIX}{operation} by {}@{}", actor.user, actor.host);
        Self { label, lock_timeout, idle_timeout: Some(IDLE_TIMEOUT) }
    }

    /// For a look at tables that somebody may be altering: a reader who waits keeps nobody else waiting.
    pub(crate) fn to_look() -> Self {
        let label = format!("{PREFIX}look");
        Self { label, lock_timeout: LOOK_TIMEOUT, idle_timeout: Some(IDLE_TIMEOUT) }
    }

    /// The same for a session that holds the lock while another one works: it may be silent for as long as that takes.
    pub fn for_another(self) -> Self {
        Self { idle_timeout: None, ..self }
    }
}

/// Who holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// `rollback by deploy@web-1`; empty where that cannot be read.
    pub what: String,
    /// The process id of its session on the server.
    pub pid: Option<i64>,
    /// Since when, as the database's clock says it.
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

/// A session that holds a lock that is needed.
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

impl fmt::Display for BlockingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, user, age, query } = self;
        write!(f, "pid {pid}, user {user}, for {age} s: {query}")
    }
}

/// Sets how this transaction behaves. `client_connection_check_interval` is there from PostgreSQL 14 on, and works on
/// Linux only; what is set to be more durable than `on` stays.
pub(crate) fn mind_manners(database: &mut dyn Database, claim: &Claim) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    read_committed(database)?;
    let sql = "SELECT set_config('lock_timeout', $1, true), set_config('application_name', $2, true), \
               set_config('idle_in_transaction_session_timeout', $3, true), \
               set_config('tcp_keepalives_idle', '30', true), set_config('tcp_keepalives_interval', '5', true), \
               set_config('tcp_keepalives_count', '3', true), \
               CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END, \
               (SELECT set_config(name, '500', true) FROM pg_settings \
                WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%')";
    let milliseconds = |length: Duration| Value::Text(length.as_millis().to_string());
    let label = claim.label.chars().filter(char::is_ascii).take(LONGEST_LABEL).collect();
    let idle = claim.idle_timeout.unwrap_or_default();
    database.query(sql, &[milliseconds(claim.lock_timeout), Value::Text(label), milliseconds(idle)]).map(drop)
}

/// What is read under the lock has to be what is there then. In the stricter levels, which a project may have set, it
/// would be what was there when the transaction began. `SHOW` is no query yet: the level may still be changed after it.
fn read_committed(database: &mut dyn Database) -> Result<(), DatabaseError> {
    let rows = database.query("SHOW transaction_isolation", &[])?;
    if rows.first().and_then(|row| row.first()) == Some(&Value::Text("read committed".to_owned())) {
        return Ok(());
    }
    database.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", &[]).map(drop)
}

/// Lets the server keep the locks of a silent client, or no longer: code of the project may think for as long as it
/// likes between two statements.
pub(crate) fn allow_silence(database: &mut dyn Database, allowed: bool) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let longest = if allowed { Duration::ZERO } else { IDLE_TIMEOUT };
    let sql = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)";
    database.query(sql, &[Value::Text(longest.as_millis().to_string())]).map(drop)
}

/// Sets how long statements outside transactions wait for a lock, for this session; `None` sets it back.
pub(crate) fn limit_waiting(
    database: &mut dyn Database,
    longest: Option<Duration>,
) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite || database.is_pooled()? == Some(true) {
        return Ok(());
    }
    match longest {
        Some(longest) => {
            let longest = Value::Text(longest.as_millis().to_string());
            database.query("SELECT set_config('lock_timeout', $1, false)", &[longest]).map(drop)
        }
        None => database.execute("RESET lock_timeout", &[]).map(drop),
    }
}

/// Takes the row, without waiting. Whether it was there: `flush` empties our tables with all others.
pub(crate) fn take_row(database: &mut dyn Database) -> Result<bool, DatabaseError> {
    let sql = match database.dialect() {
        Dialect::Sqlite => "SELECT id FROM django_rollback_lock WHERE id = 1",
        Dialect::Postgres => "SELECT id FROM django_rollback_lock WHERE id = 1 FOR UPDATE NOWAIT",
    };
    if !database.query(sql, &[])?.is_empty() {
        return Ok(true);
    }
    // Whoever inserts the row holds it.
    database.execute("INSERT INTO django_rollback_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING", &[])?;
    Ok(!database.query(sql, &[])?.is_empty())
}

/// Keeps every other writer of `django_migrations` away, those without our app too: a `migrate` of theirs waits.
pub(crate) fn lock_records(database: &mut dyn Database) -> Result<(), DatabaseError> {
    match database.dialect() {
        Dialect::Sqlite => Ok(()),
        Dialect::Postgres => {
            database.execute("LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE", &[]).map(drop)
        }
    }
}

/// Takes all locks that the steps need, in one order, before the first step: then no step has to wait, and whoever
/// waits for us waits once.
pub(crate) fn lock_tables(database: &mut dyn Database, tables: &[String]) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite || tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
    let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
    database.execute(&sql, &[]).map(drop)
}

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Who holds the row, as far as this role may know.
pub(crate) fn holder(database: &mut dyn Database) -> Result<Option<Holder>, DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(None);
    }
    let sql = "SELECT coalesce(a.application_name, ''), a.pid, \
               to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
               FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
               WHERE l.relation = 'django_rollback_lock'::regclass AND l.granted AND a.pid <> pg_backend_pid() \
               AND l.mode = 'RowShareLock' ORDER BY a.xact_start LIMIT 1";
    let rows = unless_refused(database.query(sql, &[]))?;
    Ok(rows.into_iter().next().and_then(read_holder))
}

/// The rows, or none where this role may not see them.
fn unless_refused(rows: Result<Vec<Row>, DatabaseError>) -> Result<Vec<Row>, DatabaseError> {
    match rows {
        Err(error) if !error.is_interruption() => Ok(Vec::new()),
        rows => rows,
    }
}

fn read_holder(row: Row) -> Option<Holder> {
    let [Value::Text(name), Value::Int(pid), since] = <[Value; 3]>::try_from(row).ok()? else { return None };
    let since = if let Value::Text(since) = since { Some(since) } else { None };
    Some(Holder { what: name.strip_prefix(PREFIX).unwrap_or_default().to_owned(), pid: Some(pid), since })
}

/// The sessions that hold locks on these tables, the oldest first.
pub(crate) fn blocking_sessions(
    database: &mut dyn Database,
    tables: &[String],
) -> Result<Vec<BlockingSession>, DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(Vec::new());
    }
    let sql = "SELECT a.pid, coalesce(a.usename, '?'), \
               extract(epoch FROM now() - coalesce(a.xact_start, a.query_start, now()))::bigint, coalesce(a.query, '?') \
               FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND EXISTS ( \
               SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.relation IN ( \
               SELECT to_regclass(quote_ident(name)) FROM regexp_split_to_table($1, E'\\n') AS name)) \
               ORDER BY a.xact_start LIMIT 5";
    let rows = unless_refused(database.query(sql, &[Value::Text(tables.join("\n"))]))?;
    Ok(rows.into_iter().filter_map(blocking_session).collect())
}

fn blocking_session(row: Row) -> Option<BlockingSession> {
    match <[Value; 4]>::try_from(row).ok()? {
        [Value::Int(pid), Value::Text(user), Value::Int(age), Value::Text(query)] => {
            Some(BlockingSession { pid, user, age, query: shown(&query) })
        }
        _ => None,
    }
}

/// A query as it may be shown: without the values in it, and not too long.
fn shown(query: &str) -> String {
    const LONGEST: usize = 120;
    let query = without_values(query);
    let short: String = query.chars().take(LONGEST).collect();
    if short.len() < query.len() { format!("{short}…") } else { short }
}

/// The database's clock, some seconds from now, as text that sorts: RFC 3339, UTC.
pub(crate) fn clock(database: &mut dyn Database, ahead: u64) -> Result<String, DatabaseError> {
    let sql = match database.dialect() {
        Dialect::Sqlite => format!("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+{ahead} seconds')"),
        Dialect::Postgres => format!(
            "SELECT to_char((clock_timestamp() + interval '{ahead} seconds') AT TIME ZONE 'UTC', \
             'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        ),
    };
    match database.query(&sql, &[])?.into_iter().flatten().next() {
        Some(Value::Text(now)) => Ok(now),
        _ => Err(DatabaseError::new(DatabaseErrorKind::Other, "the database does not tell the time")),
    }
}

/// Locks the file, without waiting, and writes into it who holds it. A file that cannot be opened is no reason to stop:
/// a database in the same folder cannot be written either, and says so itself.
pub(crate) fn lock_file(path: &Path, claim: &Claim, now: &str) -> Result<Option<File>, Holder> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let Ok(mut file) = opened else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => {
            let label = claim.label.strip_prefix(PREFIX).unwrap_or(&claim.label);
            // Who holds it is a help to others, no more.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{label}\n{now}"));
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => Err(holder_of_file(&mut file)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Who has written into the file that they hold it; who has just taken it may not have come to that yet.
fn holder_of_file(file: &mut File) -> Holder {
    const LOOKS: u32 = 20;
    let mut text = String::new();
    for _ in 0..LOOKS {
        text.clear();
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        if text.ends_with('\n') {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut lines = text.lines().map(str::to_owned);
    Holder { what: lines.next().unwrap_or_default(), pid: None, since: lines.next() }
}

/// Whether the failure is another session's doing: then trying again may help.
pub(crate) fn is_busy(kind: DatabaseErrorKind) -> bool {
    kind == DatabaseErrorKind::Busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let actor = Actor { user: "deploy".to_owned(), host: "web-1".to_owned() };
        let claim = Claim::new("rollback", &actor, LOCK_TIMEOUT);
        let held = lock_file(&path, &claim, "2026-01-01T00:00:00Z").unwrap();
        assert!(held.is_some());
        let refused = lock_file(&path, &claim, "later").unwrap_err();
        assert_eq!(refused.to_string(), "rollback by deploy@web-1, since 2026-01-01T00:00:00Z");
        drop(held);
        assert!(lock_file(&path, &claim, "later").unwrap().is_some());
    }
}
