//! What a database in memory answers when it says that it is PostgreSQL: enough to see what the engine says to one, in
//! which order. Of PostgreSQL itself it tells nothing: for that there are tests with a server.

use rollback_engine::ports::{DatabaseError, DatabaseErrorKind, Row, Value};

/// What stands in the way of others, and how the session is set.
#[derive(Clone, Debug)]
pub struct Server {
    /// The isolation that a project may have set.
    pub isolation: String,
    /// Whether another session holds the row of the lock.
    pub row_is_held: bool,
    /// Why nothing can be written, if so.
    pub read_only: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self { isolation: "read committed".to_owned(), row_is_held: false, read_only: None }
    }
}

/// What becomes of a statement.
pub(crate) enum Answer {
    /// These rows, without asking SQLite.
    Rows(Result<Vec<Row>, DatabaseError>),
    /// The rows that SQLite gives for this.
    Sql(String),
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

impl Server {
    /// The answer to a statement.
    pub(crate) fn answer(&self, sql: &str) -> Answer {
        let statement = sql.trim_start();
        let is_nothing = ["SET ", "LOCK TABLE", "RESET"].iter().any(|word| statement.starts_with(word));
        if is_nothing || sql.contains("set_config") || sql.contains("pg_has_role") {
            return Answer::Rows(Ok(Vec::new()));
        }
        if sql.contains("FOR UPDATE NOWAIT") {
            return Answer::Rows(self.row());
        }
        if sql.contains("pg_stat_activity") {
            return Answer::Rows(Ok(self.sessions(sql)));
        }
        if statement.starts_with("SHOW transaction_isolation") {
            return Answer::Rows(Ok(vec![vec![text(&self.isolation)]]));
        }
        if sql.contains("pg_is_in_recovery") {
            return Answer::Rows(Ok(vec![vec![self.read_only.as_deref().map_or(Value::Null, text)]]));
        }
        if sql.contains("max_locks_per_transaction") {
            return Answer::Rows(Ok(vec![vec![Value::Int(1), Value::Int(6400)]]));
        }
        if statement.starts_with("WITH dropped AS") {
            return Answer::Rows(Ok(Vec::new()));
        }
        Answer::Sql(translated(sql))
    }

    fn row(&self) -> Result<Vec<Row>, DatabaseError> {
        match self.row_is_held {
            true => Err(DatabaseError::new(DatabaseErrorKind::Busy, "could not obtain lock on row")),
            false => Ok(vec![vec![Value::Int(1)]]),
        }
    }

    /// Who holds the row, or else who holds locks on the tables.
    fn sessions(&self, sql: &str) -> Vec<Row> {
        if !sql.contains("django_rollback_lock") {
            let query = text("SELECT * FROM shop WHERE owner = 'Ada'");
            return vec![vec![Value::Int(4712), text("report"), Value::Int(90), query]];
        }
        let holder = vec![
            text("django-rollback: save by deploy@web-2"),
            Value::Int(4711),
            text("2026-01-01T00:00:00Z"),
        ];
        if self.row_is_held { vec![holder] } else { Vec::new() }
    }
}

/// A statement as SQLite understands it.
fn translated(sql: &str) -> String {
    const TIME: &str = " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    if sql.contains("to_regclass('django_rollback_lock')") {
        return "SELECT 1 FROM sqlite_master WHERE name = 'django_rollback_lock'".to_owned();
    }
    if sql.contains("to_regclass(quote_ident(name)) IS NOT NULL") {
        return "SELECT name FROM sqlite_master WHERE type = 'table' \
                AND instr(char(10) || $1 || char(10), char(10) || name || char(10)) ORDER BY name"
            .to_owned();
    }
    if sql.contains("attname::text FROM pg_class") {
        return "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
            .to_owned();
    }
    if sql.trim_start().starts_with("WITH spaces AS") {
        return "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL \
                AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            .to_owned();
    }
    if sql.contains("md5(random()") {
        return "SELECT lower(hex(randomblob(16)))".to_owned();
    }
    if let Some((_, seconds)) = sql.split_once("clock_timestamp() + interval '") {
        let seconds = seconds.split(' ').next().unwrap_or_default();
        return format!("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+{seconds} seconds')");
    }
    sql.replace("to_char(", "strftime('%Y-%m-%dT%H:%M:%SZ', ")
        .replace(TIME, ")")
        .replace("clock_timestamp()", "strftime('%Y-%m-%d %H:%M:%f', 'now')")
}
