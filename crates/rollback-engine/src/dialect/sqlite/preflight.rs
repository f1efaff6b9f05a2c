//! SQLite knows no roles, no sizes, no dependants and no limit of locks.

use rollback_core::effect::{Drop, Rule};

use super::rules::Sqlite;
use crate::dialect::preflight::{Dependant, ForeignOwners, LockRoom, Preflight};
use crate::ports::{Database, DatabaseError};

impl Preflight for Sqlite {
    /// A file that cannot be written says so when a transaction begins.
    fn read_only(&self, _: &mut dyn Database) -> Result<Option<String>, DatabaseError> {
        Ok(None)
    }

    fn foreign_owners(
        &self,
        _: &mut dyn Database,
        _: &[String],
    ) -> Result<Option<ForeignOwners>, DatabaseError> {
        Ok(None)
    }

    fn breaks(&self, _: &str, _: &Rule) -> Option<String> {
        None
    }

    fn dependants(
        &self,
        _: &mut dyn Database,
        _: &Drop,
        _: &[String],
    ) -> Result<Vec<Dependant>, DatabaseError> {
        Ok(Vec::new())
    }

    fn lock_room(&self, _: &mut dyn Database, _: &[String]) -> Result<Option<LockRoom>, DatabaseError> {
        Ok(None)
    }
}
