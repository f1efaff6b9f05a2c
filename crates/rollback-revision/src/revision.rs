//! The migrations of a revision, read out of a repository: no checkout, no Python, no database.
//!
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use rollback_core::{MigrationId, NewCapsule};
use rollback_source::{Package, Paths, Tree};

use crate::complete::complete;
use crate::error::RevisionError;
use crate::migrations::{File, Migrations, Read};
use crate::ports::Files;
use crate::project::ProjectSettings;
use crate::reading::{self, Reader, STACK, Source, Work};
use crate::settings::{Surroundings, surroundings};

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
    migrations: Migrations,
    /// The settings that the project sets; `None` if not all of them are known.
    settings: Option<BTreeSet<String>>,
    /// Whether texts are kept beside what they say.
    keeps_texts: bool,
}

impl<'f> Revision<'f> {
    /// Looks where the migrations are. Their texts are not read yet.
    pub fn open(files: &'f dyn Files, project: &ProjectSettings) -> Result<Self, RevisionError> {
        let [opened] = Self::look_at([files], project);
        opened
    }

    /// The same for two commits, at the same time.
    pub fn open_both(
        base: &'f dyn Files,
        head: &'f dyn Files,
        project: &ProjectSettings,
    ) -> Result<[Self; 2], RevisionError> {
        let [base, head] = Self::look_at([base, head], project);
        Ok([base?, head?])
    }

    fn look_at<const N: usize>(
        all: [&'f dyn Files; N],
        project: &ProjectSettings,
    ) -> [Result<Self, RevisionError>; N] {
        thread::scope(|scope| {
            let begun = all.map(|files| {
                let look = move || Self::look(files, project);
                (files, thread::Builder::new().stack_size(STACK).spawn_scoped(scope, look))
            });
            let join =
                |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a reader does not panic");
            begun.map(|(files, thread)| thread.map_or_else(|_| Self::look(files, project), join))
        })
    }

    fn look(files: &'f dyn Files, project: &ProjectSettings) -> Result<Self, RevisionError> {
        let paths = Paths::new(files.paths());
        let reader = Reader::new(files)?;
        let read = |index: usize| reader.text(index);
        let tree = Tree::new(&paths, &read);
        let Surroundings { settings, places, names } = surroundings(&tree, files.paths(), project, &read);
        let (packages, others) = one_for_each_app(tree.packages(&places), project);
        let mut read = Migrations { settings, ..Migrations::default() };
        for package in &packages {
            for (name, index) in &package.migrations {
                let file = File { path: files.paths()[*index].clone(), hash: reader.hash(*index)? };
                read.files.insert(MigrationId::new(&package.app, name), file);
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
        Ok(Self { files, paths, packages, passed_over, migrations: read, settings: names, keeps_texts: true })
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
    pub fn migrations(&self) -> &Migrations {
        &self.migrations
    }

    /// Whether a dotted path is a module of the repository.
    pub fn has_module(&self, path: &str) -> bool {
        self.paths.has_module(path)
    }

    /// Takes over what another commit has read of the same contents at the same place.
    pub fn share(&mut self, other: &Migrations) {
        for (id, file) in &self.migrations.files {
            if let (Some(known), Some(read)) = (other.files.get(id), other.read.get(id))
                && known == file
            {
                self.migrations.read.entry(id.clone()).or_insert_with(|| Arc::clone(read));
            }
        }
    }

    /// The migrations that the text alone does not tell enough of.
    pub fn unknown(&self) -> Vec<MigrationId> {
        let unknown = self.migrations.sources().filter(|(_, source)| source.is_unknown());
        unknown.map(|(id, _)| id.clone()).collect()
    }

    /// Takes what Django's loader says of migrations for what their text does not tell.
    pub fn complete(&mut self, known: &[NewCapsule]) {
        for capsule in known {
            let Some(read) = self.migrations.read.get_mut(&capsule.facts.id) else { continue };
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
            .filter(|work| wanted(&work.id) && !self.migrations.read.contains_key(&work.id))
            .collect();
        reading::sort_for_reading(self.files, &mut work);
        let Self { files, paths, settings, keeps_texts, .. } = self;
        let source = Source { files: *files, paths, settings: settings.as_ref(), keeps_texts: *keeps_texts };
        let read = reading::read_all(source, &work)?;
        self.migrations.read.extend(read);
        Ok(())
    }
}

/// Of several folders for one app label the one nearest to the root counts: Django installs one, and the others are
/// templates, tests or copies. Folders that the configuration excludes do not.
///
/// Also those that do not count, each with the folder that does.
fn one_for_each_app(
    packages: Vec<Package>,
    project: &ProjectSettings,
) -> (Vec<Package>, Vec<(Package, String)>) {
    let is_excluded = |package: &Package| project.is_excluded(&format!("{}/__init__.py", package.folder));
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
