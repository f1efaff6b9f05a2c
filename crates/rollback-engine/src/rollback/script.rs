//! The rollback as a script: the statements that our own run would make, for somebody who wants to read them first and
//! run them with the database's own program.

use std::fmt::Write;
use std::path::PathBuf;

use rollback_core::effect::Drop;
use rollback_core::plan::{Step, Way};
use rollback_core::schema::SchemaObject;
use rollback_core::{AppliedSet, Release};

use super::recorded::Recorded;
use super::{Prepared, execute, operation};
use crate::Actor;
use crate::catalogue;
use crate::error::EngineError;
use crate::lock::{self, quoted};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};
use crate::store::{HandMade, Store};

/// Writes the script of a plan that recorded SQL can do alone. `psql --single-transaction --file` and `sqlite3` run it;
/// a check that fails ends it, and nothing is changed.
pub fn script(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<String, EngineError> {
    if !prepared.plan.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: prepared.plan.blockers.len() });
    }
    let mut real = Store::open(database)?;
    let token = real.new_token()?;
    let hand_made = made_again(&mut real, prepared)?;
    let mut scribe =
        Scribe { dialect: database.dialect(), name: database.name(), text: String::new(), flushes: false };
    scribe.heading(prepared);
    scribe.begin_script();
    scribe.check_state(prepared);
    let _ = lock::lock_tables(&mut scribe, &prepared.tables);
    let mut store = Store::over(&mut scribe);
    run_steps(&mut store, prepared)
        .map_err(|error| EngineError::Database { database: String::new(), error })?;
    if !hand_made.is_empty() {
        note(&mut store, "What somebody made by hand, and what goes with a table that is made anew.");
    }
    for statement in &hand_made {
        store.run(statement).map_err(|error| EngineError::Database { database: String::new(), error })?;
    }
    let mut operation = operation(prepared, actor);
    operation.outcome = "done".to_owned();
    operation.steps_done = operation.steps.len();
    operation.verified = Some("script".to_owned());
    operation.token = Some(token);
    note(&mut store, "What belongs to the release, and a line of history.");
    execute::bookkeeping(&mut store, prepared, &mut operation)?;
    store.write_operation(&operation)?;
    scribe.check_result(prepared);
    scribe.end_script();
    Ok(scribe.text)
}

/// On SQLite, the statements that make again what a table that is made anew loses: indexes and triggers of no migration,
/// on tables and columns that stay.
fn made_again(store: &mut Store<'_>, prepared: &Prepared) -> Result<Vec<String>, EngineError> {
    if !prepared.expected.has_drift() {
        return Ok(Vec::new());
    }
    let left = prepared.expected.at_the_end().unwrap_or_default();
    let stays = |made: &HandMade| {
        let names = |column: &String| made.sql.split(|c| !is_part_of_a_name(c)).any(|word| word == column);
        let is_dropped = |drop: &Drop| drop.table == made.table && drop.column.as_ref().is_none_or(names);
        left.iter().any(|object| object.kind == "table" && object.table == made.table)
            && !prepared.drops.iter().any(is_dropped)
    };
    let mut made = store.indexes_and_triggers()?;
    made.retain(|made| prepared.expected.is_drift(&made.kind, &made.table, &made.name) && stays(made));
    Ok(made.iter().map(unless_it_is_there).collect())
}

fn is_part_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn unless_it_is_there(made: &HandMade) -> String {
    let word = made.kind.to_uppercase();
    match made.sql.to_uppercase().find(&format!("{word} ")) {
        Some(place) => {
            let (head, tail) = made.sql.split_at(place + word.len());
            format!("{head} IF NOT EXISTS{tail}")
        }
        None => made.sql.clone(),
    }
}

