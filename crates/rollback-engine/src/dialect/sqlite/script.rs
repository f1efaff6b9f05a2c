//! For `sqlite3`. It has no procedures: a check is a row that a constraint refuses.

use super::rules::Sqlite;
use crate::dialect::quoting::{list, literal, quoted};
use crate::dialect::script::{Check, SchemaCheck, Script};

impl Script for Sqlite {
    fn how_to_run(&self) -> &'static str {
        "sqlite3 DATABASE < FILE"
    }

    fn opening(&self) -> &'static str {
        ".bail on\nPRAGMA foreign_keys = OFF;\nBEGIN IMMEDIATE;\n"
    }

    fn check(&self, check: &Check) -> Vec<String> {
        vec![
            "DROP TABLE IF EXISTS temp.django_rollback_check".to_owned(),
            format!(
                "CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT {} CHECK (holds))",
                quoted(check.message)
            ),
            format!("INSERT INTO django_rollback_check SELECT {}", check.condition),
        ]
    }

    fn before_schema_checks(&self) -> Option<&'static str> {
        None
    }

    /// Of a table, the columns are compared: the catalogue is text, which SQL cannot compare.
    fn schema_checks(&self, schema: &SchemaCheck<'_>) -> Vec<Check> {
        let references = Check {
            message: "a row refers to another one that does not exist",
            condition: "NOT EXISTS (SELECT 1 FROM pragma_foreign_key_check)".to_owned(),
        };
        columns(schema).into_iter().chain([references]).collect()
    }

    fn rewritten(&self, statement: &str, _: &mut bool) -> Option<String> {
        Some(statement.to_owned())
    }

    fn closing(&self) -> &'static str {
        "DROP TABLE temp.django_rollback_check;\nCOMMIT;\n"
    }
}

fn columns(schema: &SchemaCheck<'_>) -> Option<Check> {
    let columns: Vec<String> = schema
        .expected
        .iter()
        .filter(|object| object.kind == "column")
        .map(|object| format!("({}, {})", literal(&object.table), literal(&object.name)))
        .collect();
    let names = schema.names.filter(|_| !columns.is_empty())?;
    let condition = format!(
        "NOT EXISTS (WITH expected (t, c) AS (VALUES {}), found (t, c) AS (SELECT m.name, c.name \
         FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name IN ({})) \
         SELECT * FROM (SELECT * FROM expected EXCEPT SELECT * FROM found) UNION ALL \
         SELECT * FROM (SELECT * FROM found EXCEPT SELECT * FROM expected))",
        columns.join(", "),
        list(names.iter().map(String::as_str)),
    );
    Some(Check { message: "the columns are not those that the release had", condition })
}
