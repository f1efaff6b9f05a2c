//! A connection to the application's database.

use std::path::PathBuf;

/// The SQL that a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.35 or newer.
    Sqlite,
    /// PostgreSQL 12 or newer.
    Postgres,
}

/// One value in a row or a parameter. The engine's statements use no other types: times travel as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL's `NULL`.
    Null,
    /// Any integer, and booleans as 0 and 1.
    Int(i64),
    /// Any text.
    Text(String),
}

/// One row, its values in the order of the statement's columns.
pub type Row = Vec<Value>;

/// What a transaction is for, which decides how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Rows of our own tables are written. SQLite: `BEGIN IMMEDIATE`.
    Records,
    /// Tables change. As `Records`, and on SQLite foreign keys are off before it begins, as Django's schema
    /// editor needs it.
    Schema,
}

/// A connection to the application's database.
///
/// Statements are written with `$1`, `$2`, … each used once and in order; a `%` stands for itself.
pub trait Database {
    /// Which SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// How to name it to a person, never with a password: `the PostgreSQL database "shop" on db.example:5432`.
    fn name(&self) -> String;

    /// Runs a statement and returns its rows.
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError>;

    /// Runs a statement and returns how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError>;

    /// Runs SQL as it stands, without parameters: one statement, or on PostgreSQL several.
    fn run(&mut self, sql: &str) -> Result<(), DatabaseError>;

    /// Begins a transaction. The engine never begins one inside another.
    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError>;

    /// Makes everything since `begin` permanent.
    fn commit(&mut self) -> Result<(), DatabaseError>;

    /// Takes everything since `begin` back.
    fn rollback(&mut self) -> Result<(), DatabaseError>;

    /// Connects again, after the connection was lost. What was begun on the old one is the server's to end.
    fn reconnect(&mut self) -> Result<(), DatabaseError>;

    /// A second connection to the same database.
    fn another(&self) -> Result<Box<dyn Database>, DatabaseError>;

    /// Whether a transaction pooler stands between here and the server; `None` where that cannot be told.
    fn is_pooled(&mut self) -> Result<Option<bool>, DatabaseError> {
        Ok(None)
    }

    /// The file whose lock stands for ours where the database has no row locks, beside the database's own.
    fn lock_file(&self) -> Option<PathBuf> {
        None
    }
}

/// A failure that the database or the way to it reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    /// What kind of failure it is, as far as the engine tells kinds apart.
    pub kind: DatabaseErrorKind,
    /// The database's own words in one line, without row contents and without a password.
    pub message: String,
}

/// The kinds of failure that have an answer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// No connection: wrong host, no such database, no such file, password refused.
    Unreachable,
    /// A table that the statement names is not there.
    MissingTable,
    /// The role or the file's mode does not allow it.
    PermissionDenied,
    /// The server is a replica or the file can only be read.
    ReadOnly,
    /// Another session holds what the statement needs.
    Busy,
    /// A second row with the same key.
    Duplicate,
    /// A signal arrived: Ctrl-C, or the request to end.
    Interrupted {
        /// Its number.
        signal: i32,
    },
    /// Anything else.
    Other,
}

impl DatabaseError {
    /// Whether a signal was the reason: that is never passed over.
    pub fn is_interruption(&self) -> bool {
        matches!(self.kind, DatabaseErrorKind::Interrupted { .. })
    }

    /// A failure in the database's own words. Only the first line is kept, without PostgreSQL's `DETAIL`: that
    /// one carries row contents.
    pub fn new(kind: DatabaseErrorKind, message: &str) -> Self {
        let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
        Self { kind, message: line.to_owned() }
    }

    /// A failure that PostgreSQL reported with this SQLSTATE
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub fn from_sqlstate(code: &str, message: &str) -> Self {
        use DatabaseErrorKind as Kind;
        let kind = match code {
            "42P01" | "3F000" => Kind::MissingTable,
            "42501" => Kind::PermissionDenied,
            "25006" => Kind::ReadOnly,
            "55P03" | "40P01" | "40001" => Kind::Busy,
            "23505" => Kind::Duplicate,
            "28000" | "28P01" | "3D000" => Kind::Unreachable,
            _ if code.starts_with("08") || code.starts_with("57P") || code == "53300" => Kind::Unreachable,
            _ => Kind::Other,
        };
        // Data exceptions quote the value, every other class quotes names.
        if code.starts_with("22") {
            Self::new(kind, &without_quoted(message))
        } else {
            Self::new(kind, message)
        }
    }

    /// A failure that SQLite reported with this primary result code (<https://www.sqlite.org/rescode.html>).
    pub fn from_sqlite_code(code: i32, message: &str) -> Self {
        use DatabaseErrorKind as Kind;
        let kind = match code & 0xff {
            _ if message.starts_with("no such table") => Kind::MissingTable,
            3 | 23 => Kind::PermissionDenied,
            5 | 6 => Kind::Busy,
            8 => Kind::ReadOnly,
            14 | 26 => Kind::Unreachable,
            19 if message.contains("UNIQUE") => Kind::Duplicate,
            _ => Kind::Other,
        };
        Self::new(kind, message)
    }
}

/// The first line, without what stands in double quotes.
fn without_quoted(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let parts = line.split('"').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { part } else { "…" }).collect::<Vec<_>>().join("\"")
}
