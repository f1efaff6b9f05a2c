//! The `Database` port over SQLite, which the binary carries in itself.
//!
//! A file is never created. One that cannot be written is opened for reading. Foreign keys are enforced as in Django,
//! except in a transaction that changes tables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, OpenFlags, Statement};

use crate::interrupt::{Cancel, Canceller};

/// How long to wait for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Our lock is a file with the database's name and this ending. Django's door uses the same.
const LOCK_SUFFIX: &str = ".rollback-lock";

/// An open SQLite file.
pub struct SqliteDatabase {
    connection: Connection,
    path: PathBuf,
}

impl SqliteDatabase {
    /// Opens an existing file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        refuse_what_is_no_file(&path)?;
        let connection = open_as_far_as_allowed(&path).map_err(|error| cannot_open(&path, &error))?;
        Ok(Self { connection, path })
    }

    fn batch(&self, sql: &str) -> Result<(), DatabaseError> {
        self.connection.execute_batch(sql).map_err(|error| failure(&error))
    }

    /// Enforces foreign keys or not. SQLite ignores this inside a transaction.
    fn enforce_foreign_keys(&self, enforced: bool) -> Result<(), DatabaseError> {
        self.batch(if enforced { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })
    }

    /// Runs one statement to its end.
    fn each_row(
        &self,
        sql: &str,
        params: &[Value],
        mut take: impl FnMut(&rusqlite::Row<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut statement = self.connection.prepare(sql).map_err(|error| failure(&error))?;
        if statement.expanded_sql().is_none() {
            // Only comments: to SQLite that is no statement, but PostgreSQL accepts it.
            return Ok(());
        }
        bind(&mut statement, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| failure(&error))? {
            take(row)?;
        }
        Ok(())
    }

    /// SQLite may have ended the transaction itself, as it does when the disk is full.
    fn roll_back(&self) -> Result<(), DatabaseError> {
        if self.connection.is_autocommit() { Ok(()) } else { self.batch("ROLLBACK") }
    }
}

impl Cancel for SqliteDatabase {
    fn canceller(&self) -> Option<Canceller> {
        let handle = self.connection.get_interrupt_handle();
        Some(Box::new(move || handle.interrupt()))
    }
}

