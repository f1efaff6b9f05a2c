//! A transaction that writes has the whole file. Whoever waits is told by the driver that it is busy.

use std::time::Duration;

use super::rules::Sqlite;
use crate::dialect::locks::{BlockingSession, Holder, LockRequest, Locks};
use crate::ports::{Database, DatabaseError};

impl Locks for Sqlite {
    fn has_row_locks(&self) -> bool {
        false
    }

    fn readers_wait(&self) -> bool {
        false
    }

    fn take_row(&self) -> &'static str {
        "SELECT id FROM django_rollback_lock WHERE id = 1"
    }

    fn set_execution_options(&self, _: &mut dyn Database, _: &LockRequest) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn set_idle_timeout(&self, _: &mut dyn Database, _: Option<Duration>) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn limit_waiting(&self, _: &mut dyn Database, _: Option<Duration>) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn lock_records(&self, _: &mut dyn Database) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn lock_tables(&self, _: &mut dyn Database, _: &[String]) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn holder(&self, _: &mut dyn Database) -> Result<Option<Holder>, DatabaseError> {
        Ok(None)
    }

    fn blocking_sessions(
        &self,
        _: &mut dyn Database,
        _: &[String],
    ) -> Result<Vec<BlockingSession>, DatabaseError> {
        Ok(Vec::new())
    }
}
