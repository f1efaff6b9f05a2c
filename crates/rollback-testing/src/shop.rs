//! A small project with its database: every use case of the engine is one method, so that a test reads as a story.
//!
//! This is the one place of the tests that knows how the engine is called.

use std::time::Duration;

use rollback_core::plan::WAYS;
use rollback_core::{CommitId, Target, Way};
use rollback_engine::cases::ahead::{self, Ahead};
use rollback_engine::cases::import::{self, Import, ImportRequest};
use rollback_engine::cases::migrate::{self, Planned};
use rollback_engine::cases::releases::{self, ListedRelease, ShownRelease, Status};
use rollback_engine::cases::save::{self, SaveRequest, Saved};
use rollback_engine::cases::unfinished;
use rollback_engine::ports::Runner;
use rollback_engine::rollback::{
    self, Attempt, ExecutionOptions, HandedOver, Order, Outcome, PlanOptions, Prepared, Rehearsed,
    RollbackError, RolledBack,
};
use rollback_engine::session::LockHolder;
use rollback_engine::store::{Keyring, Operation, RecordedOperation, RollbackEvent, Secret};
use rollback_engine::{Actor, EngineError, LockRequest};
use rollback_revision::Repository;
use tempfile::TempDir;

use crate::operator::FakeOperator;
use crate::{
    Drawn, FakeRepository, Faulty, Memory, Recorder, ScriptedProject, Wanted, commit_of, draw, id, ids,
};

type Result<T> = std::result::Result<T, EngineError>;

/// A project, its database, and how it is rolled back.
pub struct Shop {
    /// The database, which fails when it is told to.
    pub database: Faulty,
    /// The migration files, and the code that undoes them.
    pub project: ScriptedProject,
    /// What was seen of rollbacks.
    pub seen: Recorder,
    /// Whether this side has Django: the binary has none.
    pub has_django: bool,
    /// What signatures are made from; none for a side without a key.
    pub secrets: Vec<String>,
    /// The ways that may be taken, the best first.
    pub ways: Vec<Way>,
    /// Whether the schema at the end has to be the target's.
    pub verify: bool,
    /// Whether only a plan that was rehearsed may run.
    pub require_rehearsal: bool,
    /// How many rows and values may be lost; any number if none is given.
    pub max_lost_rows: Option<i64>,
    /// For how long a rollback tries again when others are in the way.
    pub wait: Duration,
    drawn: Vec<Drawn>,
    /// Holds the file that stands for the lock.
    folder: TempDir,
}

/// Somebody else who holds the lock until this value is dropped.
pub struct Lock {
    _holder: LockHolder,
}

/// The folder of the lock's file, beside the database.
fn new_folder(database: &Faulty) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    database.memory().lock_by(folder.path().join("lock"));
    folder
}

/// Who works in tests.
fn actor() -> Actor {
    Actor { user: "deploy".to_owned(), host: "web-1".to_owned() }
}

impl Shop {
    /// A project with these migrations ([`draw`]), of which none is applied yet.
    pub fn new(drawing: &str) -> Self {
        let database = Faulty::over(Memory::new());
        let drawn = draw(drawing);
        let folder = new_folder(&database);
        Self {
            project: ScriptedProject::new(&database, &drawn),
            database,
            seen: Recorder::default(),
            has_django: true,
            secrets: vec!["secret".to_owned()],
            ways: WAYS.to_vec(),
            verify: true,
            require_rehearsal: false,
            max_lost_rows: None,
            wait: Duration::from_secs(60),
            drawn,
            folder,
        }
    }

    /// As `new`, on a database that says that it is PostgreSQL.
    pub fn on_postgres(drawing: &str) -> Self {
        let shop = Self::new(drawing);
        shop.database.memory().server(|_| ());
        shop
    }

    /// The usual one: `v1` has `shop.0001`, `v2` brings `shop.0002`.
    pub fn with_two_releases() -> Self {
        let mut shop = Self::new("shop.0001\nshop.0002 < shop.0001");
        shop.deploy("v1", "shop.0001");
        shop.deploy("v2", "shop.0002");
        shop
    }

    /// A second deploy of the same project, on a copy of the database as it is now.
    pub fn copy(&self) -> Self {
        let database = Faulty::over(self.database.memory().copy());
        let folder = new_folder(&database);
        Self {
            project: self.project.on(&database),
            database,
            seen: Recorder::default(),
            secrets: self.secrets.clone(),
            ways: self.ways.clone(),
            drawn: self.drawn.clone(),
            folder,
            ..*self
        }
    }

    /// Applies migrations, and saves the release.
    pub fn deploy(&mut self, tag: &str, migrations: &str) {
        self.apply(migrations);
        self.save(tag).unwrap_or_else(|error| panic!("{tag} cannot be saved: {error}"));
    }

