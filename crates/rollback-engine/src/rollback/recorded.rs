//! Running recorded SQL: what Django's schema editor did around its statements is done here.

use rollback_core::sql::{self, Statement};

use crate::ports::{DatabaseError, DatabaseErrorKind, Dialect};
use crate::store::Store;

/// Whether there are changes of rows whose deferred constraints were not checked yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    pending: bool,
}

impl Recorded {
    /// Runs the statements that undo one migration, inside the transaction of the rollback.
    pub(super) fn run(&mut self, store: &mut Store<'_>, statements: &[String]) -> Result<(), DatabaseError> {
        for statement in statements {
            match store.dialect() {
                Dialect::Sqlite => run_on_sqlite(store, statement)?,
                Dialect::Postgres => self.run_on_postgres(store, statement)?,
            }
        }
        Ok(())
    }

    /// PostgreSQL refuses to alter a table with pending trigger events: deferred constraints are checked before. What
    /// does not hold yet may come to hold, and stays deferred.
    fn run_on_postgres(&mut self, store: &mut Store<'_>, statement: &str) -> Result<(), DatabaseError> {
        match Statement::of(statement) {
            Statement::Schema if self.pending => {
                store.run("SAVEPOINT flush_constraints")?;
                let checked = store.run("SET CONSTRAINTS ALL IMMEDIATE").and_then(|()| {
                    self.pending = false;
                    store.run("SET CONSTRAINTS ALL DEFERRED")
                });
                if checked.is_err() {
                    store.run("ROLLBACK TO SAVEPOINT flush_constraints")?;
                }
                store.run("RELEASE SAVEPOINT flush_constraints")?;
            }
            Statement::Schema | Statement::Question => {}
            Statement::Change => self.pending = true,
        }
        store.run(&sql::without_concurrently(statement))
    }

    /// After the last statement: what is violated is found here, and not at the commit.
    pub(super) fn finish(&mut self, store: &mut Store<'_>) -> Result<(), DatabaseError> {
        match store.dialect() {
            Dialect::Postgres if self.pending => {
                self.pending = false;
                store.run("SET CONSTRAINTS ALL IMMEDIATE")?;
                store.run("SET CONSTRAINTS ALL DEFERRED")
            }
            Dialect::Postgres => Ok(()),
            Dialect::Sqlite => check_foreign_keys(store),
        }
    }
}

/// SQLite refuses to rename a remade table while a view names it, unless it renames the old way.
fn run_on_sqlite(store: &mut Store<'_>, statement: &str) -> Result<(), DatabaseError> {
    if !sql::renames_remade_table(statement) {
        return store.run(statement);
    }
    store.run("PRAGMA legacy_alter_table = ON")?;
    let ran = store.run(statement);
    let reset = store.run("PRAGMA legacy_alter_table = OFF");
    ran.and(reset)
}

fn check_foreign_keys(store: &mut Store<'_>) -> Result<(), DatabaseError> {
    let violated =
        store.database().query("SELECT \"table\", \"parent\" FROM pragma_foreign_key_check LIMIT 1", &[])?;
    match violated.into_iter().next().as_deref() {
        Some([crate::ports::Value::Text(table), crate::ports::Value::Text(parent)]) => {
            let message = format!("a row of {table} refers to a row of {parent} that is not there");
            Err(DatabaseError::new(DatabaseErrorKind::Other, &message))
        }
        _ => Ok(()),
    }
}
