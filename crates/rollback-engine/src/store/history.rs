//! History: one type for each kind of event, one stored document for all of them. It is appended, never deleted.

use rollback_core::CommitId;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::row::{json, text};
use super::tables::Store;
use crate::actor::{Actor, VERSION};
use crate::ports::Value;

/// One line of history: what was done, and who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Document", from = "Document")]
pub struct Operation {
    /// What was done.
    pub event: Event,
    /// The user of the operating system.
    pub user: String,
    /// The host.
    pub host: String,
    /// The version of django-rollback.
    pub version: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A release was saved.
    Save(Listed),
    /// A release was rebuilt from git.
    Import(Listed),
    /// The database went back, or tried to.
    Rollback(RollbackEvent),
    /// A plan was tried on a scratch copy.
    Rehearsal(RehearsalEvent),
    /// One door asked the other to go back.
    HandOver(HandOverEvent),
}

/// A release came onto the list, or changed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The release that was the current one before.
    pub from: Option<CommitId>,
    /// The release.
    pub to: Option<CommitId>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Content address of the set that was applied before.
    pub from_set: Option<String>,
    /// Content address of the release's set.
    pub to_set: Option<String>,
}

/// Where a rollback begins and ends, and by which steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The release that was the current one before.
    pub from: Option<CommitId>,
    /// The release to go back to.
    pub to: Option<CommitId>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The steps, as `app.name`, in order.
    pub steps: Vec<String>,
}

/// A rollback, on its way or at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackEvent {
    /// How far it is, or how it ended.
    pub outcome: Outcome,
    /// Where it goes.
    pub route: Route,
    /// How many steps are permanent.
    pub steps_done: usize,
    /// Whether the step after those that are permanent has begun outside a transaction: then it may be done in part.
    pub step_begun: bool,
    /// At which step it ended, unless it is done.
    pub failed_step: Option<String>,
    /// While it waits for others: until when at the latest it tries again, by the database's clock. It does not hold the
    /// lock meanwhile, and is alive all the same.
    pub waits_until: Option<String>,
    /// Content address of the set that was applied before.
    pub from_set: Option<String>,
    /// Content address of the set that was applied after.
    pub to_set: Option<String>,
    /// The releases that left the list, newest first.
    pub releases_removed: Vec<CommitId>,
    /// How the schema at the end compares with the target's; `None` until it was compared.
    pub verified: Option<Verification>,
    /// How many rows and values there were to lose when it began.
    pub lost_rows: Option<i64>,
    /// Names the operation in messages between doors.
    pub token: Option<String>,
}

/// A rehearsal that came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RehearsalEvent {
    /// Where the plan goes.
    pub route: Route,
    /// A hash that names the plan.
    pub plan: Option<String>,
    /// What went wrong; `None` if nothing did.
    pub problem: Option<String>,
}

/// A plan that one door has asked the other to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOverEvent {
    /// Where the plan goes.
    pub route: Route,
    /// The releases that will leave the list, newest first.
    pub releases_removed: Vec<CommitId>,
    /// How many rows and values there are to lose.
    pub lost_rows: Option<i64>,
    /// Tells the other door that it sees the same database.
    pub token: Option<String>,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// See [`Event::Save`].
    Save,
    /// See [`Event::Import`].
    Import,
    /// See [`Event::Rollback`].
    Rollback,
    /// See [`Event::Rehearsal`].
    Rehearsal,
    /// See [`Event::HandOver`].
    HandOver,
}

/// How an operation ended, or that it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It is on its way.
    Running,
    /// It failed, and nothing was changed.
    Failed,
    /// Its process ended, and nothing was changed.
    Interrupted,
    /// It ended part-way: some steps are permanent.
    Stopped,
    /// It ended part-way, and somebody decided to leave it there.
    Aborted,
}

/// How the schema at the end of a rollback compares with the target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// They are equal.
    Same,
    /// They are equal, except for differences that already existed.
    Drift,
    /// The target was saved without a schema.
    NoSchema,
    /// They were not compared (`--no-verify`).
    NotVerified,
    /// A script was run, which compares by itself.
    Script,
}

