//! All that differs between databases, behind one trait for each topic.
//!
//! A database is a folder here, a variant of [`Dialect`] and a driver in `rollback-native`. Nothing else in the engine
//! asks for its name: the rest of the engine calls [`of`] and asks a question.

mod catalogue;
mod clock;
mod locks;
mod postgres;
mod preflight;
mod quoting;
mod recorded;
mod rows;
mod script;
mod sqlite;

use self::catalogue::Catalogue;
pub(crate) use self::catalogue::{Columns, RemadeObject};
use self::clock::Clock;
pub(crate) use self::locks::LOCK_TIMEOUT;
use self::locks::Locks;
pub use self::locks::{BlockingSession, Holder, LockRequest};
pub(crate) use self::locks::{IDLE_TIMEOUT, SETTLE, shown_label};
use self::preflight::Preflight;
pub(crate) use self::preflight::{Dependant, ForeignOwners, LockRoom};
pub(crate) use self::quoting::{literal, quoted, with_values};
pub(crate) use self::recorded::Pending;
use self::recorded::RecordedSql;
use self::script::Script;
pub(crate) use self::script::{Check, SchemaCheck};
use crate::ports::Dialect;

/// The rules of one database.
pub(crate) trait Rules: Clock + Locks + Catalogue + RecordedSql + Preflight + Script {}

impl<R: Clock + Locks + Catalogue + RecordedSql + Preflight + Script> Rules for R {}

/// The rules of the database that speaks this dialect.
pub(crate) fn of(dialect: Dialect) -> &'static dyn Rules {
    match dialect {
        Dialect::Sqlite => &sqlite::Sqlite,
        Dialect::Postgres => &postgres::Postgres,
    }
}
