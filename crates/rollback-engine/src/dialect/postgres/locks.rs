//! `SET LOCAL` and nothing else: what is set for a session would stay with others behind a transaction pooler.

use std::time::Duration;

use super::rules::Postgres;
use crate::dialect::locks::{BlockingSession, Holder, LockRequest, Locks, PREFIX};
use crate::dialect::quoting::quoted;
use crate::ports::{Database, DatabaseError, Row, Value};

/// The longest `application_name` that PostgreSQL keeps.
const LONGEST_LABEL: usize = 63;

/// `client_connection_check_interval` exists from PostgreSQL 14 on, and works on Linux only. What is set to be more
/// durable than `on` stays.
const EXECUTION_OPTIONS: &str = "SELECT set_config('lock_timeout', $1, true), \
    set_config('application_name', $2, true), \
    set_config('idle_in_transaction_session_timeout', $3, true), \
    set_config('tcp_keepalives_idle', '30', true), set_config('tcp_keepalives_interval', '5', true), \
    set_config('tcp_keepalives_count', '3', true), \
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END, \
    (SELECT set_config(name, '500', true) FROM pg_settings \
     WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%')";

const HOLDER: &str = "SELECT coalesce(a.application_name, ''), a.pid, \
    to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
    WHERE l.relation = 'django_rollback_lock'::regclass AND l.granted AND a.pid <> pg_backend_pid() \
    AND l.mode = 'RowShareLock' ORDER BY a.xact_start LIMIT 1";

const BLOCKING_SESSIONS: &str = "SELECT a.pid, coalesce(a.usename, '?'), \
    extract(epoch FROM now() - coalesce(a.xact_start, a.query_start, now()))::bigint, coalesce(a.query, '?') \
    FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND EXISTS ( \
    SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.relation IN ( \
    SELECT to_regclass(quote_ident(name)) FROM regexp_split_to_table($1, E'\\n') AS name)) \
    ORDER BY a.xact_start LIMIT 5";

impl Locks for Postgres {
    fn has_row_locks(&self) -> bool {
        true
    }

    fn readers_wait(&self) -> bool {
        true
    }

    fn take_row(&self) -> &'static str {
        "SELECT id FROM django_rollback_lock WHERE id = 1 FOR UPDATE NOWAIT"
    }

    fn set_execution_options(
        &self,
        database: &mut dyn Database,
        request: &LockRequest,
    ) -> Result<(), DatabaseError> {
        read_committed(database)?;
        let label = request.label.chars().filter(char::is_ascii).take(LONGEST_LABEL).collect();
        let idle = request.idle_timeout.unwrap_or_default();
        let values = [milliseconds(request.lock_timeout), Value::Text(label), milliseconds(idle)];
        database.query(EXECUTION_OPTIONS, &values).map(drop)
    }

    fn set_idle_timeout(
        &self,
        database: &mut dyn Database,
        longest: Option<Duration>,
    ) -> Result<(), DatabaseError> {
        let sql = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)";
        database.query(sql, &[milliseconds(longest.unwrap_or_default())]).map(drop)
    }

    fn limit_waiting(
        &self,
        database: &mut dyn Database,
        longest: Option<Duration>,
    ) -> Result<(), DatabaseError> {
        if database.is_pooled()? == Some(true) {
            return Ok(());
        }
        match longest {
            Some(longest) => {
                let sql = "SELECT set_config('lock_timeout', $1, false)";
                database.query(sql, &[milliseconds(longest)]).map(drop)
            }
            None => database.execute("RESET lock_timeout", &[]).map(drop),
        }
    }

    fn lock_records(&self, database: &mut dyn Database) -> Result<(), DatabaseError> {
        database.execute("LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE", &[]).map(drop)
    }

    fn lock_tables(&self, database: &mut dyn Database, tables: &[String]) -> Result<(), DatabaseError> {
        if tables.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
        let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
        database.execute(&sql, &[]).map(drop)
    }

    fn holder(&self, database: &mut dyn Database) -> Result<Option<Holder>, DatabaseError> {
        let rows = unless_refused(database.query(HOLDER, &[]))?;
        Ok(rows.into_iter().next().and_then(read_holder))
    }

    fn blocking_sessions(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Vec<BlockingSession>, DatabaseError> {
        let rows = unless_refused(database.query(BLOCKING_SESSIONS, &[Value::Text(tables.join("\n"))]))?;
        Ok(rows.into_iter().filter_map(read_session).collect())
    }
}

fn milliseconds(length: Duration) -> Value {
    Value::Text(length.as_millis().to_string())
}

/// What is read under the lock has to be what is there then. In the stricter levels, which a project may have set, it
/// would be what was there when the transaction began. `SHOW` is no query yet: the level may still change after it.
fn read_committed(database: &mut dyn Database) -> Result<(), DatabaseError> {
    let rows = database.query("SHOW transaction_isolation", &[])?;
    if rows.first().and_then(|row| row.first()) == Some(&Value::Text("read committed".to_owned())) {
        return Ok(());
    }
    database.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", &[]).map(drop)
}

/// The rows; none if this role may not see them.
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

fn read_session(row: Row) -> Option<BlockingSession> {
    match <[Value; 4]>::try_from(row).ok()? {
        [Value::Int(pid), Value::Text(user), Value::Int(age), Value::Text(query)] => {
            Some(BlockingSession::new(pid, user, age, &query))
        }
        _ => None,
    }
}
