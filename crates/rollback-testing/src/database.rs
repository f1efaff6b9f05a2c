//! SQLite in memory as a `Database`. Sessions of one database see each other as sessions of one file do.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, OpenFlags};

use crate::postgres::{Answer, Server};

/// Our own tables, as Django's migrations make them, with `django_migrations`.
pub const TABLES: &str = include_str!("tables.sql");

/// A session of a SQLite database in memory. A clone is the same session; [`Database::another`] opens a second one.
#[derive(Clone)]
pub struct Memory {
    session: Rc<RefCell<Connection>>,
    place: Rc<Place>,
}

/// The database behind its sessions.
struct Place {
    uri: String,
    lock_file: RefCell<Option<PathBuf>>,
    /// How it answers as PostgreSQL, if it plays that.
    server: RefCell<Option<Server>>,
    /// The database lives as long as a connection to it is open.
    _keeper: Connection,
}

impl Memory {
    /// A database with our tables and nothing in them.
    pub fn new() -> Self {
        let memory = Self::empty();
        memory.batch(TABLES);
        memory
    }

    /// A database without any table.
    pub fn empty() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uri = format!("file:/django-rollback-{number}?vfs=memdb");
        let place =
            Place { _keeper: open(&uri), lock_file: RefCell::new(None), server: RefCell::new(None), uri };
        Self { session: Rc::new(RefCell::new(open(&place.uri))), place: Rc::new(place) }
    }

    /// A database with the same tables and rows.
    pub fn copy(&self) -> Self {
        let copy = Self::empty();
        let source = self.session.borrow();
        let mut target = copy.session.borrow_mut();
        let pages = rusqlite::backup::Backup::new(&source, &mut target).expect("both are SQLite databases");
        pages.run_to_completion(i32::MAX, std::time::Duration::ZERO, None).expect("nobody else is at work");
        drop(pages);
        drop(target);
        copy
    }

    /// A second session of the same database.
    pub fn other_session(&self) -> Self {
        Self { session: Rc::new(RefCell::new(open(&self.place.uri))), place: Rc::clone(&self.place) }
    }

    /// Lets this file stand for the lock from now on, as the file beside a database does.
    pub fn lock_by(&self, file: PathBuf) {
        *self.place.lock_file.borrow_mut() = Some(file);
    }

    /// Says from now on that it is PostgreSQL, and changes how it answers as such.
    pub fn server(&self, change: impl FnOnce(&mut Server)) {
        change(self.place.server.borrow_mut().get_or_insert_default());
    }

    fn is_postgres(&self) -> bool {
        self.place.server.borrow().is_some()
    }

    /// Runs statements of the test itself.
    pub fn batch(&self, sql: &str) {
        self.session.borrow().execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The values in the first column of a test's own question, as text.
    pub fn column(&self, sql: &str) -> Vec<String> {
        let session = self.session.borrow();
        let mut statement = session.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let rows = statement.query_map([], |row| Ok(shown(row.get_ref(0)?)));
        rows.and_then(Iterator::collect).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    fn ask(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let session = self.session.borrow();
        let mut statement = session.prepare(sql).map_err(|error| failure(&error))?;
        for (position, value) in (1..).zip(params) {
            match value {
                Value::Null => statement.raw_bind_parameter(position, rusqlite::types::Null),
                Value::Int(number) => statement.raw_bind_parameter(position, number),
                Value::Text(text) => statement.raw_bind_parameter(position, text),
            }
            .map_err(|error| failure(&error))?;
        }
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| failure(&error))? {
            found.push((0..columns).map(|column| value(row, column)).collect::<Result<Row, _>>()?);
        }
        Ok(found)
    }

    fn run_batch(&self, sql: &str) -> Result<(), DatabaseError> {
        self.session.borrow().execute_batch(sql).map_err(|error| failure(&error))
    }

    fn enforce_foreign_keys(&self, enforced: bool) -> Result<(), DatabaseError> {
        self.run_batch(if enforced { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

fn open(uri: &str) -> Connection {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).expect("a database in memory can be opened");
    let settings = "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 0";
    connection.execute_batch(settings).expect("these settings are always there");
    connection
}

impl Database for Memory {
    fn dialect(&self) -> Dialect {
        if self.is_postgres() { Dialect::Postgres } else { Dialect::Sqlite }
    }

    fn name(&self) -> String {
        "the SQLite database in memory".to_owned()
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let answer = self.place.server.borrow().as_ref().map(|server| server.answer(sql));
        match answer {
            None => self.ask(sql, params),
            Some(Answer::Rows(rows)) => rows,
            Some(Answer::Sql(sql)) => self.ask(&sql, params),
        }
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.query(sql, params)?;
        Ok(self.session.borrow().changes())
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        if self.is_postgres() && sql.starts_with("SET CONSTRAINTS") {
            return Ok(());
        }
        self.run_batch(sql)
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError> {
        if self.is_postgres() {
            return self.run_batch("BEGIN");
        }
        self.enforce_foreign_keys(purpose == Purpose::Records)?;
        self.run_batch("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        let committed = self.run_batch("COMMIT");
        if committed.is_err() {
            // The first failure is the one to tell.
            let _ = self.rollback();
        }
        committed.and(self.enforce_foreign_keys(true))
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        if !self.session.borrow().is_autocommit() {
            self.run_batch("ROLLBACK")?;
        }
        self.enforce_foreign_keys(true)
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        *self.session.borrow_mut() = open(&self.place.uri);
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Ok(Box::new(self.other_session()))
    }

    fn lock_file(&self) -> Option<PathBuf> {
        // PostgreSQL has a row for it.
        if self.is_postgres() { None } else { self.place.lock_file.borrow().clone() }
    }
}

fn value(row: &rusqlite::Row<'_>, column: usize) -> Result<Value, DatabaseError> {
    Ok(match row.get_ref(column).map_err(|error| failure(&error))? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        other => Value::Text(shown(other)),
    })
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn failure(error: &Error) -> DatabaseError {
    match error {
        Error::SqliteFailure(code, message) => {
            let message = message.clone().unwrap_or_else(|| code.to_string());
            DatabaseError::from_sqlite_code(code.extended_code, &message)
        }
        Error::SqlInputError { error: code, msg, .. } => {
            DatabaseError::from_sqlite_code(code.extended_code, msg)
        }
        other => DatabaseError::new(DatabaseErrorKind::Other, &other.to_string()),
    }
}
