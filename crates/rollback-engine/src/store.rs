//! Our tables, and Django's `django_migrations`, as the engine reads and writes them.

mod capsules;

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, CommitId, MigrationId, Release, Schema, Stored, StoredError,
};
use serde::{Deserialize, Serialize};

pub use self::capsules::{CapsuleRow, Manifest};
use crate::catalogue;
use crate::error::EngineError;
use crate::lock::{self, BlockingSession, Claim, SETTLED_WITHIN};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};
use crate::signature::Signature;
use crate::{Actor, VERSION};

/// Our own migrations, oldest first. One that is applied and not named here comes from a newer version.
pub const OWN_MIGRATIONS: &[&str] = &["0001_initial", "0002_releases", "0003_schemas", "0004_capsules"];

/// A release as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRelease {
    /// The part that everybody shows.
    pub release: Release,
    /// Where its applied set is.
    pub set: SetSource,
    /// Content address of the schema that the database had; none for a release that was saved before schemas were.
    pub schema: Option<String>,
    /// Content address of the schema when newer migrations came: what had been changed by hand until then is in it.
    pub final_schema: Option<String>,
    /// Content address of the list of its capsules; none for a release that was saved before there were any.
    pub manifest: Option<String>,
    /// The signature of that list; none where no key was there.
    pub signature: Option<Signature>,
}

/// The database numbers the releases that are saved, from here on. Those that were rebuilt from git are older than all of
/// them, and have lower numbers.
const FIRST_SAVED: i64 = 1;

impl StoredRelease {
    /// Whether it was rebuilt from git, and nobody has saved it since: a save stores the schema.
    pub fn is_imported(&self) -> bool {
        self.release.id < FIRST_SAVED && self.schema.is_none()
    }
}

/// Where the applied set of a release is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetSource {
    /// In our table of sets.
    Stored {
        /// Its content address.
        hash: String,
        /// How many migrations it has; `None` when the row is missing.
        size: Option<i64>,
    },
    /// Nowhere: 0.4.0 saved the release, with the newest row of each app only.
    Original {
        /// The text of its column `migrations`.
        newest_per_app: String,
    },
}

/// What is written into history about one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The version of this document.
    #[serde(default = "operation_format")]
    pub format: u32,
    /// `save`, `import`, `rollback`, `rehearsal`, or `hand-over`: one door has asked the other to go back.
    pub kind: String,
    /// `done`, `running`, `failed` (nothing was changed), `interrupted` (its process ended, and nothing was changed),
    /// `stopped` (some steps are permanent) or `aborted` (stopped, and left there).
    pub outcome: String,
    /// The commit of the release that was the current one before.
    pub from: Option<CommitId>,
    /// The commit that was saved, imported, or gone back to.
    pub to: Option<CommitId>,
    /// Tags of `to`.
    pub tags: Vec<String>,
    /// Content address of the set that was applied before.
    pub from_set: Option<String>,
    /// Content address of the set that was applied after.
    pub to_set: Option<String>,
    /// The steps, as `app.name`, in order.
    pub steps: Vec<String>,
    /// How many steps are permanent.
    pub steps_done: usize,
    /// The releases that left the list, newest first.
    pub releases_removed: Vec<CommitId>,
    /// At which step it ended, for `failed` and `stopped`.
    pub failed_step: Option<String>,
    /// While it waits for others: until when at the latest it tries again, by the database's clock. Nobody holds the lock
    /// meanwhile, and it is alive all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<String>,
    /// Whether the step after those that are permanent has begun outside a transaction: then it may be done in part.
    #[serde(default, skip_serializing_if = "is_false")]
    pub step_begun: bool,
    /// How the schema at the end was held against the target's: `same`, `drift` (but for what differed before),
    /// `no-schema` (the target was saved without one) or `not-verified` (by `--no-verify`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// How many rows and values were there to be lost when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_rows: Option<i64>,
    /// For a rehearsal, the hash of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// A number that names the operation in messages between doors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The user of the operating system.
    pub user: String,
    /// The host.
    pub host: String,
    /// The version of django-rollback.
    pub version: String,
}

