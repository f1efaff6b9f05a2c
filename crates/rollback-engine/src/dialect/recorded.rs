//! Running recorded SQL: what Django's schema editor did around its statements is done here.

use crate::ports::{Database, DatabaseError};

/// Whether rows were changed whose deferred constraints were not checked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending(pub(crate) bool);

/// Statements that undo a migration, inside the transaction of the rollback.
pub(crate) trait RecordedSql {
    /// The name of this kind of database in capsules: as Django has it.
    fn vendor(&self) -> &'static str;

    /// Runs one recorded statement.
    fn run_recorded(
        &self,
        database: &mut dyn Database,
        statement: &str,
        pending: &mut Pending,
    ) -> Result<(), DatabaseError>;

    /// After the last statement: a violated constraint is found here, and not at the commit.
    fn finish_recorded(
        &self,
        database: &mut dyn Database,
        pending: &mut Pending,
    ) -> Result<(), DatabaseError>;
}
