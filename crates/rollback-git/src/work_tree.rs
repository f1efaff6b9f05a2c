//! The files of a work tree: those that git tracks, and those that it would offer to add. Files that a sparse checkout
//! leaves out count too, as they are in the index: nobody has deleted them.
//!
//! Contents are read as they are. If `.gitattributes` or `core.autocrlf` convert line endings, the hash of a file
//! differs from the one in the commit although git sees no change. Such a file is only read once more.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use gix::ObjectId;
use gix::index::entry::{Flags, Mode};
use ignore::{DirEntry, WalkBuilder};
use rollback_revision::{Files, ReadFiles, RepositoryError};

use crate::error;
use crate::tree::{self, is_wanted};

/// The files below a folder, and the kind of hash that its repository uses.
pub(crate) struct WorkTree {
    root: PathBuf,
    repository: gix::ThreadSafeRepository,
    paths: Vec<String>,
    /// The files that are not checked out.
    sparse: BTreeMap<String, ObjectId>,
}

/// Holds what it read for a hash until it is asked for the contents: the file may change in between.
struct WorkTreeReader<'files> {
    files: &'files WorkTree,
    repository: gix::Repository,
    held: Option<(usize, Vec<u8>)>,
}

impl WorkTree {
    /// Looks for the files of `repository`, whose work tree is `root`.
    pub(crate) fn walk(repository: &gix::Repository, root: &Path) -> Result<Self, RepositoryError> {
        let mut paths = files_below(root, &repository.common_dir().join("info/exclude"))?;
        paths.sort_unstable();
        let Tracked { files, mut sparse } = tracked_files(repository, root)?;
        let is_missing = |path: &String| paths.binary_search(path).is_err();
        sparse.retain(|path, _| is_missing(path) && !is_reachable(root, path));
        let ignored = |path: &String| is_missing(path) && is_reachable(root, path);
        let more: Vec<_> = files.into_iter().filter(ignored).collect();
        paths.extend(more);
        paths.extend(sparse.keys().cloned());
        paths.sort_unstable();
        Ok(Self { root: root.to_owned(), repository: repository.clone().into_sync(), paths, sparse })
    }
}

impl Files for WorkTree {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError> {
        let repository = self.repository.to_thread_local();
        Ok(Box::new(WorkTreeReader { files: self, repository, held: None }))
    }
}

impl ReadFiles for WorkTreeReader<'_> {
    fn hash(&mut self, index: usize) -> Result<String, RepositoryError> {
        if let Some(id) = self.files.sparse.get(&self.files.paths[index]) {
            return Ok(id.to_string());
        }
        let contents = self.read(index)?;
        let hash = gix::objs::compute_hash(self.repository.object_hash(), gix::objs::Kind::Blob, &contents);
        self.held = Some((index, contents));
        hash.map(|hash| hash.to_string()).map_err(|err| error::unreadable(&self.files.root, &err))
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, RepositoryError> {
        match self.held.take() {
            Some((held, contents)) if held == index => Ok(contents),
            _ => {
                let path = &self.files.paths[index];
                if let Some(id) = self.files.sparse.get(path) {
                    let object = tree::find(&self.repository, &self.files.root, *id, path)?;
                    return Ok(object.detach().data);
                }
                let contents = fs::read(self.files.root.join(path));
                contents.map_err(|err| error::unreadable_file(&self.files.root, path, &err))
            }
        }
    }
}

/// The wanted files below `root` that neither a `.gitignore` nor `exclude` leaves out. Only the repository's own rules
/// count: no `.ignore` file, nothing above the root, and nothing of the user's configuration.
fn files_below(root: &Path, exclude: &Path) -> Result<Vec<String>, RepositoryError> {
    let mut walk = WalkBuilder::new(root);
    // Without `require_git` the rules apply below any root; without `parents`, rules from above it do not apply.
    walk.standard_filters(false).git_ignore(true).require_git(false).current_dir(root);
    // Most repositories have no such file, and git itself complains about a line that is not a pattern.
    let _ = walk.add_ignore(exclude);
    walk.filter_entry(|entry| entry.depth() == 0 || !is_folder(entry) || may_enter(entry.path()));
    let entries = walk.build().filter_map(|entry| match entry {
        Ok(entry) => wanted_path(root, &entry).map(Ok),
        Err(err) if is_ignored(&err) => None,
        Err(err) => Some(Err(error::unreadable_folder(root, &err))),
    });
    entries.collect()
}

/// The path of a wanted file below `root`; `None` for everything else, and if the path is not UTF-8.
fn wanted_path(root: &Path, entry: &DirEntry) -> Option<String> {
    let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
    if !is_file || !is_wanted(entry.file_name().to_str()?) {
        return None;
    }
    let path = entry.path().strip_prefix(root).ok()?;
    let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
    Some(names?.join("/"))
}

/// Whether a folder below the root has disappeared, or this user may not read it: Python could not either.
fn is_ignored(err: &ignore::Error) -> bool {
    let kind = err.io_error().map(std::io::Error::kind);
    err.depth() != Some(0) && matches!(kind, Some(ErrorKind::NotFound | ErrorKind::PermissionDenied))
}

/// The wanted files in the index. They belong to the work tree even if `.gitignore` matches them.
struct Tracked {
    files: Vec<String>,
    /// The files that a sparse checkout leaves out.
    sparse: BTreeMap<String, ObjectId>,
}

fn tracked_files(repository: &gix::Repository, root: &Path) -> Result<Tracked, RepositoryError> {
    let index = repository.index_or_empty().map_err(|err| error::unreadable(root, &err))?;
    let mut tracked = Tracked { files: Vec::new(), sparse: BTreeMap::new() };
    for entry in index.entries() {
        let Ok(path) = str::from_utf8(entry.path(&index)) else { continue };
        if entry.mode == Mode::DIR {
            // The index itself may be sparse: it has a whole folder as one entry, with `/` at its end.
            tracked.sparse.extend(tree::files_below(repository, root, path.to_owned(), entry.id)?);
        } else if entry.mode.contains(Mode::FILE) && is_wanted(file_name(path)) {
            if entry.flags.contains(Flags::SKIP_WORKTREE) {
                tracked.sparse.insert(path.to_owned(), entry.id);
            }
            tracked.files.push(path.to_owned());
        }
    }
    // During a merge the index may have a path up to three times, one after the other.
    tracked.files.dedup();
    tracked.sparse.retain(|path, _| !path.split('/').rev().skip(1).any(|folder| folder.starts_with('.')));
    Ok(tracked)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `path` is a file below `root`, in folders that the walk also enters.
fn is_reachable(root: &Path, path: &str) -> bool {
    let path = Path::new(path);
    let folders = || path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    path.components().all(|part| matches!(part, Component::Normal(_)))
        && root.join(path).symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && folders().all(|folder| {
            let folder = root.join(folder);
            folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) && may_enter(&folder)
        })
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

/// Whether a folder below the root may hold files of the project: not a hidden one such as `.git` and `.venv`, not
/// another repository, not a virtual environment.
fn may_enter(folder: &Path) -> bool {
    let is_hidden = folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_there = |name| folder.join(name).symlink_metadata().is_ok();
    !is_hidden && !is_there(".git") && !is_there("pyvenv.cfg")
}
