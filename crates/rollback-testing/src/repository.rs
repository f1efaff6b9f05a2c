//! A git repository whose commits, tags and files are values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rollback_core::{CommitId, CommitPrefix, stored};
use rollback_revision::{Files, ReadFiles, Repository, RepositoryError};

use crate::{commit_of, draw};

/// Files by their paths.
type Tree = BTreeMap<String, String>;

/// A repository with one line of history.
#[derive(Clone, Default)]
pub struct FakeRepository {
    /// Oldest first: the last one is checked out.
    commits: Vec<(CommitId, Tree)>,
    tags: Vec<(String, CommitId)>,
    is_shallow: bool,
    /// Why nothing in it can be read.
    broken: Option<String>,
}

impl FakeRepository {
    /// Without a commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a commit of this tag, with the migration files of a drawing.
    pub fn commit(mut self, tag: &str, drawing: &str) -> Self {
        let mut tree = Tree::new();
        for drawn in draw(drawing) {
            let folder = format!("{}/migrations", drawn.facts.id.app);
            tree.insert(format!("{folder}/__init__.py"), String::new());
            tree.insert(format!("{folder}/{}.py", drawn.facts.id.name), drawn.text());
        }
        self.commits.push((commit_of(tag), tree));
        self.tags.push((tag.to_owned(), commit_of(tag)));
        self
    }

    /// Puts a file into the last commit.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        let (_, tree) = self.commits.last_mut().unwrap_or_else(|| panic!("there is no commit for {path}"));
        tree.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Adds a commit without a tag.
    pub fn untagged(self, name: &str, drawing: &str) -> Self {
        let mut repository = self.commit(name, drawing);
        repository.tags.pop();
        repository
    }

    /// Gives a commit another tag.
    pub fn tag(mut self, tag: &str, commit: &str) -> Self {
        self.tags.push((tag.to_owned(), commit_of(commit)));
        self
    }

    /// As `git clone --depth` leaves it.
    pub fn shallow(self) -> Self {
        Self { is_shallow: true, ..self }
    }

    /// Lets nothing in it be readable.
    pub fn broken(self, reason: &str) -> Self {
        Self { broken: Some(reason.to_owned()), ..self }
    }

    fn error(&self, reason: &str) -> RepositoryError {
        let path = self.root().display().to_string();
        RepositoryError { path, reason: reason.to_owned(), hint: None }
    }

    fn place(&self, commit: &CommitId) -> Result<usize, RepositoryError> {
        let place = self.commits.iter().position(|(known, _)| known == commit);
        place.ok_or_else(|| self.error("there is no such commit"))
    }
}

impl Repository for FakeRepository {
    fn root(&self) -> PathBuf {
        PathBuf::from("/srv/shop")
    }

    fn head(&self) -> Result<Option<CommitId>, RepositoryError> {
        match &self.broken {
            Some(reason) => Err(self.error(reason)),
            None => Ok(self.commits.last().map(|(commit, _)| commit.clone())),
        }
    }

    fn tags(&self) -> Result<Vec<(String, CommitId)>, RepositoryError> {
        let mut tags = self.tags.clone();
        tags.sort();
        Ok(tags)
    }

    fn resolve(&self, revision: &str) -> Result<Option<CommitId>, RepositoryError> {
        if let Some((_, commit)) = self.tags.iter().find(|(tag, _)| tag == revision) {
            return Ok(Some(commit.clone()));
        }
        let Ok(prefix) = revision.parse::<CommitPrefix>() else { return Ok(None) };
        Ok(self.commits.iter().map(|(commit, _)| commit).find(|commit| prefix.matches(commit)).cloned())
    }

    fn ancestors(&self, commit: &CommitId) -> Result<Vec<CommitId>, RepositoryError> {
        let place = self.place(commit)?;
        Ok(self.commits[..=place].iter().rev().map(|(commit, _)| commit.clone()).collect())
    }

    fn committed_at(&self, commit: &CommitId) -> Result<i64, RepositoryError> {
        const FIRST: i64 = 1_700_000_000;
        const DAY: i64 = 86_400;
        Ok(FIRST + DAY * i64::try_from(self.place(commit)?).unwrap_or_default())
    }

    fn is_shallow(&self) -> bool {
        self.is_shallow
    }

    fn files(&self, commit: &CommitId) -> Result<Box<dyn Files>, RepositoryError> {
        let (_, tree) = &self.commits[self.place(commit)?];
        let (paths, texts) = tree.clone().into_iter().unzip();
        Ok(Box::new(FakeFiles { paths, texts }))
    }

    fn work_tree(&self) -> Result<Option<Box<dyn Files>>, RepositoryError> {
        self.head()?.map(|head| self.files(&head)).transpose()
    }
}

struct FakeFiles {
    paths: Vec<String>,
    texts: Vec<String>,
}

impl Files for FakeFiles {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError> {
        Ok(Box::new(Reader(self)))
    }
}

struct Reader<'f>(&'f FakeFiles);

impl ReadFiles for Reader<'_> {
    fn hash(&mut self, index: usize) -> Result<String, RepositoryError> {
        Ok(stored::hash(&self.0.texts[index]))
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, RepositoryError> {
        Ok(self.0.texts[index].clone().into_bytes())
    }
}