impl Operation {
    /// An operation of this kind that begins or has ended now, and has nothing to tell yet.
    pub(crate) fn new(kind: &str, outcome: &str, actor: &Actor) -> Self {
        Self {
            format: OPERATION_FORMAT,
            kind: kind.to_owned(),
            outcome: outcome.to_owned(),
            from: None,
            to: None,
            tags: Vec::new(),
            from_set: None,
            to_set: None,
            steps: Vec::new(),
            steps_done: 0,
            releases_removed: Vec::new(),
            failed_step: None,
            waits_until: None,
            step_begun: false,
            verified: None,
            lost_rows: None,
            token: None,
            plan: None,
            user: actor.user.clone(),
            host: actor.host.clone(),
            version: VERSION.to_owned(),
        }
    }
}

/// The version of the documents in history that this code writes.
const OPERATION_FORMAT: u32 = 1;

fn operation_format() -> u32 {
    OPERATION_FORMAT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Deserialize)]
struct Header {
    #[serde(default = "operation_format")]
    format: u32,
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

/// The tables behind a connection.
pub struct Store<'d> {
    database: &'d mut dyn Database,
    /// The locked file, where that is the lock.
    file: Option<File>,
}

type Result<T> = std::result::Result<T, EngineError>;

impl<'d> Store<'d> {
    /// Looks whether our tables are there and made by a version that this one understands.
    pub fn open(database: &'d mut dyn Database) -> Result<Self> {
        let mut store = Self { database, file: None };
        let known = store.own_migrations()?;
        if let Some(newer) = known.iter().find(|name| !OWN_MIGRATIONS.contains(&name.as_str())) {
            let migration = MigrationId::new(APP_LABEL, newer.as_str());
            return Err(EngineError::NewerTables { database: store.name(), migration });
        }
        if let Some(missing) = OWN_MIGRATIONS.iter().find(|name| !known.iter().any(|known| known == *name)) {
            let migration = MigrationId::new(APP_LABEL, *missing);
            return Err(EngineError::NotInstalled { database: store.name(), migration });
        }
        Ok(store)
    }

    /// The tables behind a connection of which nothing is asked: statements are only passed on.
    pub(crate) fn over(database: &'d mut dyn Database) -> Self {
        Self { database, file: None }
    }

    /// Which SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    /// How the database is called.
    pub fn name(&self) -> String {
        self.database.name()
    }

    fn own_migrations(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM django_migrations WHERE app = $1";
        let rows = match self.database.query(sql, &[text(APP_LABEL)]) {
            Err(error) if error.kind == DatabaseErrorKind::MissingTable => {
                return Err(EngineError::NoMigrationsTable { database: self.name() });
            }
            rows => self.checked(rows)?,
        };
        rows.into_iter().map(|row| self.reader(row, "a row of django_migrations").text()).collect()
    }

    /// The rows of `django_migrations`, in the order of their ids.
    pub fn applied_rows(&mut self) -> Result<Vec<AppliedRow>> {
        let rows = self.query("SELECT id, app, name FROM django_migrations ORDER BY id", &[])?;
        rows.into_iter()
            .map(|row| {
                let mut row = self.reader(row, "a row of django_migrations");
                let id = row.int()?;
                Ok(AppliedRow { id, migration: MigrationId::new(row.text()?, row.text()?) })
            })
            .collect()
    }

    /// The saved releases, newest first.
    pub fn releases(&mut self) -> Result<Vec<StoredRelease>> {
        let saved_at = time_as_text(self.database.dialect(), "s.\"timestamp\"");
        let sql = format!(
            "SELECT s.id, s.\"commit\", s.tags, {saved_at}, s.applied_set, a.size, \
             CASE WHEN s.applied_set IS NULL THEN s.migrations END, s.schema, s.final_schema, \
             s.manifest, s.key_id, s.signature \
             FROM django_rollback_appsstate s LEFT JOIN django_rollback_appliedset a ON a.hash = s.applied_set \
             ORDER BY s.id DESC"
        );
        let rows = self.query(&sql, &[])?;
        rows.into_iter().map(|row| self.release(row)).collect()
    }

