use rollback_core::sql::{self, Statement};

use super::rules::Postgres;
use crate::dialect::recorded::{Pending, RecordedSql};
use crate::ports::{Database, DatabaseError};

/// Stands around the statements that check deferred constraints early.
pub(super) const SAVEPOINT: &str = "SAVEPOINT flush_constraints";

impl RecordedSql for Postgres {
    fn vendor(&self) -> &'static str {
        "postgresql"
    }

    /// PostgreSQL refuses to alter a table with pending trigger events, so deferred constraints are checked before that.
    fn run_recorded(
        &self,
        database: &mut dyn Database,
        statement: &str,
        pending: &mut Pending,
    ) -> Result<(), DatabaseError> {
        match Statement::of(statement) {
            Statement::Schema if pending.0 => check_constraints(database, pending)?,
            Statement::Schema | Statement::Question => {}
            Statement::Change => pending.0 = true,
        }
        database.run(&sql::without_concurrently(statement))
    }

    fn finish_recorded(
        &self,
        database: &mut dyn Database,
        pending: &mut Pending,
    ) -> Result<(), DatabaseError> {
        if !pending.0 {
            return Ok(());
        }
        pending.0 = false;
        database.run("SET CONSTRAINTS ALL IMMEDIATE")?;
        database.run("SET CONSTRAINTS ALL DEFERRED")
    }
}

/// Checks deferred constraints now. What does not hold yet may come to hold, and stays deferred.
fn check_constraints(database: &mut dyn Database, pending: &mut Pending) -> Result<(), DatabaseError> {
    database.run(SAVEPOINT)?;
    let checked = database.run("SET CONSTRAINTS ALL IMMEDIATE").and_then(|()| {
        pending.0 = false;
        database.run("SET CONSTRAINTS ALL DEFERRED")
    });
    if checked.is_err() {
        database.run(&format!("ROLLBACK TO {SAVEPOINT}"))?;
    }
    database.run(&format!("RELEASE {SAVEPOINT}"))
}