impl Kind {
    /// The word for it in stored documents and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Import => "import",
            Self::Rollback => "rollback",
            Self::Rehearsal => "rehearsal",
            Self::HandOver => "hand-over",
        }
    }
}

impl Outcome {
    /// The word for it in stored documents and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::Aborted => "aborted",
        }
    }
}

impl Verification {
    /// The word for it in stored documents and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Drift => "drift",
            Self::NoSchema => "no-schema",
            Self::NotVerified => "not-verified",
            Self::Script => "script",
        }
    }
}

impl Operation {
    /// An event of now.
    pub(crate) fn new(event: Event, actor: &Actor) -> Self {
        let Actor { user, host } = actor.clone();
        Self { event, user, host, version: VERSION.to_owned() }
    }

    /// The kind of its event.
    pub fn kind(&self) -> Kind {
        match self.event {
            Event::Save(_) => Kind::Save,
            Event::Import(_) => Kind::Import,
            Event::Rollback(_) => Kind::Rollback,
            Event::Rehearsal(_) => Kind::Rehearsal,
            Event::HandOver(_) => Kind::HandOver,
        }
    }

    /// How it ended, or that it is on its way.
    pub fn outcome(&self) -> Outcome {
        match &self.event {
            Event::Rollback(event) => event.outcome,
            Event::Rehearsal(RehearsalEvent { problem: Some(_), .. }) => Outcome::Failed,
            Event::Save(_) | Event::Import(_) | Event::Rehearsal(_) | Event::HandOver(_) => Outcome::Done,
        }
    }

    /// The release that was the current one before.
    pub fn from(&self) -> Option<&CommitId> {
        match &self.event {
            Event::Save(listed) | Event::Import(listed) => listed.from.as_ref(),
            Event::Rollback(RollbackEvent { route, .. })
            | Event::Rehearsal(RehearsalEvent { route, .. })
            | Event::HandOver(HandOverEvent { route, .. }) => route.from.as_ref(),
        }
    }

    /// The release that was saved, imported, or gone back to.
    pub fn to(&self) -> Option<&CommitId> {
        match &self.event {
            Event::Save(listed) | Event::Import(listed) => listed.to.as_ref(),
            Event::Rollback(RollbackEvent { route, .. })
            | Event::Rehearsal(RehearsalEvent { route, .. })
            | Event::HandOver(HandOverEvent { route, .. }) => route.to.as_ref(),
        }
    }

    /// Its steps, as `app.name`, in order.
    pub fn steps(&self) -> &[String] {
        match &self.event {
            Event::Save(_) | Event::Import(_) => &[],
            Event::Rollback(RollbackEvent { route, .. })
            | Event::Rehearsal(RehearsalEvent { route, .. })
            | Event::HandOver(HandOverEvent { route, .. }) => &route.steps,
        }
    }

    /// How many steps are permanent; for a rehearsal, on the scratch copy.
    pub fn steps_done(&self) -> usize {
        match &self.event {
            Event::Rollback(event) => event.steps_done,
            Event::Rehearsal(RehearsalEvent { problem: None, route, .. }) => route.steps.len(),
            Event::Save(_) | Event::Import(_) | Event::Rehearsal(_) | Event::HandOver(_) => 0,
        }
    }

    /// At which step it ended, unless it is done.
    pub fn failed_step(&self) -> Option<&str> {
        match &self.event {
            Event::Rollback(event) => event.failed_step.as_deref(),
            Event::Rehearsal(event) => event.problem.as_deref(),
            Event::Save(_) | Event::Import(_) | Event::HandOver(_) => None,
        }
    }

    /// What names it in messages between doors.
    pub(crate) fn token(&self) -> Option<&str> {
        match &self.event {
            Event::Rollback(RollbackEvent { token, .. }) | Event::HandOver(HandOverEvent { token, .. }) => {
                token.as_deref()
            }
            Event::Save(_) | Event::Import(_) | Event::Rehearsal(_) => None,
        }
    }
}

/// The version of the documents in history that this code writes.
const FORMAT: u32 = 1;

fn format() -> u32 {
    FORMAT
}

