//! The migrations of commits, read out of a repository: no checkout, no Python, no database.
//!
//! Where two commits are compared, only what can differ is read: the files whose hashes differ, and those of the same
//! apps. Several threads read and parse.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rollback_check::release::{File, Read, Release};
use rollback_check::{Config, ConfigError};
use rollback_core::{
    AppliedRow, AppliedSet, MigrationFacts, MigrationId, OperationFacts, Plan, ProjectFacts, Situation, Way,
};
use rollback_source::app::{self, Settings};
use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Target, Unknown, What};
use rollback_source::{Modules, NoModules, Package, Paths, Places, Tree};

use crate::capsules::NewCapsule;
use crate::ports::{Files, ReadFiles, RepositoryError};
use crate::store::APP_LABEL;

/// The file with the configuration.
pub const CONFIG_FILE: &str = "pyproject.toml";

/// The stack of a thread that reads: as deep as the longest file can nest values. Memory is only used when it is.
const STACK: usize = 512 * 1024 * 1024;

/// How many migrations a thread takes at a time: neighbours, of which it remembers what they have in common.
const BATCH: usize = 32;

/// Why the migrations of a commit cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The configuration is wrong.
    #[error("{path}: {error}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: ConfigError,
    },
}

/// Which migrations of a commit are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All.
    All,
    /// Those that differ from the other commit's, and those of the same apps.
    Changed,
}

/// A folder of migrations that does not count, because another one has the same app label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedOver {
    /// The folder.
    pub folder: String,
    /// The one that counts.
    pub instead: String,
    /// The label.
    pub app: String,
    /// Its migrations: paths and hashes.
    files: Vec<(String, String)>,
}

/// The files of a commit, and where its migrations are.
pub struct Revision<'f> {
    files: &'f dyn Files,
    paths: Paths<'f>,
    packages: Vec<Package>,
    passed_over: Vec<PassedOver>,
    release: Release,
    /// The settings that the project sets; none where not all of them are known.
    settings: Option<BTreeSet<String>>,
    /// Whether texts are kept beside what they say.
    keeps_texts: bool,
}

impl<'f> Revision<'f> {
    /// Looks where the migrations are. Their texts are not read yet.
    pub fn open(files: &'f dyn Files, config: &Config) -> Result<Self, RevisionError> {
        let [opened] = Self::look_at([files], config);
        opened
    }

    /// The same for two commits, at the same time.
    pub fn open_both(
        base: &'f dyn Files,
        head: &'f dyn Files,
        config: &Config,
    ) -> Result<[Self; 2], RevisionError> {
        let [base, head] = Self::look_at([base, head], config);
        Ok([base?, head?])
    }

