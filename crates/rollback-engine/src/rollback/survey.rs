//! Looking before the first lock: what would be lost, and what the database would refuse on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rollback_core::effect::{Drop, Requirement, Rule};
use rollback_core::plan::{Blocker, Unfit, Warning};
use rollback_core::{Effects, MigrationId};

use super::{Loss, Prepared};
use crate::error::EngineError;
use crate::lock::quoted;
use crate::ports::{Database, DatabaseError, Dialect, Row, Value};
use crate::store::Store;

type Result<T> = std::result::Result<T, EngineError>;

/// Adds to the plan what the database itself has to say.
pub(super) fn survey(
    store: &mut Store<'_>,
    prepared: &mut Prepared,
    effects: Option<&Effects>,
) -> Result<()> {
    let name = store.name();
    let checked = |error: DatabaseError| EngineError::Database { database: name.clone(), error };
    let mut survey = Survey { database: store.database(), columns: BTreeMap::new() };
    prepared.plan.blockers.extend(survey.read_only().map_err(checked)?);
    if survey.database.is_pooled().map_err(checked)? == Some(true) {
        prepared.plan.warnings.push(Warning::Pooler);
    }
    let Some(effects) = effects else {
        if prepared.plan.undoes() {
            prepared.plan.warnings.push(Warning::LossesUnknown);
        }
        return Ok(());
    };
    survey.columns = survey.all_columns().map_err(checked)?;
    prepared.tables =
        effects.tables.iter().filter(|table| survey.columns.contains_key(*table)).cloned().collect();
    prepared.drops = effects.drops.iter().filter(|drop| survey.has_data_of(drop)).cloned().collect();
    prepared.losses = survey.losses(&prepared.drops, &prepared.from.saved_at).map_err(checked)?;
    let tables = prepared.tables.clone();
    prepared.plan.blockers.extend(survey.owners(&tables).map_err(checked)?);
    for requirement in &effects.requirements {
        match survey.unfit(requirement).map_err(checked)? {
            Some(unfit) if requirement.after_code => prepared.plan.warnings.push(Warning::MayNotFit(unfit)),
            Some(unfit) => prepared.plan.blockers.push(Blocker::Unfit(unfit)),
            None => {}
        }
    }
    let (custom, touched) = (CustomSql::of(prepared), tables.join("\n"));
    for drop in &effects.drops {
        let objects = survey.dependants(drop, &touched).map_err(checked)?;
        let foreign = objects.into_iter().filter(|object| {
            let Dependant { kind, table, name } = object;
            prepared.expected.is_drift(kind, table, name) || !custom.may_drop(name)
        });
        let objects: Vec<String> = foreign.map(|object| object.to_string()).collect();
        if !objects.is_empty() {
            prepared.plan.blockers.push(Blocker::Dependants { table: drop.table.clone(), objects });
        }
    }
    prepared.plan.blockers.extend(survey.too_many_locks(&tables).map_err(checked)?);
    Ok(())
}

/// The data that is there now under its names: an earlier segment may have dropped or renamed other.
pub(super) fn still_there(store: &mut Store<'_>, drops: &[Drop]) -> Result<Vec<Drop>> {
    let name = store.name();
    let mut survey = Survey { database: store.database(), columns: BTreeMap::new() };
    survey.columns = survey.all_columns().map_err(|error| EngineError::Database { database: name, error })?;
    Ok(drops.iter().filter(|drop| survey.has_data_of(drop)).cloned().collect())
}

/// How many rows and values would be lost as of now; no more are counted than it takes to know that the limit is passed.
pub(super) fn lost_rows_now(store: &mut Store<'_>, drops: &[Drop], limit: i64) -> Result<i64> {
    let name = store.name();
    let mut lost = 0;
    for drop in drops {
        let most = limit.saturating_sub(lost).saturating_add(1);
        let counted = count(store.database(), &drop.table, drop.column.as_deref(), None, Some(most));
        lost += counted.map_err(|error| EngineError::Database { database: name.clone(), error })?;
        if lost > limit {
            break;
        }
    }
    Ok(lost)
}

/// What the project's own code and SQL in the plan may do to objects that no operation of Django knows.
struct CustomSql {
    /// Some of it is code, which may do anything.
    has_code: bool,
    /// The SQL in it, in lower case.
    sql: String,
}

impl CustomSql {
    fn of(prepared: &Prepared) -> Self {
        let steps = prepared.plan.steps.iter().filter(|step| step.way.undoes());
        let undone: BTreeSet<&MigrationId> = steps.map(|step| &step.migration).collect();
        let custom =
            prepared.facts.iter().filter(|fact| undone.contains(&fact.id)).flat_map(|fact| &fact.custom);
        let (mut has_code, mut sql) = (false, String::new());
        for operation in custom {
            match &operation.sql {
                Some(text) => sql.push_str(&text.to_lowercase()),
                None => has_code = true,
            }
        }
        Self { has_code, sql }
    }