/// An operation as it is stored and printed: one document for all kinds of events.
#[derive(Clone, Serialize, Deserialize)]
struct Document {
    #[serde(default = "format")]
    format: u32,
    kind: Kind,
    outcome: Outcome,
    from: Option<CommitId>,
    to: Option<CommitId>,
    tags: Vec<String>,
    from_set: Option<String>,
    to_set: Option<String>,
    steps: Vec<String>,
    steps_done: usize,
    releases_removed: Vec<CommitId>,
    failed_step: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waits_until: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    step_begun: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verified: Option<Verification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost_rows: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    user: String,
    host: String,
    version: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What is read before the rest: whether this version understands the document.
#[derive(Deserialize)]
struct Header {
    #[serde(default = "format")]
    format: u32,
}

impl From<Operation> for Document {
    fn from(operation: Operation) -> Self {
        let (kind, outcome) = (operation.kind(), operation.outcome());
        let steps_done = operation.steps_done();
        let Operation { event, user, host, version } = operation;
        let document = Self {
            format: FORMAT,
            kind,
            outcome,
            from: None,
            to: None,
            tags: Vec::new(),
            from_set: None,
            to_set: None,
            steps: Vec::new(),
            steps_done,
            releases_removed: Vec::new(),
            failed_step: None,
            waits_until: None,
            step_begun: false,
            verified: None,
            lost_rows: None,
            plan: None,
            token: None,
            user,
            host,
            version,
        };
        match event {
            Event::Save(listed) | Event::Import(listed) => document.with_listed(listed),
            Event::Rollback(event) => document.with_rollback(event),
            Event::Rehearsal(RehearsalEvent { route, plan, problem }) => {
                Self { plan, failed_step: problem, ..document.with_route(route) }
            }
            Event::HandOver(HandOverEvent { route, releases_removed, lost_rows, token }) => {
                Self { releases_removed, lost_rows, token, ..document.with_route(route) }
            }
        }
    }
}

impl Document {
    fn with_listed(self, listed: Listed) -> Self {
        let Listed { from, to, tags, from_set, to_set } = listed;
        Self { from, to, tags, from_set, to_set, ..self }
    }

    fn with_route(self, route: Route) -> Self {
        let Route { from, to, tags, steps } = route;
        Self { from, to, tags, steps, ..self }
    }

    fn with_rollback(self, event: RollbackEvent) -> Self {
        let RollbackEvent {
            outcome: _,
            steps_done: _,
            route,
            step_begun,
            failed_step,
            waits_until,
            from_set,
            to_set,
            releases_removed,
            verified,
            lost_rows,
            token,
        } = event;
        Self {
            step_begun,
            failed_step,
            waits_until,
            from_set,
            to_set,
            releases_removed,
            verified,
            lost_rows,
            token,
            ..self.with_route(route)
        }
    }
}

impl From<Document> for Operation {
    fn from(document: Document) -> Self {
        let Document { from, to, tags, steps, from_set, to_set, .. } = document;
        let event = match document.kind {
            Kind::Save => Event::Save(Listed { from, to, tags, from_set, to_set }),
            Kind::Import => Event::Import(Listed { from, to, tags, from_set, to_set }),
            Kind::Rollback => Event::Rollback(RollbackEvent {
                outcome: document.outcome,
                route: Route { from, to, tags, steps },
                steps_done: document.steps_done,
                step_begun: document.step_begun,
                failed_step: document.failed_step,
                waits_until: document.waits_until,
                from_set,
                to_set,
                releases_removed: document.releases_removed,
                verified: document.verified,
                lost_rows: document.lost_rows,
                token: document.token,
            }),
            Kind::Rehearsal => Event::Rehearsal(RehearsalEvent {
                route: Route { from, to, tags, steps },
                plan: document.plan,
                problem: document.failed_step,
            }),
            Kind::HandOver => Event::HandOver(HandOverEvent {
                route: Route { from, to, tags, steps },
                releases_removed: document.releases_removed,
                lost_rows: document.lost_rows,
                token: document.token,
            }),
        };
        Self { event, user: document.user, host: document.host, version: document.version }
    }
}

/// An operation with the values that the database gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedOperation {
    /// Its number: later ones are higher.
    pub id: i64,
    /// When, by the database's clock: RFC 3339, UTC.
    pub at: String,
    /// What was written.
    #[serde(flatten)]
    pub operation: Operation,
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store<'_> {
    /// The operations, newest first, at most `limit` of them.
    pub(crate) fn operations(&mut self, limit: u32) -> Result<Vec<RecordedOperation>> {
        self.operations_where("id > $1 ORDER BY id DESC LIMIT $2", &[Value::Int(0), Value::Int(limit.into())])
    }