    fn look_at<const N: usize>(all: [&'f dyn Files; N], config: &Config) -> [Result<Self, RevisionError>; N] {
        thread::scope(|scope| {
            let begun = all.map(|files| {
                let look = move || Self::look(files, config);
                (files, thread::Builder::new().stack_size(STACK).spawn_scoped(scope, look))
            });
            let join =
                |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a reader does not panic");
            begun.map(|(files, thread)| thread.map_or_else(|_| Self::look(files, config), join))
        })
    }

    fn look(files: &'f dyn Files, config: &Config) -> Result<Self, RevisionError> {
        let paths = Paths::new(files.paths());
        let reader = Reader::new(files)?;
        let read = |index: usize| reader.text(index);
        let tree = Tree::new(&paths, &read);
        let Surroundings { settings, places, names } = surroundings(&tree, files.paths(), config, &read);
        let (packages, others) = one_for_each_app(tree.packages(&places), config);
        let mut release = Release { settings, ..Release::default() };
        for package in &packages {
            for (name, index) in &package.migrations {
                let file = File { path: files.paths()[*index].clone(), hash: reader.hash(*index)? };
                release.files.insert(MigrationId::new(&package.app, name), file);
            }
        }
        let mut passed_over = Vec::new();
        for (package, instead) in others {
            let migrations = package.migrations.iter();
            let hashed =
                migrations.map(|(_, index)| Ok((files.paths()[*index].clone(), reader.hash(*index)?)));
            let migrations = hashed.collect::<Result<_, RevisionError>>()?;
            let Package { folder, app, .. } = package;
            passed_over.push(PassedOver { folder, instead, app, files: migrations });
        }
        reader.end()?;
        Ok(Self { files, paths, packages, passed_over, release, settings: names, keeps_texts: true })
    }

    /// The folders that do not count.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The same, for whoever wants to know what migrations say, and not how: [`Read::text`] stays empty.
    pub fn without_texts(self) -> Self {
        Self { keeps_texts: false, ..self }
    }

    /// The folders that do not count and have other migrations than in another commit.
    pub fn passed_over_since(&self, base: &Revision<'_>) -> Vec<&PassedOver> {
        self.passed_over.iter().filter(|folder| !base.passed_over.contains(folder)).collect()
    }

    /// What was read.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Whether a dotted path is a module of the repository.
    pub fn has_module(&self, path: &str) -> bool {
        self.paths.has_module(path)
    }

    /// Takes over what another commit has read of the same contents at the same place.
    pub fn share(&mut self, other: &Release) {
        for (id, file) in &self.release.files {
            if let (Some(known), Some(read)) = (other.files.get(id), other.read.get(id))
                && known == file
            {
                self.release.read.entry(id.clone()).or_insert_with(|| Arc::clone(read));
            }
        }
    }

    /// The migrations that the text alone does not tell enough of.
    pub fn unknown(&self) -> Vec<MigrationId> {
        let unknown = self.release.sources().filter(|(_, source)| source.is_unknown());
        unknown.map(|(id, _)| id.clone()).collect()
    }

    /// Takes what Django's loader says of migrations for what their text does not tell.
    pub fn complete(&mut self, known: &[NewCapsule]) {
        for capsule in known {
            let Some(read) = self.release.read.get_mut(&capsule.facts.id) else { continue };
            let mut better = Read::clone(read);
            if let Ok(source) = &mut better.source {
                complete(source, capsule);
                *read = Arc::new(better);
            }
        }
    }

    /// Reads these migrations, unless they were read before.
    pub fn read(&mut self, wanted: &dyn Fn(&MigrationId) -> bool) -> Result<(), RevisionError> {
        let mut work: Vec<Work> = self
            .packages
            .iter()
            .flat_map(|package| package.migrations.iter().map(move |(name, index)| (package, name, *index)))
            .map(|(package, name, index)| Work {
                id: MigrationId::new(&package.app, name),
                module: package.module(name),
                index,
                is_certain: package.is_certain,
            })
            .filter(|work| wanted(&work.id) && !self.release.read.contains_key(&work.id))
            .collect();
        sort_for_reading(self.files, &mut work);
        let Self { files, paths, settings, keeps_texts, .. } = self;
        let source = Source { files: *files, paths, settings: settings.as_ref(), keeps_texts: *keeps_texts };
        let read = read_all(source, &work)?;
        self.release.read.extend(read);
        Ok(())
    }
}

/// Of several folders for one app label the one nearest to the root counts: Django installs one, and the others are
/// templates, tests or copies. Folders that the configuration excludes do not.
///
/// Also those that do not count, each with the folder that does.
fn one_for_each_app(packages: Vec<Package>, config: &Config) -> (Vec<Package>, Vec<(Package, String)>) {
    let is_excluded = |package: &Package| config.is_excluded(&format!("{}/__init__.py", package.folder));
    let mut packages: Vec<Package> = packages.into_iter().filter(|package| !is_excluded(package)).collect();
    packages.sort_by_cached_key(|package| (package.folder.matches('/').count(), package.folder.clone()));
    let mut best: BTreeMap<String, Package> = BTreeMap::new();
    let mut others = Vec::new();
    for package in packages {
        match best.get(&package.app) {
            Some(known) => others.push((package, known.folder.clone())),
            None => drop(best.insert(package.app.clone(), package)),
        }
    }
    (best.into_values().collect(), others)
}

/// Reads what a comparison needs: of the newer commit everything that may matter, of the older one what has changed.
pub fn read_range(
    base: &mut Revision<'_>,
    head: &mut Revision<'_>,
    extent: Extent,
) -> Result<(), RevisionError> {
    let changed: BTreeSet<MigrationId> = changed(base.release(), head.release());
    base.read(&|id| changed.contains(id))?;
    let is_gone = changed.iter().any(|id| !head.release().files.contains_key(id));
    if extent == Extent::All || is_gone {
        return head.read(&|_| true);
    }
    let apps: BTreeSet<&str> = changed.iter().map(|id| id.app.as_str()).collect();
    head.read(&|id| apps.contains(id.app.as_str()))?;
    // `run_before` makes a migration of another app depend on a new one, so everything may be behind it.
    if head.release().sources().any(|(id, source)| changed.contains(id) && !source.run_before.is_empty()) {
        head.read(&|_| true)?;
    }
    Ok(())
}

/// The plan from one commit back to another: all migrations of the newer one are applied, as a database has them that
/// was migrated to it.
pub fn plan(base: &Release, head: &Release) -> Plan {
    let migrations = head.facts();
    let is_in_head = |id: &MigrationId| head.source(id).is_some_and(|source| source.class.is_some());
    // Of what both have, the newer file counts; but a squash is recorded, and what it replaces with it, also where only
    // the older commit still says so.
    let counts =
        |(id, source): &(&MigrationId, &MigrationSource)| !source.replaces.is_empty() || !is_in_head(id);
    let remembered: Vec<MigrationFacts> =
        base.sources().filter(counts).map(|(id, source)| base.facts_of(id, source)).collect();
    let mut now: BTreeSet<&MigrationId> = migrations.iter().map(|fact| &fact.id).collect();
    let squashes = migrations.iter().chain(&remembered).filter(|fact| is_in_head(&fact.id));
    now.extend(squashes.flat_map(|fact| &fact.replaces));
    let now: Vec<AppliedRow> =
        (1..).zip(now).map(|(id, migration)| AppliedRow { id, migration: migration.clone() }).collect();
    let before =
        base.sources().flat_map(|(_, squash)| squash.replaces.iter().filter_map(|to| base.target(to)));
    let target: AppliedSet = base.sources().map(|(id, _)| id.clone()).chain(before).collect();
    let unmigrated_apps = head.outside(&migrations);
    let project = ProjectFacts { migrations, unmigrated_apps };
    rollback_core::plan(&Situation {
        now: &now,
        target: &target,
        on_disk: Some(&project),
        remembered: &remembered,
        means: &BTreeMap::new(),
        ways: &[Way::Disk],
        is_verified: false,
        own_app: APP_LABEL,
    })
}

/// What the loader says takes the place of what the text does not tell.
fn complete(source: &mut MigrationSource, capsule: &NewCapsule) {
    let place = source.class.clone().unwrap_or(0..0);
    let references = |known: &[MigrationId]| {
        let reference =
            |id: &MigrationId| Reference { target: Target::Migration(id.clone()), span: place.clone() };
        known.iter().map(reference).collect::<Vec<_>>()
    };
    let unknown: BTreeSet<What> = source.unknown.iter().map(|unknown| unknown.what).collect();
    let is_unknown = |what: What| unknown.contains(&What::Migration) || unknown.contains(&what);
    if is_unknown(What::Dependencies) {
        source.dependencies = references(&capsule.facts.dependencies);
    }
    if is_unknown(What::RunBefore) {
        source.run_before = references(&capsule.facts.run_before);
    }
    if is_unknown(What::Replaces) {
        source.replaces = references(&capsule.facts.replaces);
    }
    if is_unknown(What::Atomic) {
        source.atomic.0 = capsule.facts.atomic;
    }
    let same_length = source.operations.len() == capsule.operations.len();
    if same_length && !is_unknown(What::Operations) {
        for (operation, known) in source.operations.iter_mut().zip(&capsule.operations) {
            operation.reversible = Some(known.reversible);
        }
    } else {
        let operation = |known: &OperationFacts| Operation {
            class: known.kind.clone(),
            span: place.clone(),
            action: Action::Custom,
            reversible: Some(known.reversible),
            elidable: Some(false),
        };
        source.operations = capsule.operations.iter().map(operation).collect();
    }
    // What an operation does is still not known where only its name is: the note about it stays, but where there is
    // nothing more to know.
    let is_told =
        source.operations.iter().all(|operation| matches!(operation.class.as_str(), "RunPython" | "RunSQL"));
    source.unknown.retain_mut(|unknown| {
        let is_about_operations = !is_told && matches!(unknown.what, What::Operations | What::Migration);
        if is_about_operations {
            unknown.what = What::Argument;
        }
        is_about_operations || !unknown.what.is_structural()
    });
}

/// The migrations that only one of two commits has, or that have other contents in the other.
fn changed(base: &Release, head: &Release) -> BTreeSet<MigrationId> {
    let differs = |id: &&MigrationId| {
        let hash = |release: &Release| release.files.get(id).map(|file| file.hash.clone());
        hash(base) != hash(head)
    };
    base.files.keys().chain(head.files.keys()).filter(differs).cloned().collect()
}

/// The configuration of a commit; `folder` stands in front of its paths in messages.
pub fn config(files: &dyn Files, folder: &str) -> Result<Config, RevisionError> {
    let Some(index) = files.paths().iter().position(|path| path == CONFIG_FILE) else {
        return Ok(Config::default());
    };
    let bytes = files.reader()?.read(index)?;
    let text = String::from_utf8_lossy(&bytes);
    Config::parse(&text)
        .map_err(|error| RevisionError::Config { path: format!("{folder}{CONFIG_FILE}"), error })
}

/// Migrations that one thread has read.
type Part = Vec<(MigrationId, Arc<Read>)>;

struct Work {
    id: MigrationId,
    module: String,
    index: usize,
    /// Whether the text tells the app's label.
    is_certain: bool,
}

/// In the order in which the files are read fastest.
fn sort_for_reading(files: &dyn Files, work: &mut [Work]) {
    if work.len() <= BATCH {
        return;
    }
    let mut order: Vec<usize> = work.iter().map(|work| work.index).collect();
    files.sort_for_reading(&mut order);
    let places: HashMap<usize, usize> =
        order.into_iter().enumerate().map(|(place, index)| (index, place)).collect();
    work.sort_by_key(|work| places[&work.index]);
}

/// Where the texts come from.
#[derive(Clone, Copy)]
struct Source<'s> {
    files: &'s dyn Files,
    paths: &'s Paths<'s>,
    settings: Option<&'s BTreeSet<String>>,
    keeps_texts: bool,
}