    fn release(&self, row: Row) -> Result<StoredRelease> {
        let mut row = self.reader(row, "a row of django_rollback_appsstate");
        let id = row.int()?;
        let commit = row.text()?;
        row.what = format!("row {id} of django_rollback_appsstate");
        let commit =
            commit.parse().map_err(|error| row.damaged(&format!("in the column commit, {error}")))?;
        let tags = row.optional_text()?.map_or(Ok(Vec::new()), |tags| row.json("tags", &tags))?;
        let release = Release { id, commit, tags, saved_at: row.optional_text()?.unwrap_or_default() };
        let set = match (row.optional_text()?, row.optional_int()?, row.optional_text()?) {
            (Some(hash), size, _) => SetSource::Stored { hash, size },
            (None, _, newest) => SetSource::Original { newest_per_app: newest.unwrap_or_default() },
        };
        let (schema, final_schema) = (row.optional_text()?, row.optional_text()?);
        let manifest = row.optional_text()?;
        let signature = row.signature()?;
        Ok(StoredRelease { release, set, schema, final_schema, manifest, signature })
    }

    /// The applied set under this content address, checked against it.
    pub fn applied_set(&mut self, release: &CommitId, hash: &str) -> Result<AppliedSet> {
        let rows =
            self.query("SELECT body FROM django_rollback_appliedset WHERE hash = $1", &[text(hash)])?;
        let what = format!("the stored set of release {release}");
        let Some(row) = rows.into_iter().next() else {
            return Err(self.damaged(&what, "it is missing"));
        };
        let stored = Stored { hash: hash.to_owned(), body: self.reader(row, &what).text()? };
        AppliedSet::decode(&stored)
            .map_err(|error| EngineError::StoredSet { release: release.clone(), error })
    }

    /// The schema of the database as it is now.
    pub fn read_schema(&mut self) -> Result<Schema> {
        let schema = catalogue::read_schema(self.database);
        self.checked(schema)
    }

    /// The schema that a release was saved with; none where it was saved without one.
    pub fn schema_of(&mut self, stored: &StoredRelease) -> Result<Option<Schema>> {
        self.stored_schema(&stored.release.commit, stored.schema.as_deref())
    }

    /// The schema that a release had at its end: the one that was seen before newer migrations came, or else the one
    /// that it was saved with.
    pub fn last_schema_of(&mut self, stored: &StoredRelease) -> Result<Option<Schema>> {
        self.stored_schema(
            &stored.release.commit,
            stored.final_schema.as_deref().or(stored.schema.as_deref()),
        )
    }

    fn stored_schema(&mut self, commit: &CommitId, hash: Option<&str>) -> Result<Option<Schema>> {
        let Some(hash) = hash else { return Ok(None) };
        let rows = self.query("SELECT body FROM django_rollback_schema WHERE hash = $1", &[text(hash)])?;
        let unusable = |error| EngineError::StoredSchema { release: commit.clone(), error };
        let Some(row) = rows.into_iter().next() else { return Err(unusable(StoredError::Missing)) };
        let what = format!("the stored schema of release {commit}");
        let document = Stored { hash: hash.to_owned(), body: self.reader(row, &what).text()? };
        Schema::decode(&document).map(Some).map_err(unusable)
    }