fn run_steps(store: &mut Store<'_>, prepared: &Prepared) -> Result<(), DatabaseError> {
    let mut recorded = Recorded::default();
    for step in &prepared.plan.steps {
        note(store, &what(step));
        if step.way == Way::Sql {
            recorded.run(store, &prepared.recordings[&step.migration].statements)?;
        }
        let rows = if step.way == Way::Mark { &[][..] } else { &step.rows[..] };
        for row in rows {
            store.unrecord(row).map_err(database_error)?;
        }
        if step.way == Way::Mark {
            store.record(&step.migration).map_err(database_error)?;
        }
    }
    recorded.finish(store)
}

fn database_error(error: EngineError) -> DatabaseError {
    match error {
        EngineError::Database { error, .. } => error,
        other => DatabaseError::new(DatabaseErrorKind::Other, &other.to_string()),
    }
}

fn what(step: &Step) -> String {
    match step.way {
        Way::Mark => format!("Mark {} as applied.", step.migration),
        Way::Unmark => format!("Unmark {}.", step.migration),
        _ => format!("Unapply {}.", step.migration),
    }
}

/// A comment, through the same hands as the statements.
fn note(store: &mut Store<'_>, text: &str) {
    let _ = store.run(&format!("{NOTE}{text}"));
}

const NOTE: &str = "-- ";

/// Stands in the place of a database, and writes down what it is told to do.
struct Scribe {
    dialect: Dialect,
    name: String,
    text: String,
    /// Whether the statements of a check of constraints are on their way.
    flushes: bool,
}

impl Scribe {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    fn comment(&mut self, text: &str) {
        // One line, whatever a name holds.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.line(&format!("{NOTE}{text}"));
    }

    fn statement(&mut self, sql: &str) {
        let sql = sql.trim_end();
        // A comment at its end would swallow the semicolon.
        let end = if sql.lines().last().is_some_and(|line| line.contains("--")) { "\n;" } else { ";" };
        self.line(&format!("{sql}{end}"));
    }

