//! Looking before the first lock: what would be lost, and what the database would refuse on the way.

use std::collections::BTreeSet;

use rollback_core::effect::{Drop, Requirement, Rule};
use rollback_core::plan::{Blocker, Plan, Unfit, Warning};
use rollback_core::{Effects, MigrationFacts, MigrationId};

use super::prepared::Loss;
use super::verify::Expected;
use crate::dialect::{Columns, Dependant, ForeignOwners, LockRoom, Rules, quoted};
use crate::ports::{Row, Value};
use crate::session::Session;
use crate::store::{Store, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// What is looked at.
pub(super) struct Subject<'s> {
    /// The plan.
    pub(super) plan: &'s Plan,
    /// What is known of migrations.
    pub(super) facts: &'s [MigrationFacts],
    /// What the schema has to be at the end.
    pub(super) expected: &'s Expected,
    /// When the current release was saved: RFC 3339, UTC.
    pub(super) saved_at: &'s str,
}

/// What the database has to say of a plan.
#[derive(Default)]
pub(super) struct Findings {
    /// Why it cannot run.
    pub(super) blockers: Vec<Blocker>,
    /// What the user should know before it runs.
    pub(super) warnings: Vec<Warning>,
    /// The data that would be lost, in the order of the steps.
    pub(super) losses: Vec<Loss>,
    /// What is dropped and exists now, with or without data.
    pub(super) drops: Vec<Drop>,
    /// The tables that the steps lock, sorted.
    pub(super) tables: Vec<String>,
}

/// Asks the database about the effects of a plan. Without effects, losses are unknown.
pub(super) fn preflight(
    store: &mut Store<'_>,
    subject: &Subject<'_>,
    effects: Option<&Effects>,
) -> Result<Findings> {
    let rules = store.session.rules();
    let session = &mut store.session;
    let mut findings = Findings::default();
    let read_only = session.ask(|database| rules.read_only(database))?;
    findings.blockers.extend(read_only.map(|reason| Blocker::ReadOnly { reason }));
    if session.ask(|database| database.is_pooled())? == Some(true) {
        findings.warnings.push(Warning::Pooler);
    }
    match effects {
        Some(effects) => {
            let columns = session.ask(|database| rules.columns(database))?;
            Look { session, rules, columns, subject, findings: &mut findings }.at(effects)?;
        }
        None if subject.plan.undoes() => findings.warnings.push(Warning::LossesUnknown),
        None => {}
    }
    Ok(findings)
}

/// The data that exists now under its names: an earlier segment may have dropped or renamed other.
pub(super) fn still_there(store: &mut Store<'_>, drops: &[Drop]) -> Result<Vec<Drop>> {
    let rules = store.session.rules();
    let columns = store.session.ask(|database| rules.columns(database))?;
    Ok(drops.iter().filter(|drop| has_data_of(&columns, drop)).cloned().collect())
}

