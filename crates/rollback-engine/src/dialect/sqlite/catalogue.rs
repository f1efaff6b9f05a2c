//! The schema as `sqlite_master` has it: texts, which `rollback_core::schema::sqlite` takes apart.

use rollback_core::Schema;
use rollback_core::schema::sqlite;

use super::rules::Sqlite;
use crate::dialect::catalogue::{Catalogue, Columns, OWN_TABLES, RemadeObject};
use crate::dialect::rows::texts;
use crate::ports::{Database, DatabaseError};

const SCHEMA: &str = r"SELECT type, tbl_name, name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\'";

const COLUMNS: &str =
    "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'";

const LOST_IN_REMAKES: &str = "SELECT type, tbl_name, name, sql FROM sqlite_master \
    WHERE type IN ('index', 'trigger') AND sql IS NOT NULL";

impl Catalogue for Sqlite {
    fn has_lock_table(&self) -> &'static str {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'django_rollback_lock'"
    }

    fn read_schema(&self, database: &mut dyn Database) -> Result<Schema, DatabaseError> {
        let rows = database.query(SCHEMA, &[])?.into_iter().filter_map(texts);
        let objects = rows.flat_map(|[kind, table, name, sql]| sqlite::objects(&kind, &table, &name, &sql));
        Ok(objects.filter(|object| !object.table.starts_with(OWN_TABLES)).collect())
    }

    fn columns(&self, database: &mut dyn Database) -> Result<Columns, DatabaseError> {
        let mut columns = Columns::new();
        for [table, column] in database.query(COLUMNS, &[])?.into_iter().filter_map(texts) {
            columns.entry(table).or_default().insert(column);
        }
        Ok(columns)
    }

    /// Nobody else can have dropped a table: the transaction has the whole file.
    fn existing(&self, _: &mut dyn Database, tables: &[String]) -> Result<Vec<String>, DatabaseError> {
        Ok(tables.to_vec())
    }

    fn lost_in_remakes(&self, database: &mut dyn Database) -> Result<Vec<RemadeObject>, DatabaseError> {
        let rows = database.query(LOST_IN_REMAKES, &[])?.into_iter().filter_map(texts);
        Ok(rows.map(|[kind, table, name, sql]| RemadeObject { kind, table, name, sql }).collect())
    }
}
