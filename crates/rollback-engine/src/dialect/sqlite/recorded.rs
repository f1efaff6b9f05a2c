use rollback_core::sql;

use super::rules::Sqlite;
use crate::dialect::recorded::{Pending, RecordedSql};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Value};

impl RecordedSql for Sqlite {
    fn vendor(&self) -> &'static str {
        "sqlite"
    }

    /// SQLite refuses to rename a remade table while a view names it, unless it renames in the legacy way.
    fn run_recorded(
        &self,
        database: &mut dyn Database,
        statement: &str,
        _: &mut Pending,
    ) -> Result<(), DatabaseError> {
        if !sql::renames_remade_table(statement) {
            return database.run(statement);
        }
        database.run("PRAGMA legacy_alter_table = ON")?;
        let ran = database.run(statement);
        let reset = database.run("PRAGMA legacy_alter_table = OFF");
        ran.and(reset)
    }

    fn finish_recorded(&self, database: &mut dyn Database, _: &mut Pending) -> Result<(), DatabaseError> {
        let sql = "SELECT \"table\", \"parent\" FROM pragma_foreign_key_check LIMIT 1";
        match database.query(sql, &[])?.into_iter().next().as_deref() {
            Some([Value::Text(table), Value::Text(parent)]) => {
                let message = format!("a row of {table} refers to a row of {parent} that does not exist");
                Err(DatabaseError::new(DatabaseErrorKind::Other, &message))
            }
            _ => Ok(()),
        }
    }
}