    /// Remembers the schema that a release has now that newer migrations come.
    pub fn set_final_schema(&mut self, id: i64, schema: &str) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET final_schema = $1 WHERE id = $2";
        self.execute(sql, &[text(schema), Value::Int(id)])
    }

    /// Stores a schema, unless it is stored already.
    pub fn put_schema(&mut self, schema: &Schema) -> Result<String> {
        let stored = schema.encode();
        let sql = "INSERT INTO django_rollback_schema (hash, body) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
                   SET body = EXCLUDED.body WHERE django_rollback_schema.body <> EXCLUDED.body";
        self.execute(sql, &[text(&stored.hash), text(&stored.body)])?;
        Ok(stored.hash)
    }

    /// The operations, newest first, at most `limit` of them.
    pub fn operations(&mut self, limit: u32) -> Result<Vec<RecordedOperation>> {
        self.operations_where("id > $1 ORDER BY id DESC LIMIT $2", &[Value::Int(0), Value::Int(limit.into())])
    }

    /// The operations that say of themselves that they are on their way.
    pub fn running_operations(&mut self) -> Result<Vec<RecordedOperation>> {
        self.operations_where("outcome = $1 ORDER BY id", &[text("running")])
    }

    /// The last rollback, if it stopped part-way.
    pub fn stopped_rollback(&mut self) -> Result<Option<RecordedOperation>> {
        let last = "outcome = $1 AND id = (SELECT max(id) FROM django_rollback_operation WHERE kind = $2)";
        let found = self.operations_where(last, &[text("stopped"), text("rollback")])?;
        Ok(found.into_iter().next())
    }

    /// Whether a rehearsal of the plan with this hash went well, and none of it badly since.
    pub fn has_rehearsal(&mut self, plan: &str) -> Result<bool> {
        let found = self.operations_where("kind = $1 ORDER BY id DESC", &[text("rehearsal")])?;
        let last = found.iter().find(|recorded| recorded.operation.plan.as_deref() == Some(plan));
        Ok(last.is_some_and(|recorded| recorded.operation.outcome == "done"))
    }

    /// One operation.
    pub fn operation(&mut self, id: i64) -> Result<Option<RecordedOperation>> {
        Ok(self.operations_where("id = $1", &[Value::Int(id)])?.into_iter().next())
    }

    fn operations_where(&mut self, condition: &str, params: &[Value]) -> Result<Vec<RecordedOperation>> {
        let at = time_as_text(self.database.dialect(), "at");
        let sql = format!("SELECT id, {at}, body FROM django_rollback_operation WHERE {condition}");
        let rows = self.query(&sql, params)?;
        rows.into_iter()
            .map(|row| {
                let mut row = self.reader(row, "a row of django_rollback_operation");
                let (id, at) = (row.int()?, row.optional_text()?.unwrap_or_default());
                row.what = format!("row {id} of django_rollback_operation");
                let body = row.text()?;
                let Header { format } = row.json("body", &body)?;
                if format > OPERATION_FORMAT {
                    return Err(EngineError::NewerRecord {
                        database: row.database.name(),
                        what: row.what,
                        format,
                    });
                }
                Ok(RecordedOperation { id, at, operation: row.json("body", &body)? })
            })
            .collect()
    }

    /// Begins a transaction and takes the one lock of saves and rollbacks in it, without waiting; then the lock on
    /// `django_migrations`, for which it waits as long as the claim says.
    pub fn begin_locked(&mut self, purpose: Purpose, claim: &Claim) -> Result<()> {
        // Whoever is refused is told by whom. A holder that cannot be named has just let go.
        const TRIES: u32 = 5;
        let started = Instant::now();
        let mut tries = 1;
        loop {
            match self.begin_locked_once(purpose, claim) {
                Err(EngineError::Locked { holder: None, .. }) if tries < TRIES => tries += 1,
                Err(EngineError::Locked { holder: Some(holder), .. })
                    if holder.is_settling() && started.elapsed() < SETTLED_WITHIN =>
                {
                    thread::sleep(SETTLED_WITHIN / 50);
                }
                done => return done,
            }
        }
    }

    fn begin_locked_once(&mut self, purpose: Purpose, claim: &Claim) -> Result<()> {
        let file = self.lock_file(claim)?;
        self.begin(purpose)?;
        self.file = file;
        self.lock(claim).inspect_err(|_| self.rollback_quietly())
    }

    /// As `begin_locked`, for a session whose lock another one holds for it.
    pub fn begin_guarded(&mut self, purpose: Purpose, claim: &Claim) -> Result<()> {
        self.begin(purpose)?;
        let begun = lock::mind_manners(self.database, claim).and_then(|()| lock::lock_records(self.database));
        self.checked(begun).inspect_err(|_| self.rollback_quietly())
    }

    /// The lock of the operating system that stands for ours on SQLite, unless this session holds it already.
    fn lock_file(&mut self, claim: &Claim) -> Result<Option<File>> {
        let Some(path) = self.database.lock_file() else { return Ok(None) };
        let now = self.clock(0)?;
        lock::lock_file(&path, claim, &now)
            .map_err(|holder| EngineError::Locked { database: self.name(), holder: Some(holder) })
    }

    fn lock(&mut self, claim: &Claim) -> Result<()> {
        let minded = lock::mind_manners(self.database, claim);
        self.checked(minded)?;
        match lock::take_row(self.database) {
            Ok(true) => {}
            Ok(false) => return Err(EngineError::Locked { database: self.name(), holder: None }),
            Err(error) if lock::is_busy(error.kind) => {
                self.rollback_quietly();
                let holder = lock::holder(self.database);
                let holder = self.checked(holder)?;
                return Err(EngineError::Locked { database: self.name(), holder });
            }
            Err(error) => return self.checked(Err(error)),
        }
        let locked = lock::lock_records(self.database);
        self.checked(locked)
    }

    /// Looks at the application's tables without waiting long behind whoever alters them. What is seen while somebody
    /// else is at work is worth nothing: then they are named, or the look is said to be stale.
    pub fn look<T>(&mut self, look: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.applied_rows()?;
        if self.database.dialect() == Dialect::Sqlite {
            return match look(self) {
                Err(EngineError::Database { error, .. })
                    if !error.is_interruption() && self.applied_rows()? != before =>
                {
                    Err(EngineError::Stale)
                }
                seen => seen,
            };
        }
        self.begin(Purpose::Records)?;
        let minded = lock::mind_manners(self.database, &Claim::to_look());
        let seen = self.checked(minded).and_then(|()| look(self));
        self.rollback_quietly();
        if let Err(EngineError::Database { error, .. }) = &seen {
            if error.is_interruption() {
                return seen;
            }
            let holder = lock::holder(self.database);
            if let holder @ Some(_) = self.checked(holder)? {
                return Err(EngineError::Locked { database: self.name(), holder });
            }
        }
        if self.applied_rows()? == before { seen } else { Err(EngineError::Stale) }
    }

    /// Runs recorded SQL.
    pub fn run(&mut self, sql: &str) -> std::result::Result<(), DatabaseError> {
        self.database.run(sql)
    }

    /// Whether code of the project may be silent for as long as it likes.
    pub fn allow_silence(&mut self, allowed: bool) -> Result<()> {
        let set = lock::allow_silence(self.database, allowed);
        self.checked(set)
    }

    /// The indexes and triggers in a SQLite database, with the text that makes each.
    pub fn indexes_and_triggers(&mut self) -> Result<Vec<HandMade>> {
        if self.database.dialect() != Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let sql = "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL";
        let rows = self.query(sql, &[])?;
        rows.into_iter()
            .map(|row| {
                let mut row = self.reader(row, "a row of sqlite_master");
                Ok(HandMade { kind: row.text()?, table: row.text()?, name: row.text()?, sql: row.text()? })
            })
            .collect()
    }

    /// Makes an index or a trigger again. That it cannot be, as its table or column has gone, is no failure.
    pub fn make_again(&mut self, made: &HandMade) -> Result<()> {
        match self.database.execute(&made.sql, &[]) {
            Err(error) if error.is_interruption() => self.checked(Err(error)),
            _ => Ok(()),
        }
    }

    /// Lets every statement of this session wait no longer than this for a lock, also outside transactions; `None` for
    /// as long as it is set for the session otherwise. Not through a pooler: there it would stay with others.
    pub fn limit_waiting(&mut self, longest: Option<Duration>) -> Result<()> {
        let limited = lock::limit_waiting(self.database, longest);
        self.checked(limited)
    }

    /// Those of these tables that are there.
    pub fn existing(&mut self, tables: &[String]) -> Result<Vec<String>> {
        if self.database.dialect() == Dialect::Sqlite || tables.is_empty() {
            return Ok(tables.to_vec());
        }
        let sql = "SELECT name FROM regexp_split_to_table($1, E'\\n') AS name \
                   WHERE to_regclass(quote_ident(name)) IS NOT NULL ORDER BY name";
        let rows = self.query(sql, &[text(&tables.join("\n"))])?;
        rows.into_iter().map(|row| self.reader(row, "the name of a table").text()).collect()
    }

    /// Takes the locks on these tables.
    pub fn lock_tables(&mut self, tables: &[String]) -> Result<()> {
        let locked = lock::lock_tables(self.database, tables);
        self.checked(locked)
    }

    /// The sessions that hold locks on these tables, or on `django_migrations`.
    pub fn blocking_sessions(&mut self, tables: &[String]) -> Result<Vec<BlockingSession>> {
        let mut tables = tables.to_vec();
        tables.push("django_migrations".to_owned());
        let sessions = lock::blocking_sessions(self.database, &tables);
        self.checked(sessions)
    }

    /// The connection itself, for what is no affair of our tables.
    pub fn database(&mut self) -> &mut dyn Database {
        self.database
    }

    /// Connects again.
    pub fn reconnect(&mut self) -> Result<()> {
        let connected = self.database.reconnect();
        self.checked(connected)
    }

    /// The database's clock, some seconds from now, as text that sorts.
    pub fn clock(&mut self, ahead: u64) -> Result<String> {
        let now = lock::clock(self.database, ahead);
        self.checked(now)
    }

    /// Begins a transaction without the lock.
    pub fn begin(&mut self, purpose: Purpose) -> Result<()> {
        let begun = self.database.begin(purpose);
        self.checked(begun)
    }

    /// Makes everything since the beginning permanent, and lets go of the lock.
    pub fn commit(&mut self) -> Result<()> {
        let committed = self.database.commit();
        self.file = None;
        self.checked(committed)
    }

    /// Ends the transaction by how its work went: permanent, or taken back.
    pub fn end<T>(&mut self, work: Result<T>) -> Result<T> {
        let ended = work.and_then(|done| self.commit().map(|()| done));
        if ended.is_err() {
            self.rollback_quietly();
        }
        ended
    }

    /// Takes everything since the beginning back. A failure here leaves nothing to do: the connection is gone, and
    /// the database takes the transaction back by itself.
    pub fn rollback_quietly(&mut self) {
        let _ = self.database.rollback();
        self.file = None;
    }

    /// Adds a release at the end of the list.
    pub fn insert_release(&mut self, release: &NewRelease<'_>) -> Result<()> {
        let now = now(self.database.dialect());
        let sql = format!(
            "INSERT INTO django_rollback_appsstate (\"commit\", migrations, \"timestamp\", tags, applied_set, schema) \
             VALUES ($1, $2, {now}, $3, $4, $5)"
        );
        let params = [
            text(release.commit.as_str()),
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            text(release.schema),
        ];
        self.execute(&sql, &params)
    }

    /// Puts a release before all others, with the time of its commit. 0.4.0 orders by time, so that one may not be later
    /// than those of the others, whatever the clocks said.
    pub fn insert_before_all(&mut self, release: &PastRelease<'_>) -> Result<()> {
        let sql = match self.database.dialect() {
            Dialect::Sqlite => {
                "INSERT INTO django_rollback_appsstate (id, \"commit\", migrations, tags, applied_set, \"timestamp\") \
                 VALUES ($1, $2, $3, $4, $5, min(strftime('%Y-%m-%d %H:%M:%f', $6, 'unixepoch'), \
                 strftime('%Y-%m-%d %H:%M:%f', (SELECT min(\"timestamp\") FROM django_rollback_appsstate), '-1 second')))"
            }
            Dialect::Postgres => {
                "INSERT INTO django_rollback_appsstate (id, \"commit\", migrations, tags, applied_set, \"timestamp\") \
                 VALUES ($1, $2, $3, $4, $5, least(to_timestamp($6), \
                 (SELECT min(\"timestamp\") FROM django_rollback_appsstate) - interval '1 second'))"
            }
        };
        let oldest = self.query("SELECT min(id) FROM django_rollback_appsstate", &[])?.into_iter().next();
        let oldest = self.reader(oldest.unwrap_or_default(), "the lowest number of a release").int()?;
        let params = [
            Value::Int(oldest.min(FIRST_SAVED) - 1),
            text(release.commit.as_str()),
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            Value::Int(release.committed_at.clamp(0, LATEST_TIME)),
        ];
        self.execute(sql, &params)
    }

    /// Gives a release another set and schema, and other tags; its place in the list and its time stay. The list of its
    /// capsules is for the set that it had.
    pub fn update_release(&mut self, id: i64, release: &NewRelease<'_>) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET migrations = $1, tags = $2, applied_set = $3, schema = $4, \
                   final_schema = NULL, manifest = NULL, key_id = NULL, signature = NULL WHERE id = $5";
        let params = [
            text(&release.newest_per_app),
            json(release.tags),
            text(release.set),
            text(release.schema),
            Value::Int(id),
        ];
        self.execute(sql, &params)
    }

    /// Gives a release that was saved before schemas were the one that it has.
    pub fn set_schema(&mut self, id: i64, schema: &str) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET schema = $1 WHERE id = $2 AND schema IS NULL";
        self.execute(sql, &[text(schema), Value::Int(id)])
    }

    /// Gives a release of 0.4.0 the set that was rebuilt for it, and tags. What it has already stays.
    pub fn adopt_release(&mut self, id: i64, set: Option<&str>, tags: &[String]) -> Result<()> {
        let sql = "UPDATE django_rollback_appsstate SET applied_set = $1, tags = $2 \
                   WHERE id = $3 AND applied_set IS NULL";
        self.execute(sql, &[set.map_or(Value::Null, text), json(tags), Value::Int(id)])
    }

    /// Takes all releases after this one off the list. History keeps them.
    pub fn remove_releases_after(&mut self, id: i64) -> Result<()> {
        self.execute("DELETE FROM django_rollback_appsstate WHERE id > $1", &[Value::Int(id)])
    }

    /// Stores a set, unless it is stored already. Its hash is its name, so a damaged one is mended by this.
    pub fn put_set(&mut self, set: &AppliedSet) -> Result<String> {
        let stored = set.encode();
        let sql = "INSERT INTO django_rollback_appliedset (hash, size, body) VALUES ($1, $2, $3) \
                   ON CONFLICT (hash) DO UPDATE SET size = EXCLUDED.size, body = EXCLUDED.body \
                   WHERE django_rollback_appliedset.body <> EXCLUDED.body";
        let size = Value::Int(i64::try_from(set.len()).unwrap_or(i64::MAX));
        self.execute(sql, &[text(&stored.hash), size, text(&stored.body)])?;
        Ok(stored.hash)
    }

    /// Appends to history.
    pub fn write_operation(&mut self, operation: &Operation) -> Result<()> {
        let (sql, params) = self.new_operation(operation);
        self.execute(&sql, &params)
    }

    fn new_operation(&self, operation: &Operation) -> (String, [Value; 3]) {
        let now = now(self.database.dialect());
        let sql = format!(
            "INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ($1, $2, $3, {now})"
        );
        (sql, [text(&operation.kind), text(&operation.outcome), json(operation)])
    }

    /// Appends to history and returns the operation's number.
    pub fn append_operation(&mut self, operation: &Operation) -> Result<i64> {
        let (sql, params) = self.new_operation(operation);
        let rows = self.query(&format!("{sql} RETURNING id"), &params)?;
        match rows.into_iter().next() {
            Some(row) => self.reader(row, "a new row of django_rollback_operation").int(),
            None => Err(self.damaged("a new row of django_rollback_operation", "the database gave it no id")),
        }
    }

    /// A text that no other call returns, in this database or in a copy of it.
    pub fn new_token(&mut self) -> Result<String> {
        let sql = match self.database.dialect() {
            Dialect::Sqlite => "SELECT lower(hex(randomblob(16)))",
            Dialect::Postgres => "SELECT md5(random()::text || clock_timestamp()::text)",
        };
        let rows = self.query(sql, &[])?;
        self.reader(rows.into_iter().next().unwrap_or_default(), "a random number").text()
    }

    /// Writes how far a running operation has come.
    pub fn update_operation(&mut self, id: i64, operation: &Operation) -> Result<()> {
        let sql = "UPDATE django_rollback_operation SET outcome = $1, body = $2 WHERE id = $3";
        self.execute(sql, &[text(&operation.outcome), json(operation), Value::Int(id)])
    }

    /// Removes the row of a migration from `django_migrations`.
    pub fn unrecord(&mut self, migration: &MigrationId) -> Result<()> {
        let sql = "DELETE FROM django_migrations WHERE app = $1 AND name = $2";
        self.execute(sql, &[text(&migration.app), text(&migration.name)])
    }

    /// Adds the row of a migration to `django_migrations`.
    pub fn record(&mut self, migration: &MigrationId) -> Result<()> {
        let now = now(self.database.dialect());
        let sql = format!("INSERT INTO django_migrations (app, name, applied) VALUES ($1, $2, {now})");
        self.execute(&sql, &[text(&migration.app), text(&migration.name)])
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let rows = self.database.query(sql, params);
        self.checked(rows)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<()> {
        let changed = self.database.execute(sql, params);
        self.checked(changed).map(|_| ())
    }

    fn checked<T>(&self, result: std::result::Result<T, DatabaseError>) -> Result<T> {
        result.map_err(|error| EngineError::Database { database: self.name(), error })
    }

    fn damaged(&self, what: &str, reason: &str) -> EngineError {
        EngineError::Damaged { database: self.name(), what: what.to_owned(), reason: reason.to_owned() }
    }

    fn reader(&self, row: Row, what: &str) -> Reader<'_> {
        Reader { database: &*self.database, what: what.to_owned(), values: row.into_iter() }
    }
}

