//! The git repository of a project, read in this process. It needs no git program, and runs and follows nothing that a
//! repository or the environment configures. What a commit or a tag means for a release is left to others.
//!
//! Only this crate uses gix, whose API often changes.

mod error;
mod revision;
mod tree;
mod work_tree;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gix::objs::Kind;
use gix::refs::file::find::ReferenceDecode;
use rollback_core::CommitId;
use rollback_revision::{Files, Repository, RepositoryError};

use crate::tree::CommitFiles;
use crate::work_tree::WorkTree;

/// An open repository: that of a work tree, a bare one, a submodule or a linked work tree.
#[derive(Debug)]
pub struct GitRepository {
    inner: gix::Repository,
}

/// Opens the repository at `path` or the nearest one above it; `None` if there is none.
///
/// The nearest `.git` decides. If it cannot be read, that is an error: a repository further up would have the commits
/// of another project. Unlike git, the search crosses file systems, because a container often mounts a part of a
/// project, and it ignores `GIT_*` variables.
pub fn discover(path: &Path) -> Result<Option<GitRepository>, RepositoryError> {
    let start = real_folder(path)?;
    start.ancestors().find_map(git_dir_in).map(|git_dir| GitRepository::open(&git_dir)).transpose()
}

impl GitRepository {
    /// Whether the repository belongs to another user, which git refuses as "dubious ownership". It is safe here:
    /// reading runs nothing.
    pub fn foreign_owner(&self) -> bool {
        self.inner.git_dir_trust() == gix::sec::Trust::Reduced
    }

    fn open(git_dir: &Path) -> Result<Self, RepositoryError> {
        let inner = gix::open::Options::isolated()
            .open_path_as_is(true)
            .open(git_dir)
            .map_err(|err| error::unreadable_git_dir(git_dir, &err))?
            .to_thread_local();
        refuse_reftable(&inner)?;
        Ok(Self { inner })
    }

    fn read_head(&self) -> gix::Result<Option<CommitId>> {
        match self.inner.find_reference("HEAD")?.follow_to_object() {
            Ok(id) => Ok(Some(commit_id(id.detach()))),
            Err(err) if err.is_not_found() => Ok(None),
            Err(err) => Err(err),
        }
    }

    fn read_tags(&self) -> gix::Result<Vec<(String, CommitId)>> {
        self.inner.references()?.tags()?.filter_map(|tag| self.commit_of(tag).transpose()).collect()
    }

    /// The name of `tag` and the commit that it leads to; `None` if that is a tree or a file, or if it is missing.
    fn commit_of(&self, tag: gix::Result<gix::Reference<'_>>) -> gix::Result<Option<(String, CommitId)>> {
        let Some(mut tag) = unless_it_leads_nowhere(tag)? else {
            return Ok(None);
        };
        // The name first: a tag that points to another tag takes that one's name when it is followed.
        let name = tag.name().shorten().to_string();
        let Some(id) = unless_it_leads_nowhere(tag.peel_to_id())? else {
            return Ok(None);
        };
        let header = self.inner.try_find_header(id)?;
        let is_commit = header.is_some_and(|header| header.kind() == Kind::Commit);
        Ok(is_commit.then(|| (name, commit_id(id.detach()))))
    }

    /// gix's form of a commit's id. An id of the other object format is in no repository of this one.
    fn object_id(&self, commit: &CommitId) -> Result<gix::ObjectId, RepositoryError> {
        let id =
            gix::ObjectId::from_hex(commit.as_str().as_bytes()).expect("a commit id is 40 or 64 hex digits");
        match id.kind() == self.inner.object_hash() {
            true => Ok(id),
            false => Err(error::missing_commit(&self.inner, &self.root(), commit.as_str())),
        }
    }
}

impl Repository for GitRepository {
    fn root(&self) -> PathBuf {
        self.inner.workdir().unwrap_or_else(|| self.inner.git_dir()).to_owned()
    }

    fn head(&self) -> Result<Option<CommitId>, RepositoryError> {
        self.read_head().map_err(|err| error::unreadable(&self.root(), &err))
    }

    fn tags(&self) -> Result<Vec<(String, CommitId)>, RepositoryError> {
        self.read_tags().map_err(|err| error::unreadable(&self.root(), &err))
    }

    fn resolve(&self, revision: &str) -> Result<Option<CommitId>, RepositoryError> {
        Ok(revision::resolve(&self.inner, &self.root(), revision)?.map(commit_id))
    }

    fn ancestors(&self, commit: &CommitId) -> Result<Vec<CommitId>, RepositoryError> {
        let ids = revision::ancestors(&self.inner, &self.root(), self.object_id(commit)?)?;
        Ok(ids.into_iter().map(commit_id).collect())
    }

    fn committed_at(&self, commit: &CommitId) -> Result<i64, RepositoryError> {
        revision::committed_at(&self.inner, &self.root(), self.object_id(commit)?)
    }

    fn is_shallow(&self) -> bool {
        // gix only fails if git's `shallow` file has a configured name that is not a path of this system.
        self.inner.is_shallow().unwrap_or(false)
    }

    fn files(&self, commit: &CommitId) -> Result<Box<dyn Files>, RepositoryError> {
        Ok(Box::new(CommitFiles::walk(&self.inner, &self.root(), self.object_id(commit)?)?))
    }

    fn work_tree(&self) -> Result<Option<Box<dyn Files>>, RepositoryError> {
        let Some(root) = self.inner.workdir() else {
            return Ok(None);
        };
        Ok(Some(Box::new(WorkTree::walk(&self.inner, root)?)))
    }
}

/// `path` without symbolic links, so that its ancestors are the folders that it really is in.
fn real_folder(path: &Path) -> Result<PathBuf, RepositoryError> {
    let metadata = path.metadata().map_err(|err| error::no_folder(path, &err))?;
    if !metadata.is_dir() {
        return Err(error::not_a_folder(path));
    }
    gix::path::realpath(path).map_err(|err| error::unreadable(path, &err))
}

/// The `.git` in `folder`, valid or not, or `folder` itself if it is a bare repository.
fn git_dir_in(folder: &Path) -> Option<PathBuf> {
    let dot_git = folder.join(".git");
    match dot_git.symlink_metadata() {
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        _ => return Some(dot_git),
    }
    gix::discover::is_git(folder).is_ok().then(|| folder.to_owned())
}

/// gix does not support reftable, and would see no branches and tags in such a repository.
fn refuse_reftable(repository: &gix::Repository) -> Result<(), RepositoryError> {
    match repository.config_snapshot().string("extensions.refStorage") {
        Some(storage) if storage.starts_with(b"reftable") => Err(error::reftable(repository.git_dir())),
        _ => Ok(()),
    }
}

/// `None` for a tag that git itself ignores: its file has no reference, or its object is missing.
fn unless_it_leads_nowhere<T>(found: gix::Result<T>) -> gix::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(err) if err.is_not_found() => Ok(None),
        Err(err) if err.downcast_any_ref::<ReferenceDecode>().is_some() => Ok(None),
        Err(err) => Err(err),
    }
}

fn commit_id(id: gix::ObjectId) -> CommitId {
    id.to_string().parse().expect("gix writes an object id as 40 or 64 hex digits")
}
