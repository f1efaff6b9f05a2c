//! What a database would refuse on the way, and what a drop would take along.

use std::fmt;

use rollback_core::effect::{Drop, Rule};

use crate::ports::{Database, DatabaseError};

/// Something that would go with what is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependant {
    /// `view`, `materialized view`, `function` or `constraint`.
    pub(crate) kind: String,
    /// The table that it is on; for a view or a function, its own name.
    pub(crate) table: String,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for Dependant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, table, name } = self;
        if table == name { write!(f, "{kind} {name}") } else { write!(f, "{kind} {name} of {table}") }
    }
}

/// Tables that this role may not alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignOwners {
    /// The role of this connection.
    pub(crate) role: String,
    /// The tables, each with its owner.
    pub(crate) tables: Vec<(String, String)>,
}

/// How many locks a rollback needs, and how many the server can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockRoom {
    /// How many it needs.
    pub(crate) needed: i64,
    /// How many all sessions together can hold.
    pub(crate) room: i64,
}

/// Questions before the first lock.
pub(crate) trait Preflight {
    /// Why nothing can be written, as a sentence without its full stop; `None` if writing works.
    fn read_only(&self, database: &mut dyn Database) -> Result<Option<String>, DatabaseError>;

    /// Those of these tables whose owner this role is not.
    fn foreign_owners(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Option<ForeignOwners>, DatabaseError>;

    /// The condition that a value in this column breaks a rule about its size; `None` if the database does not enforce
    /// such rules.
    fn breaks(&self, column: &str, rule: &Rule) -> Option<String>;

    /// What a drop would take along. References from the tables in `touched` are the plan's own affair.
    fn dependants(
        &self,
        database: &mut dyn Database,
        drop: &Drop,
        touched: &[String],
    ) -> Result<Vec<Dependant>, DatabaseError>;

    /// How many locks these tables need; `None` where the number has no limit.
    fn lock_room(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Option<LockRoom>, DatabaseError>;
}