/// An index or a trigger that nobody's migrations made, on SQLite, where remaking a table loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandMade {
    /// `index` or `trigger`.
    pub kind: String,
    /// The table that it is on.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The statement that makes it.
    pub sql: String,
}

/// What is applied, whether or not our own tables are there.
pub(crate) fn applied(database: &mut dyn Database) -> Result<AppliedSet> {
    let rows = Store::over(database).applied_rows()?;
    Ok(AppliedSet::of_rows(&rows))
}

/// A release to write.
#[derive(Clone, Debug)]
pub struct NewRelease<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Its tags.
    pub tags: &'a [String],
    /// Content address of its applied set.
    pub set: &'a str,
    /// Content address of the schema.
    pub schema: &'a str,
    /// What 0.4.0 reads.
    pub newest_per_app: String,
}

/// A release to write that was rebuilt from git.
#[derive(Clone, Debug)]
pub struct PastRelease<'a> {
    /// The commit.
    pub commit: &'a CommitId,
    /// Its tags.
    pub tags: &'a [String],
    /// Content address of its applied set.
    pub set: &'a str,
    /// What 0.4.0 reads.
    pub newest_per_app: String,
    /// When the commit was made: seconds since 1970.
    pub committed_at: i64,
}

/// The end of the year 9999: no database takes much later times.
const LATEST_TIME: i64 = 253_402_300_799;

