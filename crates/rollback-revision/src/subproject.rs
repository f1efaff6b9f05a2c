//! One project of several in a repository: of every commit, and of the work tree, only what is below its folder.

use std::path::{Path, PathBuf};

use rollback_core::CommitId;

use crate::ports::{Files, ReadFiles, Repository, RepositoryError};
use crate::project::{CONFIG_FILE, ProjectSettings};

/// The folder of the project that `start` is in, below `root` and with `/` between the names: the nearest one whose
/// `pyproject.toml` has our table. None where that is the root, or no folder.
pub fn project_folder(root: &Path, start: &Path) -> Option<String> {
    let (root, start) = (root.canonicalize().ok()?, start.canonicalize().ok()?);
    let has_table = |folder: &&Path| {
        let text = std::fs::read(folder.join(CONFIG_FILE));
        text.is_ok_and(|text| ProjectSettings::is_in(&String::from_utf8_lossy(&text)))
    };
    let folder = start.ancestors().take_while(|folder| folder.starts_with(&root)).find(has_table)?;
    let names: Option<Vec<&str>> =
        folder.strip_prefix(&root).ok()?.iter().map(|name| name.to_str()).collect();
    names.map(|names| names.join("/")).filter(|folder| !folder.is_empty())
}

/// A repository of which only one folder counts: one project of several. Paths begin there.
pub struct Subproject {
    repository: Box<dyn Repository>,
    /// The folder, with `/` at its end.
    folder: String,
}

impl Subproject {
    /// `folder` as [`project_folder`] gives it.
    pub fn new(repository: Box<dyn Repository>, folder: &str) -> Self {
        Self { repository, folder: format!("{folder}/") }
    }

    fn part(&self, files: Box<dyn Files>) -> Box<dyn Files> {
        let is_below = |(index, path): (usize, &String)| {
            path.strip_prefix(&self.folder).map(|path| (path.to_owned(), index))
        };
        let (paths, indexes) = files.paths().iter().enumerate().filter_map(is_below).unzip();
        Box::new(Part { files, paths, indexes })
    }
}

impl Repository for Subproject {
    fn root(&self) -> PathBuf {
        self.repository.root()
    }

    fn head(&self) -> Result<Option<CommitId>, RepositoryError> {
        self.repository.head()
    }

    fn tags(&self) -> Result<Vec<(String, CommitId)>, RepositoryError> {
        self.repository.tags()
    }

    fn resolve(&self, revision: &str) -> Result<Option<CommitId>, RepositoryError> {
        self.repository.resolve(revision)
    }

    fn ancestors(&self, commit: &CommitId) -> Result<Vec<CommitId>, RepositoryError> {
        self.repository.ancestors(commit)
    }

    fn committed_at(&self, commit: &CommitId) -> Result<i64, RepositoryError> {
        self.repository.committed_at(commit)
    }

    fn is_shallow(&self) -> bool {
        self.repository.is_shallow()
    }

    fn files(&self, commit: &CommitId) -> Result<Box<dyn Files>, RepositoryError> {
        Ok(self.part(self.repository.files(commit)?))
    }

    fn work_tree(&self) -> Result<Option<Box<dyn Files>>, RepositoryError> {
        Ok(self.repository.work_tree()?.map(|files| self.part(files)))
    }
}

struct Part {
    files: Box<dyn Files>,
    paths: Vec<String>,
    /// The place of each path among all files.
    indexes: Vec<usize>,
}

struct PartReader<'p> {
    reader: Box<dyn ReadFiles + 'p>,
    indexes: &'p [usize],
}

impl Files for Part {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn sort_for_reading(&self, indices: &mut [usize]) {
        let mut order: Vec<usize> = indices.iter().map(|index| self.indexes[*index]).collect();
        self.files.sort_for_reading(&mut order);
        let below = |index: &usize| self.indexes.binary_search(index).ok();
        for (place, index) in indices.iter_mut().zip(order.iter().filter_map(below)) {
            *place = index;
        }
    }

    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError> {
        Ok(Box::new(PartReader { reader: self.files.reader()?, indexes: &self.indexes }))
    }
}

impl ReadFiles for PartReader<'_> {
    fn hash(&mut self, index: usize) -> Result<String, RepositoryError> {
        self.reader.hash(self.indexes[index])
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, RepositoryError> {
        self.reader.read(self.indexes[index])
    }
}
