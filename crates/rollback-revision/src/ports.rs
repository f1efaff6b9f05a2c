//! What is read of a git repository: the ports that an adaptor supplies.

use std::path::PathBuf;

use rollback_core::CommitId;

/// A git repository, as far as a revision needs it.
pub trait Repository {
    /// The folder that holds the work tree, or the bare repository itself.
    fn root(&self) -> PathBuf;

    /// The commit that is checked out; `None` in a repository without a commit.
    fn head(&self) -> Result<Option<CommitId>, RepositoryError>;

    /// Every tag that leads to a commit, with that commit, in the order of the tags' names.
    fn tags(&self) -> Result<Vec<(String, CommitId)>, RepositoryError>;

    /// The commit that a revision names, as git reads one: `v1.2`, `main~2`, the first digits of a hash.
    /// `None` if it names none, or something other than one commit. Digits that fit several commits are an error.
    fn resolve(&self, revision: &str) -> Result<Option<CommitId>, RepositoryError>;

    /// The commits that lead to `commit`, it included, as far as the repository has them: newest first, and none
    /// before its children. A shallow clone's history ends at its border.
    fn ancestors(&self, commit: &CommitId) -> Result<Vec<CommitId>, RepositoryError>;

    /// When a commit was made by the clock of whoever made it: seconds since 1970, UTC.
    fn committed_at(&self, commit: &CommitId) -> Result<i64, RepositoryError>;

    /// Whether the history was cut off when the repository was cloned (`git clone --depth`).
    fn is_shallow(&self) -> bool;

    /// The files of a commit.
    fn files(&self, commit: &CommitId) -> Result<Box<dyn Files>, RepositoryError>;

    /// The files of the work tree as they lie there now, those that git ignores left out, and what is in hidden folders,
    /// virtual environments and other repositories; `None` in a bare repository.
    fn work_tree(&self) -> Result<Option<Box<dyn Files>>, RepositoryError>;
}

/// The files of a commit or of a work tree: what Python can import, and `pyproject.toml`.
pub trait Files: Sync {
    /// Their paths below the repository's root, with `/` between folders, in the order of their bytes. Only files whose
    /// name ends with `.py`, or is `pyproject.toml`; no symbolic links, nothing in submodules, no path that is not UTF-8.
    fn paths(&self) -> &[String];

    /// Puts the indices of paths into the order in which many contents are read fastest.
    fn sort_for_reading(&self, _: &mut [usize]) {}

    /// A reader of their contents: one for each thread.
    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError>;
}

/// Reads files out of git's objects or a work tree.
pub trait ReadFiles {
    /// The hash of a file's contents as git has it, without reading them where git has it already. The same contents
    /// have the same hash in a commit and in the work tree. `index` is that of the path.
    fn hash(&mut self, index: usize) -> Result<String, RepositoryError>;

    /// A file's contents.
    fn read(&mut self, index: usize) -> Result<Vec<u8>, RepositoryError>;
}

/// A repository that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the git repository at {path}: {reason}")]
pub struct RepositoryError {
    /// Where the repository is.
    pub path: String,
    /// What is wrong with it, in one line.
    pub reason: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}
