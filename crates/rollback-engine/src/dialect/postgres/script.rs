//! For `psql`. Outside a transaction, `LOCK TABLE` fails: so a script that is not run as it says ends at once.

use rollback_core::SchemaObject;

use super::catalogue::{FIXED_SETTINGS, SCHEMA};
use super::recorded::SAVEPOINT;
use super::rules::Postgres;
use crate::dialect::catalogue::OWN_TABLES;
use crate::dialect::quoting::{list, literal};
use crate::dialect::script::{Check, SchemaCheck, Script};

impl Script for Postgres {
    fn how_to_run(&self) -> &'static str {
        "psql --single-transaction --set ON_ERROR_STOP=1 --file FILE DATABASE"
    }

    fn opening(&self) -> &'static str {
        "\\set ON_ERROR_STOP on\n\
         SET LOCAL lock_timeout = '100ms';\n\
         SET LOCAL idle_in_transaction_session_timeout = '60s';\n\
         SET LOCAL standard_conforming_strings = on;\n\
         -- Nobody else saves or rolls back meanwhile. Outside a transaction the script ends here.\n\
         LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE;\n\
         SELECT id FROM django_rollback_lock WHERE id = 1 FOR UPDATE NOWAIT;\n"
    }

    fn check(&self, check: &Check) -> Vec<String> {
        let Check { message, condition } = check;
        let mut tag = "$django_rollback$".to_owned();
        while condition.contains(&tag) {
            tag.insert(tag.len() - 1, '_');
        }
        let message = literal(message);
        vec![format!("DO {tag} BEGIN IF NOT ({condition}) THEN RAISE EXCEPTION {message}; END IF; END {tag}")]
    }

    fn before_schema_checks(&self) -> Option<&'static str> {
        Some(FIXED_SETTINGS)
    }

    /// The whole comparison, in SQL. Made-up names and white space do not count in it either.
    fn schema_checks(&self, schema: &SchemaCheck<'_>) -> Vec<Check> {
        let condition = format!(
            "NOT EXISTS (WITH expected (kind, table_name, name, definition) AS ({}), \
             found (kind, table_name, name, definition) AS ({})\n\
             (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) UNION ALL \
             (SELECT * FROM found EXCEPT ALL SELECT * FROM expected))",
            expected(schema),
            found(schema),
        );
        vec![Check { message: "the schema is not the one that the release had", condition }]
    }

    /// A block that catches the error does what a savepoint does.
    fn rewritten(&self, statement: &str, in_savepoint: &mut bool) -> Option<String> {
        if statement.contains(SAVEPOINT) {
            *in_savepoint = statement.starts_with(SAVEPOINT);
            return in_savepoint.then(|| CHECKED_CONSTRAINTS.to_owned());
        }
        (!*in_savepoint).then(|| statement.to_owned())
    }

    fn closing(&self) -> &'static str {
        ""
    }
}

const CHECKED_CONSTRAINTS: &str = "DO $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; \
    EXCEPTION WHEN integrity_constraint_violation THEN NULL; END $$";

fn expected(schema: &SchemaCheck<'_>) -> String {
    let row = |object: &&SchemaObject| {
        let SchemaObject { kind, table, name, definition } = *object;
        let name = if has_made_up_name(kind) { "" } else { name };
        format!("({}, {}, {}, {})", literal(kind), literal(table), literal(name), literal(definition))
    };
    let rows: Vec<String> = schema.expected.iter().map(row).collect();
    if rows.is_empty() {
        return "SELECT ''::text, ''::text, ''::text, ''::text WHERE false".to_owned();
    }
    format!("VALUES\n{}", rows.join(",\n"))
}

fn found(schema: &SchemaCheck<'_>) -> String {
    let names = match schema.names {
        None => String::new(),
        Some(names) => format!(" AND table_name IN ({})", list(names.iter().map(String::as_str))),
    };
    format!(
        "SELECT kind, table_name, CASE WHEN kind IN ('constraint', 'index', 'sequence') THEN '' ELSE name::text END, \
         trim(regexp_replace(definition, '\\s+', ' ', 'g')) FROM ({SCHEMA}) AS objects (kind, table_name, name, definition) \
         WHERE left(table_name, {}) <> {}{names}",
        OWN_TABLES.len(),
        literal(OWN_TABLES),
    )
}

fn has_made_up_name(kind: &str) -> bool {
    matches!(kind, "constraint" | "index" | "sequence")
}