    /// Applies migrations, as `migrate` does.
    pub fn apply(&mut self, migrations: &str) {
        for migration in ids(migrations) {
            let known = self.drawn.iter().find(|drawn| drawn.facts.id == migration);
            let drawn = known.unwrap_or_else(|| panic!("{migration} is not drawn"));
            drawn.forwards.iter().for_each(|sql| self.database.memory().batch(sql));
            self.mark(&migration.to_string());
        }
    }

    /// Adds rows to `django_migrations`, and runs nothing.
    pub fn mark(&self, migrations: &str) {
        for migration in ids(migrations) {
            let (app, name) = (migration.app, migration.name);
            let values = format!("('{app}', '{name}', '2026-01-01')");
            self.sql(&format!("INSERT INTO django_migrations (app, name, applied) VALUES {values}"));
        }
    }

    /// Runs statements as somebody else does.
    pub fn sql(&self, sql: &str) {
        self.database.memory().batch(sql);
    }

    /// The values in the first column of a question, separated by spaces.
    pub fn ask(&self, sql: &str) -> String {
        self.database.memory().column(sql).join(" ")
    }

    /// What is applied, our own migrations left out: `shop.0001 shop.0002`.
    pub fn applied(&self) -> String {
        self.ask("SELECT app || '.' || name FROM django_migrations WHERE app <> 'django_rollback' ORDER BY app, name")
    }

    /// The tables of the application: `shop_0001 shop_0002`.
    pub fn tables(&self) -> String {
        self.ask(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'django\\_%' ESCAPE '\\' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )
    }

    /// The releases in the list, newest first, by the first digits of their commits: `2222222 1111111`.
    pub fn releases(&self) -> String {
        self.ask("SELECT substr(\"commit\", 1, 7) FROM django_rollback_appsstate ORDER BY id DESC")
    }

    /// What history says, oldest first: `save done, save done, rollback failed`.
    pub fn history(&self) -> String {
        let sql = "SELECT kind || ' ' || outcome FROM django_rollback_operation ORDER BY id";
        self.database.memory().column(sql).join(", ")
    }

    /// A value in the document of the last operation, by its path: `$.steps_done`.
    pub fn last_operation(&self, path: &str) -> String {
        self.ask(&format!(
            "SELECT json_extract(body, '{path}') FROM django_rollback_operation ORDER BY id DESC LIMIT 1"
        ))
    }

    /// Every row of every table and the whole schema, to see that nothing was changed.
    pub fn everything(&self) -> Vec<String> {
        let memory = self.database.memory();
        let schema = "SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name";
        let mut everything = memory.column(schema);
        for table in memory.column("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
            let columns = memory.column(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let values: Vec<String> = columns.iter().map(|name| format!("quote(\"{name}\")")).collect();
            let rows = memory.column(&format!("SELECT {} FROM \"{table}\"", values.join(" || ' ' || ")));
            everything.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        everything
    }

    /// Lets somebody else hold the lock, for an operation of this name.
    pub fn lock(&self, operation: &str) -> Lock {
        let request = LockRequest::new(operation, &actor(), Duration::from_millis(100));
        let mut session = self.database.memory().clone();
        let holder = LockHolder::take(&mut session, &request).unwrap_or_else(|error| panic!("{error}"));
        Lock { _holder: holder }
    }

    /// What stands in the file of the lock.
    pub fn lock_text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("lock")).unwrap_or_default()
    }
}

/// The use cases.
impl Shop {
    /// Saves a release under its tag.
    pub fn save(&mut self, tag: &str) -> Result<Saved> {
        self.save_commit(&commit_of(tag), &[tag.to_owned()])
    }