/// How many rows and values would be lost as of now. It stops counting once the limit is exceeded.
pub(super) fn lost_rows_now(store: &mut Store<'_>, drops: &[Drop], limit: i64) -> Result<i64> {
    let mut lost = 0;
    for drop in drops {
        let most = limit.saturating_sub(lost).saturating_add(1);
        lost += count(&mut store.session, drop, None, Some(most))?;
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
    fn of(subject: &Subject<'_>) -> Self {
        let steps = subject.plan.steps.iter().filter(|step| step.way.undoes());
        let undone: BTreeSet<&MigrationId> = steps.map(|step| &step.migration).collect();
        let custom =
            subject.facts.iter().filter(|fact| undone.contains(&fact.id)).flat_map(|fact| &fact.custom);
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

/// Whether what is dropped exists now.
fn has_data_of(columns: &Columns, drop: &Drop) -> bool {
    match &drop.column {
        Some(column) => has(columns, &drop.table, column),
        None => columns.contains_key(&drop.table),
    }
}

fn has(columns: &Columns, table: &str, column: &str) -> bool {
    columns.get(table).is_some_and(|columns| columns.contains(column))
}

struct Look<'l, 'd> {
    session: &'l mut Session<'d>,
    rules: &'static dyn Rules,
    /// The columns of every table that exists.
    columns: Columns,
    subject: &'l Subject<'l>,
    findings: &'l mut Findings,
}

impl Look<'_, '_> {
    fn at(&mut self, effects: &Effects) -> Result<()> {
        let is_there = |table: &&String| self.columns.contains_key(*table);
        self.findings.tables = effects.tables.iter().filter(is_there).cloned().collect();
        self.findings.drops =
            effects.drops.iter().filter(|drop| has_data_of(&self.columns, drop)).cloned().collect();
        self.findings.losses = self.losses()?;
        self.look_at_owners()?;
        for requirement in &effects.requirements {
            self.look_at_rows(requirement)?;
        }
        let custom = CustomSql::of(self.subject);
        for drop in &effects.drops {
            self.look_at_dependants(drop, &custom)?;
        }
        self.look_at_locks()
    }

    fn losses(&mut self) -> Result<Vec<Loss>> {
        let mut losses = Vec::new();
        for drop in self.findings.drops.clone() {
            let rows = count(self.session, &drop, None, None)?;
            if rows == 0 {
                continue;
            }
            let since = match &drop.written_at {
                Some(written_at) if has(&self.columns, &drop.table, written_at) => {
                    let since =
                        Since { written_at, local_time: drop.local_time, time: self.subject.saved_at };
                    Some(count(self.session, &drop, Some(since), None)?)
                }
                _ => None,
            };
            let Drop { migration, table, column, .. } = drop;
            losses.push(Loss { migration, table, column, rows, since });
        }
        Ok(losses)
    }

    fn look_at_owners(&mut self) -> Result<()> {
        let (rules, tables) = (self.rules, &self.findings.tables);
        let owners = self.session.ask(|database| rules.foreign_owners(database, tables))?;
        let blocker = owners.map(|ForeignOwners { role, tables }| Blocker::NotOwner { role, tables });
        self.findings.blockers.extend(blocker);
        Ok(())
    }

    /// The rows that would not fit.
    fn look_at_rows(&mut self, requirement: &Requirement) -> Result<()> {
        let Requirement { migration, table, columns, rule, .. } = requirement;
        if !self.columns.contains_key(table)
            || !columns.iter().all(|column| has(&self.columns, table, column))
        {
            return Ok(());
        }
        let Some(condition) = self.condition(requirement) else { return Ok(()) };
        let sql = format!("SELECT count(*) FROM {} WHERE {condition}", quoted(table));
        let rows = number(self.session.query(&sql, &[])?.first());
        if rows == 0 {
            return Ok(());
        }
        let (table, columns, rule) = (table.clone(), columns.clone(), rule.clone());
        let unfit = Unfit { migration: migration.clone(), table, columns, rule, rows };
        if requirement.after_code {
            self.findings.warnings.push(Warning::MayNotFit(unfit));
        } else {
            self.findings.blockers.push(Blocker::Unfit(unfit));
        }
        Ok(())
    }

    /// The condition that a row breaks a requirement; `None` if the database does not enforce it.
    fn condition(&self, requirement: &Requirement) -> Option<String> {
        let names: Vec<String> = requirement.columns.iter().map(|column| quoted(column)).collect();
        let column = names.first().map(String::as_str).unwrap_or_default();
        match &requirement.rule {
            None => Some("1 = 1".to_owned()),
            Some(Rule::NotNull) => Some(format!("{column} IS NULL")),
            Some(Rule::Unique) => Some(occurs_twice(&quoted(&requirement.table), &names)),
            Some(rule) => self.rules.breaks(column, rule),
        }
    }

    /// What a drop would take along, except for what the plan's own code and SQL may drop itself.
    fn look_at_dependants(&mut self, drop: &Drop, custom: &CustomSql) -> Result<()> {
        if !self.columns.contains_key(&drop.table) {
            return Ok(());
        }
        let (rules, tables) = (self.rules, &self.findings.tables);
        let dependants = self.session.ask(|database| rules.dependants(database, drop, tables))?;
        let is_foreign = |dependant: &Dependant| {
            let Dependant { kind, table, name } = dependant;
            self.subject.expected.is_drift(kind, table, name) || !custom.may_drop(name)
        };
        let objects: Vec<String> =
            dependants.into_iter().filter(is_foreign).map(|object| object.to_string()).collect();
        if !objects.is_empty() {
            self.findings.blockers.push(Blocker::Dependants { table: drop.table.clone(), objects });
        }
        Ok(())
    }

    /// The server needs room for the locks of others, too.
    fn look_at_locks(&mut self) -> Result<()> {
        let (rules, tables) = (self.rules, &self.findings.tables);
        let locks = self.session.ask(|database| rules.lock_room(database, tables))?;
        let is_tight = |locks: &LockRoom| locks.needed * 2 > locks.room;
        let blocker =
            locks.filter(is_tight).map(|LockRoom { needed, room }| Blocker::TooManyLocks { needed, room });
        self.findings.blockers.extend(blocker);
        Ok(())
    }
}

/// The condition that the values of these columns occur in several rows. Rows with a NULL are never equal.
fn occurs_twice(table: &str, columns: &[String]) -> String {
    let present: Vec<String> = columns.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    let (list, present) = (columns.join(", "), present.join(" AND "));
    format!(
        "{present} AND ({list}) IN (SELECT {list} FROM {table} WHERE {present} GROUP BY {list} HAVING count(*) > 1)"
    )
}

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
fn count(session: &mut Session<'_>, drop: &Drop, since: Option<Since<'_>>, most: Option<i64>) -> Result<i64> {
    let mut conditions = vec!["1 = 1".to_owned()];
    conditions.extend(drop.column.as_ref().map(|column| format!("{} IS NOT NULL", quoted(column))));
    let mut params = Vec::new();
    if let Some(Since { written_at, local_time, time }) = since {
        conditions.push(session.rules().is_later(&quoted(written_at), local_time));
        params.push(Value::Text(time.to_owned()));
    }
    let (table, conditions) = (quoted(&drop.table), conditions.join(" AND "));
    let sql = match most {
        Some(most) => {
            format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {conditions} LIMIT {most}) AS counted")
        }
        None => format!("SELECT count(*) FROM {table} WHERE {conditions}"),
    };
    Ok(number(session.query(&sql, &params)?.first()))
}

fn number(row: Option<&Row>) -> i64 {
    match row.and_then(|row| row.first()) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}