/// Takes a row apart, column by column.
struct Reader<'a> {
    database: &'a dyn Database,
    what: String,
    values: std::vec::IntoIter<Value>,
}

impl Reader<'_> {
    fn int(&mut self) -> Result<i64> {
        self.optional_int()?.ok_or_else(|| self.damaged("a number is missing"))
    }

    fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| self.damaged("a text is missing"))
    }

    fn optional_int(&mut self) -> Result<Option<i64>> {
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Text(_)) => Err(self.damaged("a text stands where a number belongs")),
        }
    }

    fn optional_text(&mut self) -> Result<Option<String>> {
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Int(_)) => Err(self.damaged("a number stands where a text belongs")),
        }
    }

    /// A signature, out of the columns `key_id` and `signature`.
    fn signature(&mut self) -> Result<Option<Signature>> {
        let columns = (self.optional_text()?, self.optional_text()?);
        Ok(match columns {
            (Some(key_id), Some(code)) => Some(Signature { key_id, code }),
            _ => None,
        })
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, column: &str, text: &str) -> Result<T> {
        let reason = |error| format!("in the column {column}, {error}");
        serde_json::from_str(text).map_err(|error| self.damaged(&reason(error)))
    }

    fn damaged(&self, reason: &str) -> EngineError {
        EngineError::Damaged {
            database: self.database.name(),
            what: self.what.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn json(value: &(impl Serialize + ?Sized)) -> Value {
    Value::Text(serde_json::to_string(value).expect("strings and numbers are always valid JSON"))
}

/// The database's clock as a value of a `DateTimeField`, as Django stores it.
fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        Dialect::Postgres => "clock_timestamp()",
    }
}

/// A `DateTimeField` as RFC 3339 text, UTC.
fn time_as_text(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%SZ', {column})"),
        Dialect::Postgres => {
            format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        }
    }
}
