//! A project that undoes migrations by a script, in the place of Django.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rollback_core::{Effect, MigrationId, NewCapsule, Plan, ProjectFacts, Step};
use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Runner, RunnerError};

use crate::{Drawn, Faulty, id};

/// The files of a project, and the code that undoes them on the same session as the engine. A clone is the same
/// project.
#[derive(Clone)]
pub struct ScriptedProject {
    database: Faulty,
    script: Rc<RefCell<Script>>,
}

#[derive(Default)]
struct Script {
    files: BTreeMap<MigrationId, Drawn>,
    /// What archived sources stand for: the text is not read.
    drawn: BTreeMap<MigrationId, Drawn>,
    loaded: BTreeSet<MigrationId>,
    /// Archived sources that cannot be loaded, with the reason.
    unloadable: BTreeMap<MigrationId, String>,
    /// Why the project cannot be loaded at all.
    broken: Option<String>,
    failures: BTreeMap<MigrationId, RunnerError>,
    /// SQL that runs with a step besides its own.
    besides: BTreeMap<MigrationId, String>,
    notes: Vec<String>,
    calls: Vec<String>,
}

impl ScriptedProject {
    /// A project with these files.
    pub fn new(database: &Faulty, files: &[Drawn]) -> Self {
        let by_name: BTreeMap<MigrationId, Drawn> =
            files.iter().map(|drawn| (drawn.facts.id.clone(), drawn.clone())).collect();
        let script = Script { files: by_name.clone(), drawn: by_name, ..Script::default() };
        Self { database: database.clone(), script: Rc::new(RefCell::new(script)) }
    }

    /// The same project on another database.
    pub fn on(&self, database: &Faulty) -> Self {
        Self { database: database.clone(), script: Rc::clone(&self.script) }
    }

    /// Takes files away, as the checkout of an older commit does.
    pub fn remove(&self, migrations: &str) {
        for migration in crate::ids(migrations) {
            self.script.borrow_mut().files.remove(&migration);
        }
    }

    /// Lets the project not be loadable, as after a mistake in a file.
    pub fn break_loading(&self, words: &str) {
        self.script.borrow_mut().broken = Some(words.to_owned());
    }

    /// Lets undoing this migration fail with these words.
    pub fn fail(&self, migration: &str, words: &str) {
        let error = RunnerError { kind: DatabaseErrorKind::Other, message: words.to_owned() };
        self.script.borrow_mut().failures.insert(id(migration), error);
    }

    /// Lets a signal arrive while this migration is undone.
    pub fn interrupt(&self, migration: &str, signal: i32) {
        let kind = DatabaseErrorKind::Interrupted { signal };
        let error = RunnerError { kind, message: "interrupted".to_owned() };
        self.script.borrow_mut().failures.insert(id(migration), error);
    }

    /// Takes back what `fail` and `interrupt` said.
    pub fn fix(&self) {
        self.script.borrow_mut().failures.clear();
    }

    /// Lets undoing this migration run more than it says.
    pub fn also_run(&self, migration: &str, sql: &str) {
        self.script.borrow_mut().besides.insert(id(migration), sql.to_owned());
    }

    /// Lets the archived source of this migration not be loadable.
    pub fn refuse_source(&self, migration: &str, reason: &str) {
        self.script.borrow_mut().unloadable.insert(id(migration), reason.to_owned());
    }

    /// Lets the receivers of `post_migrate` fail with these words.
    pub fn note(&self, words: &str) {
        self.script.borrow_mut().notes.push(words.to_owned());
    }

    /// What was asked of it, one line each: `facts`, `undo shop.0002`.
    pub fn calls(&self) -> Vec<String> {
        self.script.borrow().calls.clone()
    }

    fn called(&self, what: &str) {
        self.script.borrow_mut().calls.push(what.to_owned());
    }

    fn check_loading(&self) -> Result<(), RunnerError> {
        match self.script.borrow().broken.clone() {
            Some(message) => Err(RunnerError { kind: DatabaseErrorKind::Other, message }),
            None => Ok(()),
        }
    }

    fn drawn(&self, migration: &MigrationId) -> Result<Drawn, RunnerError> {
        let script = self.script.borrow();
        let is_loaded = script.loaded.contains(migration);
        let found = script.files.get(migration).or_else(|| script.drawn.get(migration).filter(|_| is_loaded));
        found.cloned().ok_or_else(|| RunnerError {
            kind: DatabaseErrorKind::Other,
            message: format!("there is no migration {migration}"),
        })
    }
}

impl Runner for ScriptedProject {
    fn facts(&mut self) -> Result<ProjectFacts, RunnerError> {
        self.called("facts");
        self.check_loading()?;
        let migrations = self.script.borrow().files.values().map(|drawn| drawn.facts.clone()).collect();
        Ok(ProjectFacts { migrations, unmigrated_apps: BTreeSet::new() })
    }

    fn capsules(&mut self, migrations: &[MigrationId]) -> Result<Vec<NewCapsule>, RunnerError> {
        self.called("capsules");
        self.check_loading()?;
        let script = self.script.borrow();
        Ok(migrations.iter().filter_map(|migration| Some(script.files.get(migration)?.capsule())).collect())
    }

    fn load(&mut self, sources: &[(MigrationId, String)]) -> Result<Vec<(MigrationId, String)>, RunnerError> {
        let names: Vec<String> = sources.iter().map(|(migration, _)| migration.to_string()).collect();
        self.called(&format!("load {}", names.join(" ")));
        let mut script = self.script.borrow_mut();
        let mut failed = Vec::new();
        for (migration, _) in sources {
            match script.unloadable.get(migration).cloned() {
                Some(reason) => failed.push((migration.clone(), reason)),
                None => drop(script.loaded.insert(migration.clone())),
            }
        }
        Ok(failed)
    }

    fn effects(&mut self, plan: &Plan) -> Result<Vec<Effect>, RunnerError> {
        self.called("effects");
        let mut effects = Vec::new();
        for step in plan.steps.iter().filter(|step| step.way.undoes()) {
            let changes = self.drawn(&step.migration)?.effects.into_iter();
            effects.extend(changes.map(|change| Effect { migration: step.migration.clone(), change }));
        }
        Ok(effects)
    }

    fn prepare(&mut self, _: &Plan) -> Result<(), RunnerError> {
        self.called("prepare");
        Ok(())
    }

    fn undo(&mut self, step: &Step) -> Result<(), RunnerError> {
        self.called(&format!("undo {}", step.migration));
        let drawn = self.drawn(&step.migration)?;
        let besides = self.script.borrow().besides.get(&step.migration).cloned();
        for sql in drawn.backwards.iter().chain(&besides) {
            self.database.run(sql).map_err(failure)?;
        }
        let failure = self.script.borrow().failures.get(&step.migration).cloned();
        failure.map_or(Ok(()), Err)
    }

    fn apply(&mut self, migration: &MigrationId) -> Result<(), RunnerError> {
        self.called(&format!("apply {migration}"));
        for sql in &self.drawn(migration)?.forwards {
            self.database.run(sql).map_err(failure)?;
        }
        let row = format!(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('{}', '{}', '2026-01-01')",
            migration.app, migration.name
        );
        self.database.run(&row).map_err(failure)
    }

    fn finish(&mut self) -> Result<Vec<String>, RunnerError> {
        self.called("finish");
        Ok(self.script.borrow().notes.clone())
    }
}

fn failure(error: DatabaseError) -> RunnerError {
    RunnerError { kind: error.kind, message: error.message }
}
