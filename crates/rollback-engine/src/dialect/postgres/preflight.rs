use rollback_core::effect::{Drop, Rule};

use super::rules::Postgres;
use crate::dialect::preflight::{Dependant, ForeignOwners, LockRoom, Preflight};
use crate::dialect::rows::texts;
use crate::ports::{Database, DatabaseError, Value};

impl Preflight for Postgres {
    fn read_only(&self, database: &mut dyn Database) -> Result<Option<String>, DatabaseError> {
        let reason = database.query(READ_ONLY, &[])?.into_iter().flatten().next();
        Ok(if let Some(Value::Text(reason)) = reason { Some(reason) } else { None })
    }

    fn foreign_owners(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Option<ForeignOwners>, DatabaseError> {
        if tables.is_empty() {
            return Ok(None);
        }
        let mut found: Option<ForeignOwners> = None;
        for row in database.query(FOREIGN_OWNERS, &[Value::Text(tables.join("\n"))])? {
            let Some([role, table, owner]) = texts(row) else { continue };
            let owners = found.get_or_insert(ForeignOwners { role, tables: Vec::new() });
            owners.tables.push((table, owner));
        }
        Ok(found)
    }

    fn breaks(&self, column: &str, rule: &Rule) -> Option<String> {
        match rule {
            Rule::Length { most } => Some(format!("char_length({column}::text) > {most}")),
            Rule::Range { least, greatest } => Some(format!("{column} NOT BETWEEN {least} AND {greatest}")),
            Rule::Digits { most, places } => Some(format!("abs(round({column}, {places})) >= 1e{most}")),
            Rule::NotNull | Rule::Unique => None,
        }
    }

    fn dependants(
        &self,
        database: &mut dyn Database,
        drop: &Drop,
        touched: &[String],
    ) -> Result<Vec<Dependant>, DatabaseError> {
        let column = drop.column.clone().map_or(Value::Null, Value::Text);
        let values = [Value::Text(drop.table.clone()), column, Value::Text(touched.join("\n"))];
        let rows = database.query(DEPENDANTS, &values)?.into_iter().filter_map(texts);
        Ok(rows.map(|[kind, table, name]| Dependant { kind, table, name }).collect())
    }

    fn lock_room(
        &self,
        database: &mut dyn Database,
        tables: &[String],
    ) -> Result<Option<LockRoom>, DatabaseError> {
        if tables.is_empty() {
            return Ok(None);
        }
        let rows = database.query(LOCK_ROOM, &[Value::Text(tables.join("\n"))])?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Value::Int(needed), Value::Int(room)]) => Some(LockRoom { needed: *needed, room: *room }),
            _ => None,
        })
    }
}

const READ_ONLY: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'it is a replica' \
    WHEN current_setting('transaction_read_only')::bool THEN 'it is set to read-only transactions' END";

const FOREIGN_OWNERS: &str = "SELECT current_user::text, relname::text, pg_get_userbyid(relowner)::text FROM pg_class \
    WHERE oid IN (SELECT to_regclass(quote_ident(name)) FROM regexp_split_to_table($1, E'\\n') AS name) \
    AND NOT pg_has_role(relowner, 'USAGE') ORDER BY relname";

const LOCK_ROOM: &str = "WITH tables AS (SELECT to_regclass(quote_ident(name))::oid AS oid \
    FROM regexp_split_to_table($1, E'\\n') AS name) \
    SELECT (SELECT count(*) FROM tables) \
    + (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)) \
    + (SELECT 2 * count(*) FROM pg_class WHERE oid IN (SELECT oid FROM tables) AND reltoastrelid <> 0) \
    + (SELECT count(*) FROM pg_depend JOIN pg_class ON pg_class.oid = objid AND relkind = 'S' \
       WHERE refobjid IN (SELECT oid FROM tables) AND classid = 'pg_class'::regclass), \
    current_setting('max_locks_per_transaction')::bigint * \
    (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)";

/// What depends on a table ($1), or on one of its columns ($2). References from the tables in $3 are the plan's affair.
const DEPENDANTS: &str = "
WITH dropped AS (
    SELECT to_regclass(quote_ident($1))::oid AS relation, $2::text AS name
), depending AS (
    SELECT pg_depend.* FROM pg_depend JOIN dropped ON refobjid = relation
    WHERE refclassid = 'pg_class'::regclass AND (name IS NULL OR refobjsubid IN
        (SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = name))
)
SELECT CASE relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, relname::text, relname::text
FROM depending JOIN pg_rewrite ON pg_rewrite.oid = objid AND classid = 'pg_rewrite'::regclass
JOIN pg_class ON pg_class.oid = ev_class
WHERE ev_class <> refobjid
UNION
SELECT 'function', proname::text, proname::text
FROM depending JOIN pg_proc ON pg_proc.oid = objid AND classid = 'pg_proc'::regclass
UNION
SELECT 'constraint', relname::text, conname::text
FROM pg_constraint JOIN dropped ON confrelid = relation JOIN pg_class ON pg_class.oid = conrelid
WHERE contype = 'f' AND conrelid <> confrelid
AND (name IS NULL OR (SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = name) = ANY (confkey))
AND relname NOT IN (SELECT touched FROM regexp_split_to_table($3, E'\\n') AS touched)
ORDER BY 1, 2, 3";