fn read_all(source: Source<'_>, work: &[Work]) -> Result<BTreeMap<MigrationId, Arc<Read>>, RevisionError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(work.len() / BATCH + 1);
    let next = AtomicUsize::new(0);
    let mut all = BTreeMap::new();
    let parts: Vec<Result<Part, RevisionError>> = thread::scope(|scope| {
        let begun: Vec<_> = (0..threads)
            .map(|_| {
                let part = || read_some(source, work, &next);
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, part)
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a reader does not panic");
        begun.into_iter().map(|thread| thread.map_or_else(|_| read_some(source, work, &next), join)).collect()
    });
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Takes from the work until none is left.
fn read_some(source: Source<'_>, work: &[Work], next: &AtomicUsize) -> Result<Part, RevisionError> {
    let reader = Reader::new(source.files)?;
    let read = |index: usize| reader.text(index);
    let tree = Tree::new(source.paths, &read).with_settings(source.settings);
    let keeps_texts = source.keeps_texts;
    let mut done = Vec::new();
    let batches = iter::from_fn(|| work.chunks(BATCH).nth(next.fetch_add(1, Ordering::Relaxed)));
    for work in batches.flatten() {
        let text = reader.text(work.index).unwrap_or_default();
        let mut source = rollback_source::read(&work.module, &text, &tree);
        if let (Ok(source), false) = (&mut source, work.is_certain) {
            let reason = "belongs to an app whose label the text does not tell".to_owned();
            source.unknown.push(Unknown { what: What::Migration, reason, span: 0..0 });
        }
        let text = if keeps_texts { text } else { String::new() };
        done.push((work.id.clone(), Arc::new(Read { text, source })));
    }
    reader.end()?;
    Ok(done)
}

/// One reader; the first failure is kept for the end.
struct Reader<'f> {
    reader: RefCell<Box<dyn ReadFiles + 'f>>,
    failed: RefCell<Option<RepositoryError>>,
}

impl<'f> Reader<'f> {
    fn new(files: &'f dyn Files) -> Result<Self, RevisionError> {
        Ok(Self { reader: RefCell::new(files.reader()?), failed: RefCell::new(None) })
    }

    fn text(&self, index: usize) -> Option<String> {
        match self.reader.borrow_mut().read(index) {
            Ok(bytes) => Some(rollback_source::decode(bytes)),
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    fn hash(&self, index: usize) -> Result<String, RevisionError> {
        Ok(self.reader.borrow_mut().hash(index)?)
    }

    fn end(self) -> Result<(), RevisionError> {
        self.failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What the settings of the project say.
struct Surroundings {
    /// The models that settings name.
    settings: BTreeMap<String, String>,
    places: Places,
    /// Every setting that is set; none where not all of them are known.
    names: Option<BTreeSet<String>>,
}

/// What the settings of the project say, the configuration's first. Settings modules that disagree say nothing.
fn surroundings(
    tree: &Tree<'_>,
    paths: &[String],
    config: &Config,
    read: &dyn Fn(usize) -> Option<String>,
) -> Surroundings {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut modules: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut names: BTreeSet<String> = config.settings.keys().cloned().collect();
    let (mut is_whole, mut is_found) = (true, false);
    let folder = settings_folder(paths, read);
    let is_candidate = |path: &str| {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        is_settings(path) && folder.as_deref().is_none_or(|folder| folder == parent)
    };
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| is_candidate(path)) {
        let Some(text) = read(index).filter(|text| is_telling(text)) else { continue };
        let module = path.trim_end_matches(".py").replace('/', ".");
        let found = app::settings(&module, &text, &Quiet(tree));
        let Settings { texts: found, migration_modules, names: more, is_whole: one_is_whole } = found;
        is_found |= more.contains("INSTALLED_APPS");
        is_whole &= one_is_whole;
        names.extend(more);
        for (name, value) in found.into_iter().filter(|(name, _)| name.ends_with("_MODEL")) {
            texts.entry(name).or_default().insert(value);
        }
        // Tests do without migrations, or with others.
        for (app, module) in migration_modules.into_iter().filter(|_| !is_for_tests(path)) {
            modules.entry(app).or_default().insert(module);
        }
    }
    let mut settings: BTreeMap<String, String> = agreed(texts).collect();
    settings.extend(config.settings.clone());
    let mut places: BTreeMap<String, Option<String>> = agreed(modules).collect();
    let configured = config.migration_modules.iter();
    places.extend(configured.map(|(app, module)| (app.clone(), Some(module.clone()))));
    let names = (is_found && is_whole).then_some(names);
    Surroundings { settings, places: Places { modules: places }, names }
}

/// What all settings modules that say something about a name agree on.
fn agreed<T>(found: BTreeMap<String, BTreeSet<T>>) -> impl Iterator<Item = (String, T)> {
    found.into_iter().filter_map(|(name, values)| {
        let is_one = values.len() == 1;
        values.into_iter().next().filter(|_| is_one).map(|value| (name, value))
    })
}

/// The folder of the settings that the `manage.py` nearest to the root names.
fn settings_folder(paths: &[String], read: &dyn Fn(usize) -> Option<String>) -> Option<String> {
    let is_manage = |path: &str| path == "manage.py" || path.ends_with("/manage.py");
    let found = paths.iter().enumerate().filter(|(_, path)| is_manage(path));
    let (index, path) = found.min_by_key(|(_, path)| path.matches('/').count())?;
    let text = read(index)?;
    let (_, behind) = text.split_once("DJANGO_SETTINGS_MODULE")?;
    let module = behind.split(['"', '\'']).nth(2)?.replace('.', "/");
    let root = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = [root, below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let base = [root, &module].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    // A module that the repository does not have says nothing.
    let is_there = |path: &String| *path == format!("{base}.py") || *path == format!("{base}/__init__.py");
    paths.iter().any(is_there).then_some(folder)
}

/// Whether a file looks like a settings module.
fn is_settings(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    name.starts_with("settings") || folder == "settings" || folder.ends_with("/settings")
}

/// Whether a file or one of its folders is named after tests.
fn is_for_tests(path: &str) -> bool {
    const WORDS: &[&str] = &["test", "tests", "testing", "testutils", "pytest", "ci"];
    let words = path.trim_end_matches(".py").split(['/', '_', '-', '.']);
    words.into_iter().any(|word| WORDS.contains(&word))
}

fn is_telling(text: &str) -> bool {
    text.contains("INSTALLED_APPS") || text.contains("_MODEL") || text.contains("MIGRATION_MODULES")
}

/// Settings import from each other; what they import from elsewhere does not matter.
struct Quiet<'t>(&'t Tree<'t>);

impl Modules for Quiet<'_> {
    fn find(&self, path: &str) -> Option<rollback_source::Module> {
        if path.contains("settings") { self.0.find(path) } else { NoModules.find(path) }
    }
}