impl Database for SqliteDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn name(&self) -> String {
        format!("the SQLite database at {}", self.path.display())
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let mut found = Vec::new();
        self.each_row(sql, params, |row| {
            found.push(values(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        let before = self.connection.total_changes();
        self.each_row(sql, params, |_| Ok(()))?;
        // A statement that changes no rows leaves the count of the statement before it.
        let changed = self.connection.total_changes() != before;
        Ok(if changed { self.connection.changes() } else { 0 })
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.batch(sql)
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError> {
        if purpose == Purpose::Schema {
            self.enforce_foreign_keys(false)?;
        }
        let begun = self.batch("BEGIN IMMEDIATE");
        if begun.is_err() {
            self.enforce_foreign_keys(true)?;
        }
        begun
    }

    /// A commit that fails undoes everything.
    fn commit(&mut self) -> Result<(), DatabaseError> {
        let committed = self.batch("COMMIT");
        if committed.is_err() {
            // The first failure is the one to report.
            let _ = self.roll_back();
        }
        committed.and(self.enforce_foreign_keys(true))
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        self.roll_back().and(self.enforce_foreign_keys(true))
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Ok(Box::new(Self::open(&self.path)?))
    }

    fn lock_file(&self) -> Option<PathBuf> {
        let mut name = self.path.canonicalize().unwrap_or_else(|_| self.path.clone()).into_os_string();
        name.push(LOCK_SUFFIX);
        Some(name.into())
    }
}

fn refuse_what_is_no_file(path: &Path) -> Result<(), DatabaseError> {
    let unreachable = |message: String| Err(DatabaseError::new(DatabaseErrorKind::Unreachable, &message));
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            unreachable(format!("{} is a folder, not a database file", path.display()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            unreachable(format!("there is no database file at {}", path.display()))
        }
        Err(error) => unreachable(format!("cannot open the database file at {}: {error}", path.display())),
    }
}

/// For reading and writing if that is allowed, else for reading.
fn open_as_far_as_allowed(path: &Path) -> Result<Connection, Error> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).or_else(|error| {
        let kind = failure(&error).kind;
        if !matches!(kind, DatabaseErrorKind::ReadOnly | DatabaseErrorKind::Unreachable) {
            return Err(error);
        }
        open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).or_else(|_| open_unchanging(path)).map_err(|_| error)
    })
}

/// A file in WAL mode needs two more files beside it, which cannot be created in a read-only folder. Without a log and
/// a journal the file itself is complete, so they are not needed.
fn open_unchanging(path: &Path) -> Result<Connection, Error> {
    if has_companion(path, "-wal") || has_companion(path, "-journal") {
        return Err(Error::InvalidPath(path.to_owned()));
    }
    let text = path.to_str().ok_or_else(|| Error::InvalidPath(path.to_owned()))?;
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    open(Path::new(&format!("file:{escaped}?immutable=1")), flags)
}

/// Whether a file that SQLite keeps beside the database holds anything.
fn has_companion(path: &Path, suffix: &str) -> bool {
    let mut companion = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    companion.push(suffix);
    Path::new(&companion).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// Opens the file and reads its header: SQLite itself looks only when the first statement runs.
fn open(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA legacy_alter_table = OFF")?;
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}

fn cannot_open(path: &Path, error: &Error) -> DatabaseError {
    let failure = failure(error);
    let path = path.display();
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
        let message = format!("the file at {path} is not a SQLite database");
        return DatabaseError::new(DatabaseErrorKind::Unreachable, &message);
    }
    let message = format!("cannot open the database file at {path}: {}", failure.message);
    DatabaseError::new(failure.kind, &message)
}

/// Binds by position: to SQLite `$1` is a name like any other, and the first name in the text has position 1.
fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), DatabaseError> {
    let wanted = statement.parameter_count();
    if wanted != params.len() {
        let message = format!("the statement has {wanted} parameters, not {}", params.len());
        return Err(DatabaseError::new(DatabaseErrorKind::Other, &message));
    }
    for (position, value) in (1..).zip(params) {
        let bound = match value {
            Value::Null => statement.raw_bind_parameter(position, rusqlite::types::Null),
            Value::Int(number) => statement.raw_bind_parameter(position, number),
            Value::Text(text) => statement.raw_bind_parameter(position, text),
        };
        bound.map_err(|error| failure(&error))?;
    }
    Ok(())
}

fn values(row: &rusqlite::Row<'_>) -> Result<Row, DatabaseError> {
    (0..row.as_ref().column_count()).map(|index| value(row, index)).collect()
}

fn value(row: &rusqlite::Row<'_>, index: usize) -> Result<Value, DatabaseError> {
    match row.get_ref(index).map_err(|error| failure(&error))? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        // As SQLite writes it: 1.0, not 1.
        ValueRef::Real(number) => Ok(Value::Text(format!("{number:?}"))),
        ValueRef::Text(bytes) => Ok(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
        ValueRef::Blob(_) => {
            let name = row.as_ref().column_name(index).unwrap_or("?");
            let message = format!("the column \"{name}\" holds a blob, which is not supported");
            Err(DatabaseError::new(DatabaseErrorKind::Other, &message))
        }
    }
}

/// SQLite's failure as ours, without the statement that the driver adds to some of its messages.
fn failure(error: &Error) -> DatabaseError {
    match error {
        Error::SqliteFailure(code, message) => {
            let message = message.clone().unwrap_or_else(|| code.to_string());
            DatabaseError::from_sqlite_code(code.extended_code, &message)
        }
        Error::SqlInputError { error: code, msg, .. } => {
            DatabaseError::from_sqlite_code(code.extended_code, msg)
        }
        Error::MultipleStatement => {
            DatabaseError::new(DatabaseErrorKind::Other, "the text has more than one statement")
        }
        other => DatabaseError::new(DatabaseErrorKind::Other, &other.to_string()),
    }
}
