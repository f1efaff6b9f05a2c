//! The schema as `pg_catalog` has it.

use rollback_core::{Schema, SchemaObject};

use super::rules::Postgres;
use crate::dialect::catalogue::{Catalogue, Columns, OWN_TABLES, RemadeObject};
use crate::ports::{Database, DatabaseError, Row, Value};

impl Catalogue for Postgres {
    fn has_lock_table(&self) -> &'static str {
        "SELECT 1 WHERE to_regclass('django_rollback_lock') IS NOT NULL"
    }

    fn read_schema(&self, database: &mut dyn Database) -> Result<Schema, DatabaseError> {
        database.query(FIXED_SETTINGS, &[])?;
        let objects = database.query(SCHEMA, &[])?.into_iter().filter_map(read_object);
        Ok(objects.filter(|object| !object.table.starts_with(OWN_TABLES)).collect())
    }

    fn columns(&self, database: &mut dyn Database) -> Result<Columns, DatabaseError> {
        let mut columns = Columns::new();
        for row in database.query(COLUMNS, &[])? {
            let [Value::Text(table), column] = &row[..] else { continue };
            let known = columns.entry(table.clone()).or_default();
            if let Value::Text(column) = column {
                known.insert(column.clone());
            }
        }
        Ok(columns)
    }

    fn existing(&self, database: &mut dyn Database, tables: &[String]) -> Result<Vec<String>, DatabaseError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let rows = database.query(EXISTING, &[Value::Text(tables.join("\n"))])?;
        let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
        Ok(rows.into_iter().flatten().filter_map(text).collect())
    }

    fn lost_in_remakes(&self, _: &mut dyn Database) -> Result<Vec<RemadeObject>, DatabaseError> {
        Ok(Vec::new())
    }
}

fn read_object(row: Row) -> Option<SchemaObject> {
    let text = |value| match value {
        Value::Text(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Null => String::new(),
    };
    let texts: Vec<String> = row.into_iter().map(text).collect();
    let [kind, table, name, definition] = <[String; 4]>::try_from(texts).ok()?;
    Some(SchemaObject::new(&kind, &table, &name, &definition))
}

/// A table without columns is listed once, with a column that is `NULL`.
const COLUMNS: &str = "SELECT relname::text, attname::text FROM pg_class \
    LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped \
    WHERE relkind IN ('r', 'p') AND pg_table_is_visible(pg_class.oid) AND relnamespace IN \
    (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))";

const EXISTING: &str = "SELECT name FROM regexp_split_to_table($1, E'\\n') AS name \
    WHERE to_regclass(quote_ident(name)) IS NOT NULL ORDER BY name";

/// The settings on which the server's words depend, until the end of the transaction.
pub(super) const FIXED_SETTINGS: &str =
    "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
    set_config('IntervalStyle', 'postgres', true), set_config('bytea_output', 'hex', true),
    set_config('quote_all_identifiers', 'off', true), set_config('standard_conforming_strings', 'on', true)";

/// Each part gives kind, table, name and definition. What is on no table stands in the table's place. Constraints of
/// the kind `NOT NULL`, which PostgreSQL 18 lists and older ones do not, are said with the column, and the index of a
/// constraint is said with that.
pub(super) const SCHEMA: &str = r"
WITH spaces AS (
    SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false))
), extended AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relations AS (
    SELECT oid, relname, relkind, relpersistence FROM pg_class
    WHERE relnamespace IN (SELECT oid FROM spaces) AND NOT relispartition
    AND oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_class'::regclass)
), tables AS (
    SELECT * FROM relations WHERE relkind IN ('r', 'p', 'f')
)
SELECT 'table'::text, relname::text, ''::text, concat_ws(' ',
    CASE relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) WHEN 'f' THEN 'foreign' END,
    CASE relpersistence WHEN 'u' THEN 'unlogged' END, 'comment ' || quote_literal(obj_description(oid, 'pg_class')))
FROM tables
UNION ALL
SELECT 'column', relname, attname, concat_ws(' ',
    format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
    'default ' || CASE WHEN attgenerated = '' THEN pg_get_expr(adbin, adrelid) END,
    'generated always as ' || CASE WHEN attgenerated <> '' THEN pg_get_expr(adbin, adrelid) END,
    'identity ' || CASE attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
    'collate ' || CASE WHEN attcollation <> typcollation THEN attcollation::regcollation END,
    'comment ' || quote_literal(col_description(tables.oid, attnum)))
FROM pg_attribute
JOIN tables ON attrelid = tables.oid
JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', relname, conname, pg_get_constraintdef(pg_constraint.oid)
FROM pg_constraint JOIN tables ON conrelid = tables.oid
WHERE contype NOT IN ('n', 't') AND conparentid = 0
UNION ALL
SELECT 'index', relations.relname, index.relname,
    replace(pg_get_indexdef(indexrelid), ' INDEX ' || quote_ident(index.relname) || ' ON ', ' INDEX ON ')
    || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index
JOIN relations ON indrelid = relations.oid
JOIN pg_class index ON index.oid = indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', relname, tgname, concat_ws(' ', pg_get_triggerdef(pg_trigger.oid),
    'enabled ' || nullif(tgenabled::text, 'O'))
FROM pg_trigger JOIN relations ON tgrelid = relations.oid
WHERE NOT tgisinternal
UNION ALL
SELECT 'sequence', coalesce(tables.relname, sequence.relname), sequence.relname, concat_ws(' ',
    format_type(seqtypid, NULL), 'start', seqstart, 'increment', seqincrement, CASE WHEN seqcycle THEN 'cycle' END,
    'of', attname)
FROM pg_sequence
JOIN relations sequence ON sequence.oid = seqrelid
LEFT JOIN pg_depend ON objid = seqrelid AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
LEFT JOIN tables ON tables.oid = refobjid
LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
UNION ALL
SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, relname, '', pg_get_viewdef(oid)
FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'function', proname, pg_get_function_identity_arguments(oid), pg_get_functiondef(oid)
FROM pg_proc
WHERE prokind IN ('f', 'p') AND pronamespace IN (SELECT oid FROM spaces)
AND oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_proc'::regclass)
UNION ALL
SELECT 'type', typname, '',
    concat_ws(' ', CASE typtype WHEN 'd' THEN 'domain over ' || format_type(typbasetype, typtypmod) ELSE 'enum' END,
        CASE WHEN typnotnull THEN 'not null' END, 'default ' || typdefault,
        (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum
         WHERE enumtypid = pg_type.oid),
        (SELECT string_agg(pg_get_constraintdef(pg_constraint.oid), ' ' ORDER BY conname) FROM pg_constraint
         WHERE contypid = pg_type.oid AND contype = 'c'))
FROM pg_type
WHERE typtype IN ('d', 'e') AND typnamespace IN (SELECT oid FROM spaces)
AND oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_type'::regclass)
UNION ALL
SELECT 'extension', extname, '', '' FROM pg_extension WHERE extname <> 'plpgsql'
";