    fn may_drop(&self, name: &str) -> bool {
        self.has_code || self.sql.contains(&name.to_lowercase())
    }
}

/// Something that would go with what is dropped.
struct Dependant {
    kind: String,
    /// The table that it is on; for a view or a function, its own name.
    table: String,
    name: String,
}

impl fmt::Display for Dependant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, table, name } = self;
        if table == name { write!(f, "{kind} {name}") } else { write!(f, "{kind} {name} of {table}") }
    }
}

struct Survey<'d> {
    database: &'d mut dyn Database,
    /// The columns of every table that is there.
    columns: BTreeMap<String, BTreeSet<String>>,
}

type Asked<T> = std::result::Result<T, DatabaseError>;

impl Survey<'_> {
    fn is_postgres(&self) -> bool {
        self.database.dialect() == Dialect::Postgres
    }

    fn read_only(&mut self) -> Asked<Option<Blocker>> {
        if !self.is_postgres() {
            return Ok(None);
        }
        let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 'it is a replica' \
                   WHEN current_setting('transaction_read_only')::bool THEN 'it is set to read-only transactions' END";
        let rows = self.database.query(sql, &[])?;
        Ok(text(rows.first()).map(|reason| Blocker::ReadOnly { reason }))
    }

    fn all_columns(&mut self) -> Asked<BTreeMap<String, BTreeSet<String>>> {
        let sql = if self.is_postgres() {
            "SELECT relname::text, attname::text FROM pg_class \
             LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped \
             WHERE relkind IN ('r', 'p') AND pg_table_is_visible(pg_class.oid) AND relnamespace IN \
             (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))"
        } else {
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
        };
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.database.query(sql, &[])? {
            if let [Value::Text(table), column] = &row[..] {
                let known = columns.entry(table.clone()).or_default();
                known.extend(text(Some(&vec![column.clone()])));
            }
        }
        Ok(columns)
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// Whether what is dropped is there now.
    fn has_data_of(&self, drop: &Drop) -> bool {
        match &drop.column {
            Some(column) => self.has(&drop.table, column),
            None => self.columns.contains_key(&drop.table),
        }
    }

    fn losses(&mut self, drops: &[Drop], saved_at: &str) -> Asked<Vec<Loss>> {
        let mut losses = Vec::new();
        for Drop { migration, table, column, written_at, local_time } in drops {
            let rows = count(self.database, table, column.as_deref(), None, None)?;
            if rows == 0 {
                continue;
            }
            let written_at = written_at.as_ref().filter(|written_at| self.has(table, written_at));
            let since = match written_at {
                Some(written_at) => Some(count(
                    self.database,
                    table,
                    column.as_deref(),
                    Some(Since { written_at, local_time: *local_time, time: saved_at }),
                    None,
                )?),
                None => None,
            };
            losses.push(Loss {
                migration: migration.clone(),
                table: table.clone(),
                column: column.clone(),
                rows,
                since,
            });
        }
        Ok(losses)
    }

    fn owners(&mut self, tables: &[String]) -> Asked<Option<Blocker>> {
        if !self.is_postgres() || tables.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT current_user::text, relname::text, pg_get_userbyid(relowner)::text FROM pg_class \
                   WHERE oid IN (SELECT to_regclass(quote_ident(name)) FROM regexp_split_to_table($1, E'\\n') AS name) \
                   AND NOT pg_has_role(relowner, 'USAGE') ORDER BY relname";
        let rows = self.database.query(sql, &[Value::Text(tables.join("\n"))])?;
        let mut role = String::new();
        let mut foreign = Vec::new();
        for row in rows {
            if let [Value::Text(user), Value::Text(table), Value::Text(owner)] = &row[..] {
                role.clone_from(user);
                foreign.push((table.clone(), owner.clone()));
            }
        }
        Ok((!foreign.is_empty()).then_some(Blocker::NotOwner { role, tables: foreign }))
    }

    /// The rows that do not fit. What SQLite does not enforce, fits.
    fn unfit(&mut self, requirement: &Requirement) -> Asked<Option<Unfit>> {
        let Requirement { migration, table, columns, rule, .. } = requirement;
        if !self.columns.contains_key(table) || !columns.iter().all(|column| self.has(table, column)) {
            return Ok(None);
        }
        let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let column = names.first().map(String::as_str).unwrap_or_default();
        let table_name = quoted(table);
        let condition = match rule {
            None => "1 = 1".to_owned(),
            Some(Rule::NotNull) => format!("{column} IS NULL"),
            Some(Rule::Unique) => {
                let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
                let (list, present) = (names.join(", "), present.join(" AND "));
                format!(
                    "{present} AND ({list}) IN \
                     (SELECT {list} FROM {table_name} WHERE {present} GROUP BY {list} HAVING count(*) > 1)"
                )
            }
            Some(_) if !self.is_postgres() => return Ok(None),
            Some(Rule::Length { most }) => format!("char_length({column}::text) > {most}"),
            Some(Rule::Range { least, greatest }) => format!("{column} NOT BETWEEN {least} AND {greatest}"),
            Some(Rule::Digits { most, places }) => format!("abs(round({column}, {places})) >= 1e{most}"),
        };
        let rows =
            self.database.query(&format!("SELECT count(*) FROM {table_name} WHERE {condition}"), &[])?;
        let rows = number(rows.first());
        Ok((rows > 0).then(|| Unfit {
            migration: migration.clone(),
            table: table.clone(),
            columns: columns.clone(),
            rule: rule.clone(),
            rows,
        }))
    }

    /// What `DROP … CASCADE` would take along: views and functions on the table or the column, and references from tables
    /// that the plan does not touch.
    fn dependants(&mut self, drop: &Drop, touched: &str) -> Asked<Vec<Dependant>> {
        if !self.is_postgres() || !self.columns.contains_key(&drop.table) {
            return Ok(Vec::new());
        }
        let column = drop.column.clone().map_or(Value::Null, Value::Text);
        let table = Value::Text(drop.table.clone());
        let rows = self.database.query(DEPENDANTS, &[table, column, Value::Text(touched.to_owned())])?;
        let dependant = |row: Row| match <[Value; 3]>::try_from(row).ok()? {
            [Value::Text(kind), Value::Text(table), Value::Text(name)] => {
                Some(Dependant { kind, table, name })
            }
            _ => None,
        };
        Ok(rows.into_iter().filter_map(dependant).collect())
    }

    fn too_many_locks(&mut self, tables: &[String]) -> Asked<Option<Blocker>> {
        if !self.is_postgres() || tables.is_empty() {
            return Ok(None);
        }
        let sql = "WITH tables AS (SELECT to_regclass(quote_ident(name))::oid AS oid \
                   FROM regexp_split_to_table($1, E'\\n') AS name) \
                   SELECT (SELECT count(*) FROM tables) \
                   + (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)) \
                   + (SELECT 2 * count(*) FROM pg_class WHERE oid IN (SELECT oid FROM tables) AND reltoastrelid <> 0) \
                   + (SELECT count(*) FROM pg_depend JOIN pg_class ON pg_class.oid = objid AND relkind = 'S' \
                      WHERE refobjid IN (SELECT oid FROM tables) AND classid = 'pg_class'::regclass), \
                   current_setting('max_locks_per_transaction')::bigint * \
                   (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)";
        let rows = self.database.query(sql, &[Value::Text(tables.join("\n"))])?;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Int(needed), Value::Int(room)]) if needed * 2 > *room => {
                Ok(Some(Blocker::TooManyLocks { needed: *needed, room: *room }))
            }
            _ => Ok(None),
        }
    }
}

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

