//! The rollback as a script: the statements that our own run would execute, for somebody who wants to read them first and
//! run them with the database's own program.

use rollback_core::effect::Drop;
use rollback_core::plan::{Step, Way};
use rollback_core::schema::SchemaObject;
use rollback_core::{AppliedSet, Release};

use super::error::RollbackError;
use super::prepared::{Loss, Prepared};
use super::record;
use super::script_writer::ScriptWriter;
use super::steps::{NoRunner, Steps};
use crate::actor::{Actor, VERSION};
use crate::dialect::{Check, RemadeObject, SchemaCheck, literal};
use crate::ports::{Database, DatabaseError, RunnerError};
use crate::session::SessionError;
use crate::store::{Event, Operation, Store, Verification};

/// Writes the script of a plan that recorded SQL can do alone. `psql --single-transaction --file` and `sqlite3` run it.
/// A check that fails ends it, and nothing is changed.
pub fn script(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<String, RollbackError> {
    prepared.check_blockers()?;
    let mut real = Store::open(database)?;
    let token = real.session.random_text()?;
    let hand_made = made_again(&mut real, prepared)?;
    let mut writer = ScriptWriter::new(database);
    heading(&mut writer, prepared);
    writer.opening();
    check_state(&mut writer, prepared);
    let mut store = Store::over(&mut writer);
    store.session.lock_tables(&prepared.tables)?;
    run_steps(&mut store, prepared).map_err(failed)?;
    if !hand_made.is_empty() {
        note(&mut store, "What somebody made by hand, and what goes with a table that is made anew.");
    }
    for statement in &hand_made {
        store.session.ask(|database| database.run(statement))?;
    }
    note(&mut store, "What belongs to the release, and a line of history.");
    write_history(&mut store, prepared, actor, token)?;
    check_result(&mut writer, prepared);
    writer.closing();
    Ok(writer.into_text())
}

/// A failure of the writer. It has none, but the statements go through the hands of a run.
fn failed(error: RunnerError) -> SessionError {
    let RunnerError { kind, message } = error;
    SessionError::Database { database: "the script".to_owned(), error: DatabaseError { kind, message } }
}

fn heading(writer: &mut ScriptWriter, prepared: &Prepared) {
    let (from, to) = (prepared.from.label(), prepared.to.label());
    writer.comment(&format!("Rollback of {} from {from} to {to}.", writer.name()));
    writer.comment(&format!("Written by django-rollback {VERSION}. Run it once, and only on this database."));
    writer.comment(&format!("Run it with: {}", writer.how_to_run()));
    writer.comment(
        "If a check or a statement fails, nothing is changed. `django-rollback status` says how it ended.",
    );
    for Loss { migration, table, column, rows, .. } in &prepared.losses {
        let what = match column {
            Some(column) => format!("{rows} values of {table}.{column}"),
            None => format!("{rows} rows of {table}"),
        };
        writer.comment(&format!("Lost: {what}, by undoing {migration}."));
    }
}

fn check_state(writer: &mut ScriptWriter, prepared: &Prepared) {
    writer.comment("The plan was made for these migrations and for this current release.");
    writer.check(&Check {
        message: "the applied migrations are not those that this script was made for",
        condition: is_applied(&AppliedSet::of_rows(&prepared.rows)),
    });
    let Release { id, commit, .. } = &prepared.from;
    writer.check(&Check {
        message: "the current release is not the one that this script was made for",
        condition: format!(
            "(SELECT count(*) FROM django_rollback_appsstate WHERE id >= {id}) = 1 AND \
             (SELECT count(*) FROM django_rollback_appsstate WHERE id = {id} AND \"commit\" = {}) = 1",
            literal(commit.as_str())
        ),
    });
}

fn check_result(writer: &mut ScriptWriter, prepared: &Prepared) {
    writer.comment("Afterwards.");
    writer.check(&Check {
        message: "django_migrations does not hold what the release had",
        condition: is_applied(&prepared.plan.result),
    });
    let Some(expected) = prepared.expected.at_the_end() else { return };
    let is_named =
        |object: &&SchemaObject| prepared.names.as_ref().is_none_or(|names| names.contains(&object.table));
    let expected: Vec<&SchemaObject> = expected.iter().filter(is_named).collect();
    writer.check_schema(&SchemaCheck { expected: &expected, names: prepared.names.as_ref() });
}

fn write_history(
    store: &mut Store<'_>,
    prepared: &Prepared,
    actor: &Actor,
    token: String,
) -> Result<(), RollbackError> {
    let mut event = record::beginning(prepared);
    event.steps_done = event.route.steps.len();
    event.verified = Some(Verification::Script);
    event.token = Some(token);
    record::close(store, prepared, &mut event)?;
    Ok(store.write_operation(&Operation::new(Event::Rollback(event), actor))?)
}

/// On SQLite, the statements that make again what a table that is made anew loses: indexes and triggers of no migration,
/// on tables and columns that stay.
fn made_again(store: &mut Store<'_>, prepared: &Prepared) -> Result<Vec<String>, RollbackError> {
    if !prepared.expected.has_drift() {
        return Ok(Vec::new());
    }
    let rules = store.session.rules();
    let left = prepared.expected.at_the_end().unwrap_or_default();
    let stays = |made: &RemadeObject| {
        let names = |column: &String| made.sql.split(|c| !is_part_of_a_name(c)).any(|word| word == column);
        let is_dropped = |drop: &Drop| drop.table == made.table && drop.column.as_ref().is_none_or(names);
        left.iter().any(|object| object.kind == "table" && object.table == made.table)
            && !prepared.drops.iter().any(is_dropped)
    };
    let mut made = store.session.ask(|database| rules.lost_in_remakes(database))?;
    made.retain(|made| prepared.expected.is_drift(&made.kind, &made.table, &made.name) && stays(made));
    Ok(made.iter().map(unless_it_is_there).collect())
}

fn is_part_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn unless_it_is_there(made: &RemadeObject) -> String {
    let word = made.kind.to_uppercase();
    match made.sql.to_uppercase().find(&format!("{word} ")) {
        Some(place) => {
            let (head, tail) = made.sql.split_at(place + word.len());
            format!("{head} IF NOT EXISTS{tail}")
        }
        None => made.sql.clone(),
    }
}

fn run_steps(store: &mut Store<'_>, prepared: &Prepared) -> Result<(), RunnerError> {
    let mut steps = Steps::new(&prepared.recordings);
    for step in &prepared.plan.steps {
        note(store, &what(step));
        steps.apply(store, &mut NoRunner, step)?;
    }
    steps.finish(store)
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
    let _ = store.session.ask(|database| database.run(&ScriptWriter::note(text)));
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