    /// Saves a release with these tags.
    pub fn save_commit(&mut self, commit: &CommitId, tags: &[String]) -> Result<Saved> {
        let (keys, actor, in_git) = (self.keys(), actor(), Vec::new);
        let request = SaveRequest { commit, tags, actor: &actor, keys: &keys, tags_in_git: &in_git };
        let mut project = self.project.clone();
        let runner: Option<&mut (dyn Runner + 'static)> =
            if self.has_django { Some(&mut project) } else { None };
        Ok(save::save(&mut self.database, runner, &request)?)
    }

    /// The releases in the list.
    pub fn list(&mut self) -> Result<Vec<ListedRelease>> {
        Ok(releases::list(&mut self.database)?)
    }

    /// One release.
    pub fn show(&mut self, tag: &str) -> Result<ShownRelease> {
        Ok(releases::show(&mut self.database, Some(&target(tag)))?)
    }

    /// Where the database stands.
    pub fn status(&mut self) -> Result<Status> {
        Ok(releases::status(&mut self.database)?)
    }

    /// History, newest first.
    pub fn operations(&mut self, limit: u32) -> Result<Vec<RecordedOperation>> {
        Ok(releases::history(&mut self.database, limit)?)
    }

    /// The plan back to this tag; an empty one is the release before.
    pub fn prepare(&mut self, tag: &str) -> Result<Prepared> {
        let keys = self.keys();
        let options = self.plan_options(&keys);
        let mut project = self.project.clone();
        let runner: Option<&mut (dyn Runner + 'static)> =
            if self.has_django { Some(&mut project) } else { None };
        Ok(rollback::prepare(&mut self.database.clone(), &target(tag), runner, &options)?)
    }

    /// The plan in one line: `sql shop.0003, disk shop.0002`, or what speaks against it, a sentence a line.
    pub fn plan(&mut self, tag: &str) -> String {
        let plan = self.prepare(tag).unwrap_or_else(|error| panic!("{error}")).plan;
        if !plan.blockers.is_empty() {
            return plan.blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        }
        let steps = plan.steps.iter().map(|step| format!("{} {}", step.way.as_str(), step.migration));
        steps.collect::<Vec<_>>().join(", ")
    }

    /// Carries out a plan that was made before.
    pub fn execute(&mut self, prepared: &Prepared) -> Result<RolledBack> {
        let options = self.execution_options();
        let actor = actor();
        let order = Order { prepared, actor: &actor, options: &options };
        Ok(rollback::execute(&mut self.database, &mut self.project, &order, &mut self.seen)?)
    }

    /// Goes back to this tag, or to the release before.
    pub fn roll_back(&mut self, tag: &str) -> Result<RolledBack> {
        let prepared = self.prepare(tag)?;
        self.execute(&prepared)
    }

    /// Asks for a rollback to this tag as a command does.
    pub fn attempt(&mut self, tag: &str, wanted: Wanted) -> std::result::Result<Outcome, RollbackError> {
        self.try_attempt(tag, wanted, None)
    }

    /// Goes back because the other door has asked for it, which saw a database with this fingerprint.
    pub fn take_over(
        &mut self,
        tag: &str,
        fingerprint: &str,
        token: Option<&str>,
    ) -> std::result::Result<Outcome, RollbackError> {
        self.try_attempt(tag, Wanted::default(), Some(HandedOver { fingerprint, token }))
    }

    fn try_attempt(
        &mut self,
        tag: &str,
        wanted: Wanted,
        handed_over: Option<HandedOver<'_>>,
    ) -> std::result::Result<Outcome, RollbackError> {
        let (keys, actor, target) = (self.keys(), actor(), target(tag));
        let mut seen = std::mem::take(&mut self.seen);
        let request = Attempt {
            target: &target,
            plan: self.plan_options(&keys),
            execution: self.execution_options(),
            consent: wanted.consent,
            is_preview: wanted.is_preview,
            has_fixed_way: wanted.has_fixed_way,
            has_other_door: wanted.has_other_door,
            actor: &actor,
        };
        let mut project = self.project.clone();
        let runner: Option<&mut (dyn Runner + 'static)> =
            if self.has_django { Some(&mut project) } else { None };
        let mut database = self.database.clone();
        let mut operator = FakeOperator { seen: &mut seen, answer: wanted.answer };
        let outcome = match handed_over {
            None => rollback::attempt(&mut database, runner, &request, &mut operator),
            Some(told) => {
                rollback::attempt_for_other_door(&mut database, runner, &request, &told, &mut operator)
            }
        };
        self.seen = seen;
        outcome
    }

    /// Where the rollback that stopped part-way was going: the tag or the commit.
    pub fn unfinished(&mut self) -> Result<RollbackEvent> {
        Ok(unfinished::to_resume(&mut self.database)?.event)
    }

    /// Finishes the rollback that stopped part-way.
    pub fn resume(&mut self) -> Result<RolledBack> {
        let commit = self.unfinished()?.route.to.map(|commit| commit.to_string()).unwrap_or_default();
        self.roll_back(&commit)
    }

    /// Leaves the database where the rollback stopped.
    pub fn abort(&mut self) -> Result<RollbackEvent> {
        Ok(unfinished::abort(&mut self.database, &actor())?)
    }

    /// Settles what dead commands have left behind.
    pub fn settle(&mut self) -> Result<Vec<Operation>> {
        Ok(unfinished::settle(&mut self.database, &actor())?)
    }

    /// The rollback as a script.
    pub fn script(&mut self, tag: &str) -> Result<String> {
        let prepared = self.prepare(tag)?;
        Ok(rollback::script(&mut self.database, &prepared, &actor())?)
    }

    /// Rehearses a rollback on a copy, and writes into history how that went.
    pub fn rehearse(&mut self, tag: &str) -> Result<Vec<Rehearsed>> {
        let mut copy = self.copy();
        let prepared = copy.prepare(tag)?;
        let rehearsed = rollback::rehearse(&mut copy.database, &mut copy.project, &prepared);
        let problem = match &rehearsed {
            Ok(steps) => steps.iter().flat_map(|step| &step.differences).next().cloned(),
            Err(error) => Some(error.cause()),
        };
        rollback::keep_rehearsal(&mut self.database, &prepared, &actor(), problem.as_deref())?;
        Ok(rehearsed?)
    }

    /// Whether the database is ahead of the code of this tag; without a tag, of the files.
    pub fn ahead(&mut self, tag: Option<&str>) -> Result<Option<Ahead>> {
        let commit = tag.map(commit_of);
        let keys = self.keys();
        let mut project = self.project.clone();
        let runner: Option<&mut (dyn Runner + 'static)> =
            if self.has_django { Some(&mut project) } else { None };
        Ok(ahead::ahead(&mut self.database, commit.as_ref(), runner, &keys)?)
    }

    /// Takes the lock for a `migrate` that applies these migrations, each with what it depends on, or undoes those with
    /// a `-` before them. `None` before our tables are there. Returns who was waited for, too.
    pub fn migrate(&mut self, plan: &str) -> (Result<Option<Lock>>, Vec<String>) {
        let planned: Vec<Planned> = plan.split_whitespace().map(|word| self.planned(word)).collect();
        let mut waited_for = Vec::new();
        let patience = self.seen.signal_at_pause;
        let mut wait = |who: &str, _: Duration| {
            waited_for.push(who.to_owned());
            match patience {
                Some((pause, signal)) if waited_for.len() >= pause => Err(signal),
                _ => Ok(()),
            }
        };
        let taken = migrate::lock(&mut self.database, &planned, &actor(), &mut wait);
        (
            taken.map(|holder| holder.map(|holder| Lock { _holder: holder })).map_err(EngineError::from),
            waited_for,
        )
    }

    fn planned(&self, word: &str) -> Planned {
        let migration = id(word.trim_start_matches('-'));
        let drawn = self.drawn.iter().find(|drawn| drawn.facts.id == migration);
        let parents = drawn.map(|drawn| drawn.facts.dependencies.clone()).unwrap_or_default();
        let replaced = |parent: &_| {
            let squash = self.drawn.iter().find(|drawn| drawn.facts.id == *parent);
            squash.map(|drawn| drawn.facts.replaces.clone()).unwrap_or_default()
        };
        let parents = parents.into_iter().map(|parent| (parent.clone(), replaced(&parent))).collect();
        Planned { migration, backwards: word.starts_with('-'), parents }
    }

    /// Keeps what a `migrate` has recorded about these migrations.
    pub fn keep(&mut self, migrations: &str) -> Result<()> {
        let wanted = ids(migrations);
        let drawn = self.drawn.iter().filter(|drawn| wanted.contains(&drawn.facts.id));
        let capsules: Vec<_> = drawn.map(Drawn::capsule).collect();
        let keys = self.keys();
        Ok(migrate::keep(&mut self.database, &keys, &capsules)?)
    }

    /// Whether a release was saved: then a `migrate` records.
    pub fn has_releases(&mut self) -> Result<bool> {
        Ok(migrate::has_releases(&mut self.database)?)
    }

    /// What an import would bring.
    pub fn plan_import(&mut self, repository: &FakeRepository, since: Option<&str>) -> Result<Import> {
        let (keys, actor) = (self.keys(), actor());
        let request = ImportRequest { since, actor: &actor, keys: &keys };
        Ok(import::prepare(&mut self.database, repository as &dyn Repository, &request)?)
    }

    /// Imports.
    pub fn import(&mut self, repository: &FakeRepository, since: Option<&str>) -> Result<Import> {
        let (keys, actor) = (self.keys(), actor());
        let request = ImportRequest { since, actor: &actor, keys: &keys };
        Ok(import::import(&mut self.database, repository as &dyn Repository, &request)?)
    }

    fn plan_options<'s>(&'s self, keys: &'s Keyring) -> PlanOptions<'s> {
        PlanOptions {
            ways: &self.ways,
            keys,
            verify: self.verify,
            require_rehearsal: self.require_rehearsal,
            require_runner: false,
        }
    }

    fn execution_options(&self) -> ExecutionOptions {
        ExecutionOptions {
            lock_timeout: Duration::from_millis(100),
            wait: self.wait,
            verify: self.verify,
            max_lost_rows: self.max_lost_rows,
        }
    }

    fn keys(&self) -> Keyring {
        let secrets: Vec<Secret> = self.secrets.iter().map(Secret::new).collect();
        Keyring::new(&secrets)
    }
}

/// A tag, a commit's digits, or the release before.
fn target(text: &str) -> Target {
    match text.parse() {
        _ if text.is_empty() => Target::Previous,
        Ok(prefix) => Target::Commit(prefix),
        Err(_) => Target::Tag { name: text.to_owned(), in_git: None },
    }
}
