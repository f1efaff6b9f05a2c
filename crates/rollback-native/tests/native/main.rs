//! The adaptors against real databases: SQLite files, and a PostgreSQL server of the test's own.

// helpers of tests, which clippy does not take for tests
#![allow(clippy::unwrap_used)]

mod certificates;
mod postgres;
mod server;
mod sqlite;

use rollback_engine::ports::{Database, DatabaseError};
use rollback_native::DatabaseUrl;

/// Connects with an empty environment.
fn connect(url: &str) -> Result<Box<dyn Database>, DatabaseError> {
    rollback_native::connect(&DatabaseUrl::parse(url, &|_| None).unwrap())
}

/// The failure of something that must not work.
#[track_caller]
fn refused<T>(outcome: Result<T, DatabaseError>) -> DatabaseError {
    match outcome {
        Ok(_) => panic!("this must be refused"),
        Err(error) => error,
    }
}