    fn is_postgres(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    fn heading(&mut self, prepared: &Prepared) {
        let (from, to) = (prepared.from.label(), prepared.to.label());
        self.comment(&format!("Rollback of {} from {from} to {to}.", self.name.clone()));
        self.comment(&format!(
            "Written by django-rollback {}. It may be run once, and only on this database.",
            crate::VERSION
        ));
        self.comment(if self.is_postgres() {
            "Run it with: psql --single-transaction --set ON_ERROR_STOP=1 --file FILE DATABASE"
        } else {
            "Run it with: sqlite3 DATABASE < FILE"
        });
        self.comment("If a check or a statement fails, nothing is changed. `django-rollback status` says how it ended.");
        for loss in &prepared.losses {
            let what = match &loss.column {
                Some(column) => format!("{} values of {}.{column}", loss.rows, loss.table),
                None => format!("{} rows of {}", loss.rows, loss.table),
            };
            self.comment(&format!("Lost: {what}, by undoing {}.", loss.migration));
        }
    }

    fn begin_script(&mut self) {
        if !self.is_postgres() {
            self.line(".bail on");
            self.statement("PRAGMA foreign_keys = OFF");
            self.statement("BEGIN IMMEDIATE");
            return;
        }
        self.line("\\set ON_ERROR_STOP on");
        self.statement("SET LOCAL lock_timeout = '100ms'");
        self.statement("SET LOCAL idle_in_transaction_session_timeout = '60s'");
        self.statement("SET LOCAL standard_conforming_strings = on");
        self.comment("Nobody else saves or rolls back meanwhile; outside a transaction it ends here.");
        self.statement("LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE");
        self.statement("SELECT id FROM django_rollback_lock WHERE id = 1 FOR UPDATE NOWAIT");
    }

    fn check_state(&mut self, prepared: &Prepared) {
        let applied = AppliedSet::of_rows(&prepared.rows);
        self.comment("The plan was made for these migrations and for this current release.");
        self.check(
            "the applied migrations are not those that this script was made for",
            &is_applied(&applied),
        );
        let Release { id, commit, .. } = &prepared.from;
        let newest = format!(
            "(SELECT count(*) FROM django_rollback_appsstate WHERE id >= {id}) = 1 AND \
             (SELECT count(*) FROM django_rollback_appsstate WHERE id = {id} AND \"commit\" = {}) = 1",
            literal(commit.as_str())
        );
        self.check("the current release is not the one that this script was made for", &newest);
    }

    fn check_result(&mut self, prepared: &Prepared) {
        self.comment("Afterwards.");
        self.check(
            "django_migrations does not hold what the release had",
            &is_applied(&prepared.plan.result),
        );
        let Some(expected) = prepared.expected.at_the_end() else { return };
        let is_named = |object: &&SchemaObject| {
            prepared.names.as_ref().is_none_or(|names| names.contains(&object.table))
        };
        let expected: Vec<&SchemaObject> = expected.iter().filter(is_named).collect();
        if self.is_postgres() {
            self.check_schema(&expected, prepared);
        } else {
            self.check_columns(&expected, prepared);
            self.check(
                "a row refers to another one that is not there",
                "NOT EXISTS (SELECT 1 FROM pragma_foreign_key_check)",
            );
        }
    }

    /// The whole comparison, in SQL; made-up names and white space do not count in it either.
    fn check_schema(&mut self, expected: &[&SchemaObject], prepared: &Prepared) {
        let rows: Vec<String> = expected
            .iter()
            .map(|object| {
                let SchemaObject { kind, table, name, definition } = object;
                let name = if is_named_loosely(kind) { "" } else { name };
                format!("({}, {}, {}, {})", literal(kind), literal(table), literal(name), literal(definition))
            })
            .collect();
        let names = match &prepared.names {
            None => String::new(),
            Some(names) => format!(" AND table_name IN ({})", list(names.iter().map(String::as_str))),
        };
        let values = if rows.is_empty() {
            "SELECT ''::text, ''::text, ''::text, ''::text WHERE false".to_owned()
        } else {
            format!("VALUES\n{}", rows.join(",\n"))
        };
        self.statement(catalogue::FIXED_SETTINGS);
        let found = format!(
            "SELECT kind, table_name, CASE WHEN kind IN ('constraint', 'index', 'sequence') THEN '' ELSE name::text END, \
             trim(regexp_replace(definition, '\\s+', ' ', 'g')) FROM ({}) AS objects (kind, table_name, name, definition) \
             WHERE left(table_name, {}) <> {}{names}",
            catalogue::POSTGRES,
            catalogue::OWN_TABLES.len(),
            literal(catalogue::OWN_TABLES),
        );
        let condition = format!(
            "NOT EXISTS (WITH expected (kind, table_name, name, definition) AS ({values}), \
             found (kind, table_name, name, definition) AS ({found})\n\
             (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) UNION ALL \
             (SELECT * FROM found EXCEPT ALL SELECT * FROM expected))"
        );
        self.check("the schema is not the one that the release had", &condition);
    }

    /// Of a table of SQLite, the columns: its catalogue is text, which SQL cannot compare.
    fn check_columns(&mut self, expected: &[&SchemaObject], prepared: &Prepared) {
        let columns: Vec<String> = expected
            .iter()
            .filter(|object| object.kind == "column")
            .map(|object| format!("({}, {})", literal(&object.table), literal(&object.name)))
            .collect();
        let Some(names) = prepared.names.as_ref().filter(|_| !columns.is_empty()) else { return };
        let condition = format!(
            "NOT EXISTS (WITH expected (t, c) AS (VALUES {}), found (t, c) AS (SELECT m.name, c.name \
             FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name IN ({})) \
             SELECT * FROM (SELECT * FROM expected EXCEPT SELECT * FROM found) UNION ALL \
             SELECT * FROM (SELECT * FROM found EXCEPT SELECT * FROM expected))",
            columns.join(", "),
            list(names.iter().map(String::as_str)),
        );
        self.check("the columns are not those that the release had", &condition);
    }

    /// Ends the script with this message unless the condition holds.
    fn check(&mut self, message: &str, condition: &str) {
        if self.is_postgres() {
            let mut tag = "$django_rollback$".to_owned();
            while condition.contains(&tag) {
                tag.insert(tag.len() - 1, '_');
            }
            self.statement(&format!(
                "DO {tag} BEGIN IF NOT ({condition}) THEN RAISE EXCEPTION {}; END IF; END {tag}",
                literal(message)
            ));
        } else {
            self.statement("DROP TABLE IF EXISTS temp.django_rollback_check");
            self.statement(&format!(
                "CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT {} CHECK (holds))",
                quoted(message)
            ));
            self.statement(&format!("INSERT INTO django_rollback_check SELECT {condition}"));
        }
    }

    /// A program that stops at each error cannot go back to a savepoint: a block that catches the error does the same.
    fn flush(&mut self, sql: &str) {
        self.flushes = sql.starts_with("SAVEPOINT");
        if self.flushes {
            self.statement(
                "DO $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; \
                 EXCEPTION WHEN integrity_constraint_violation THEN NULL; END $$",
            );
        }
    }

    fn end_script(&mut self) {
        if !self.is_postgres() {
            self.statement("DROP TABLE temp.django_rollback_check");
            self.statement("COMMIT");
        }
    }
}

fn is_named_loosely(kind: &str) -> bool {
    matches!(kind, "constraint" | "index" | "sequence")
}

/// SQL that is true when exactly these migrations are applied.
fn is_applied(applied: &AppliedSet) -> String {
    let rows: Vec<String> =
        applied.iter().map(|id| format!("({}, {})", literal(&id.app), literal(&id.name))).collect();
    if rows.is_empty() {
        return "NOT EXISTS (SELECT 1 FROM django_migrations)".to_owned();
    }
    let rows = rows.join(", ");
    format!(
        "(SELECT count(DISTINCT (app || '.' || name)) FROM django_migrations) = {} AND \
         NOT EXISTS (SELECT 1 FROM django_migrations WHERE (app, name) NOT IN (VALUES {rows}))",
        applied.len()
    )
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.map(literal).collect();
    if texts.is_empty() { "NULL".to_owned() } else { texts.join(", ") }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statement with its values in it.
fn with_values(sql: &str, params: &[Value]) -> String {
    let numbered = params.iter().enumerate().rev();
    // Each parameter stands once and in order: from the last to the first, `$1` is not taken for a part of `$10`, and
    // no value that was put in is looked through again.
    let (mut head, mut tail) = (sql.to_owned(), String::new());
    for (place, value) in numbered {
        let mark = format!("${}", place + 1);
        let Some(at) = head.rfind(&mark) else { continue };
        let value = match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => literal(text),
        };
        tail = format!("{value}{}{tail}", &head[at + mark.len()..]);
        head.truncate(at);
    }
    head + &tail
}

impl Database for Scribe {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn query(&mut self, _: &str, _: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        Ok(Vec::new())
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.statement(&with_values(sql, params));
        Ok(0)
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match sql.strip_prefix(NOTE) {
            Some(text) if !text.contains('\n') => self.comment(text),
            _ if sql.contains("SAVEPOINT flush_constraints") => self.flush(sql),
            _ if self.flushes => {}
            _ => self.statement(sql),
        }
        Ok(())
    }

    fn begin(&mut self, _: Purpose) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Err(DatabaseError::new(DatabaseErrorKind::Other, "a script has no connection"))
    }

    fn lock_file(&self) -> Option<PathBuf> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_each_and_not_looked_through_again() {
        let values = [Value::Text("it's $2 $1".to_owned()), Value::Int(7), Value::Null];
        assert_eq!(
            with_values("INSERT INTO a VALUES ($1, $2, $3)", &values),
            "INSERT INTO a VALUES ('it''s $2 $1', 7, NULL)"
        );
    }
}