/// Rows whose time is later than another one.
#[derive(Clone, Copy)]
struct Since<'a> {
    written_at: &'a str,
    /// The time in the row is that of the zone of this process, which Django has set to the project's.
    local_time: bool,
    /// RFC 3339, UTC.
    time: &'a str,
}

/// Counts the rows of a table, or the values in a column: all, or those written since a time, or no more than `most`.
fn count(
    database: &mut dyn Database,
    table: &str,
    column: Option<&str>,
    since: Option<Since<'_>>,
    most: Option<i64>,
) -> Asked<i64> {
    let mut conditions = vec!["1 = 1".to_owned()];
    conditions.extend(column.map(|column| format!("{} IS NOT NULL", quoted(column))));
    let mut params = Vec::new();
    if let Some(Since { written_at, local_time, time }) = since {
        let written_at = quoted(written_at);
        conditions.push(match database.dialect() {
            Dialect::Sqlite if local_time => {
                format!("{written_at} > strftime('%Y-%m-%d %H:%M:%f', $1, 'localtime')")
            }
            Dialect::Sqlite => format!("{written_at} > strftime('%Y-%m-%d %H:%M:%f', $1)"),
            Dialect::Postgres => format!("{written_at} > $1::text::timestamptz"),
        });
        params.push(Value::Text(time.to_owned()));
    }
    let (table, conditions) = (quoted(table), conditions.join(" AND "));
    let sql = match most {
        Some(most) => {
            format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {conditions} LIMIT {most}) AS counted")
        }
        None => format!("SELECT count(*) FROM {table} WHERE {conditions}"),
    };
    Ok(number(database.query(&sql, &params)?.first()))
}

fn number(row: Option<&Row>) -> i64 {
    match row.and_then(|row| row.first()) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}

fn text(row: Option<&Row>) -> Option<String> {
    match row.and_then(|row| row.first()) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}