    /// The operations that say of themselves that they are on their way, oldest first.
    pub(crate) fn running_operations(&mut self) -> Result<Vec<RecordedOperation>> {
        self.operations_where("outcome = $1 ORDER BY id", &[text(Outcome::Running.as_str())])
    }

    /// The last rollback, if it stopped part-way: its number and what history says of it.
    pub(crate) fn stopped_rollback(&mut self) -> Result<Option<(i64, Operation)>> {
        let last = "outcome = $1 AND id = (SELECT max(id) FROM django_rollback_operation WHERE kind = $2)";
        let values = [text(Outcome::Stopped.as_str()), text(Kind::Rollback.as_str())];
        let found = self.operations_where(last, &values)?.into_iter().next();
        Ok(found.map(|RecordedOperation { id, operation, .. }| (id, operation)))
    }

    /// Whether the last rehearsal of the plan with this hash went well.
    pub(crate) fn has_rehearsal(&mut self, plan: &str) -> Result<bool> {
        let found = self.operations_where("kind = $1 ORDER BY id DESC", &[text(Kind::Rehearsal.as_str())])?;
        let last = found.into_iter().find_map(|recorded| match recorded.operation.event {
            Event::Rehearsal(event) if event.plan.as_deref() == Some(plan) => Some(event),
            _ => None,
        });
        Ok(last.is_some_and(|rehearsal| rehearsal.problem.is_none()))
    }

    /// One operation.
    pub(crate) fn operation(&mut self, id: i64) -> Result<Option<RecordedOperation>> {
        Ok(self.operations_where("id = $1", &[Value::Int(id)])?.into_iter().next())
    }

    fn operations_where(&mut self, condition: &str, params: &[Value]) -> Result<Vec<RecordedOperation>> {
        let at = self.session.rules().time_as_text("at");
        let sql = format!("SELECT id, {at}, body FROM django_rollback_operation WHERE {condition}");
        let rows = self.session.query(&sql, params)?;
        rows.into_iter()
            .map(|row| {
                let mut row = self.reader(row, "a row of django_rollback_operation");
                let (id, at) = (row.int()?, row.optional_text()?.unwrap_or_default());
                row.rename(format!("row {id} of django_rollback_operation"));
                let body = row.text()?;
                let Header { format } = row.json("body", &body)?;
                if format > FORMAT {
                    return Err(row.newer(format));
                }
                Ok(RecordedOperation { id, at, operation: row.json("body", &body)? })
            })
            .collect()
    }

    /// Appends to history.
    pub(crate) fn write_operation(&mut self, operation: &Operation) -> Result<()> {
        let (sql, params) = self.new_operation(operation);
        Ok(self.session.execute(&sql, &params)?)
    }

    /// Appends to history, and returns the operation's number.
    pub(crate) fn append_operation(&mut self, operation: &Operation) -> Result<i64> {
        let (sql, params) = self.new_operation(operation);
        let rows = self.session.query(&format!("{sql} RETURNING id"), &params)?;
        match rows.into_iter().next() {
            Some(row) => self.reader(row, "a new row of django_rollback_operation").int(),
            None => Err(self.damaged("a new row of django_rollback_operation", "the database gave it no id")),
        }
    }

    fn new_operation(&self, operation: &Operation) -> (String, [Value; 3]) {
        let now = self.session.rules().now();
        let sql = format!(
            "INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ($1, $2, $3, {now})"
        );
        (sql, [text(operation.kind().as_str()), text(operation.outcome().as_str()), json(operation)])
    }

    /// Writes how far a running operation has come.
    pub(crate) fn update_operation(&mut self, id: i64, operation: &Operation) -> Result<()> {
        let sql = "UPDATE django_rollback_operation SET outcome = $1, body = $2 WHERE id = $3";
        let values = [text(operation.outcome().as_str()), json(operation), Value::Int(id)];
        Ok(self.session.execute(sql, &values)?)
    }
}
