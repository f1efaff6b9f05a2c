//! What the engine needs from outside: a database, something that can undo a migration, and somebody who watches.
//!
//! A door supplies each of them. The engine owns every SQL statement and every rule; an adaptor only carries statements
//! and steps across.

mod database;
mod observer;
mod runner;

pub use database::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};
pub use observer::Observer;
pub use runner::{Runner, RunnerError};
