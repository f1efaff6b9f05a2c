//! The files of a commit, from git's objects. The tree is walked once, for paths and hashes. Contents are read one by
//! one, by as many threads as there are readers.
//!
//! A pack stores most contents as differences from others nearby. So many files are read in the order of the pack, and
//! each reader remembers the last of them.

use std::fs;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::odb::pack::cache::lru::StaticLinkedList;
use gix::odb::pack::index;
use rollback_revision::{Files, ReadFiles, RepositoryError};

use crate::error;

/// What git's objects say about the files of one commit.
pub(crate) struct CommitFiles {
    repository: gix::ThreadSafeRepository,
    root: PathBuf,
    paths: Vec<String>,
    ids: Vec<ObjectId>,
}

/// Reads with a handle of its own: those of gix are for one thread.
struct CommitReader<'files> {
    files: &'files CommitFiles,
    repository: gix::Repository,
}

/// How many contents a reader remembers, and how many bytes at most.
const REMEMBERED: usize = 64;
const REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

/// Whether anyone asks for files of this name.
pub(crate) fn is_wanted(name: &str) -> bool {
    name.ends_with(".py") || name == "pyproject.toml"
}

impl CommitFiles {
    /// Walks the tree of `commit`. `root` is where the repository is, for messages.
    pub(crate) fn walk(
        repository: &gix::Repository,
        root: &Path,
        commit: ObjectId,
    ) -> Result<Self, RepositoryError> {
        let tree = tree_of(repository, root, commit)?;
        let (paths, ids) = files_below(repository, root, String::new(), tree)?.into_iter().unzip();
        Ok(Self { repository: repository.clone().into_sync(), root: root.to_owned(), paths, ids })
    }
}

impl Files for CommitFiles {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn sort_for_reading(&self, indices: &mut [usize]) {
        let packs = packs(&self.repository.to_thread_local());
        indices.sort_by_cached_key(|index| {
            let id = self.ids[*index];
            let place = |pack: &index::File| pack.lookup(id).map(|entry| pack.pack_offset_at_index(entry));
            packs.iter().enumerate().find_map(|(number, pack)| Some((number, place(pack)?)))
        });
    }

    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError> {
        let mut repository = self.repository.to_thread_local();
        let cache = || Box::new(StaticLinkedList::<REMEMBERED>::new(REMEMBERED_BYTES)) as _;
        repository.objects.set_pack_cache(cache);
        Ok(Box::new(CommitReader { files: self, repository }))
    }
}

impl ReadFiles for CommitReader<'_> {
    fn hash(&mut self, index: usize) -> Result<String, RepositoryError> {
        Ok(self.files.ids[index].to_string())
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, RepositoryError> {
        let id = self.files.ids[index];
        let object = find(&self.repository, &self.files.root, id, &self.files.paths[index])?;
        // The buffer is larger than the contents, and is used again for the next one.
        Ok(object.data.clone())
    }
}

/// The indices of the packs, without those that cannot be read: they are only needed for speed, and reading the pack
/// itself reports what is wrong with it.
fn packs(repository: &gix::Repository) -> Vec<index::File> {
    let folder = repository.objects.store_ref().path().join("pack");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "idx"));
    paths.sort_unstable();
    paths.iter().filter_map(|path| index::File::at(path, repository.object_hash()).ok()).collect()
}

fn tree_of(repository: &gix::Repository, root: &Path, commit: ObjectId) -> Result<ObjectId, RepositoryError> {
    let found = repository.try_find_object(commit).map_err(|err| error::unreadable(root, &err))?;
    let object = found.ok_or_else(|| error::missing_commit(repository, root, &commit.to_string()))?;
    let tree = object.try_into_commit().and_then(|commit| Ok(commit.tree_id()?.detach()));
    tree.map_err(|err| error::unreadable(root, &err))
}

/// The wanted files below `tree`, which is `folder`, in the order of their paths. Symbolic links and submodules do not
/// count. A name that is not UTF-8 is ignored: Python could not import the file.
pub(crate) fn files_below(
    repository: &gix::Repository,
    root: &Path,
    folder: String,
    tree: ObjectId,
) -> Result<Vec<(String, ObjectId)>, RepositoryError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder, tree)];
    while let Some((folder, id)) = folders.pop() {
        let tree = find(repository, root, id, &folder)?;
        let tree = tree.try_into_tree().map_err(|err| error::unreadable(root, &err))?;
        for entry in tree.iter() {
            let entry = entry.map_err(|err| error::unreadable(root, &err))?;
            let Ok(name) = str::from_utf8(entry.filename()) else {
                continue;
            };
            match entry.mode().kind() {
                // As in the work tree: tools keep their own files there.
                EntryKind::Tree if name.starts_with('.') => {}
                EntryKind::Tree => folders.push((format!("{folder}{name}/"), entry.object_id())),
                EntryKind::Blob | EntryKind::BlobExecutable if is_wanted(name) => {
                    files.push((format!("{folder}{name}"), entry.object_id()));
                }
                _ => {}
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The object of `path`, which a partial clone may not have.
pub(crate) fn find<'repository>(
    repository: &'repository gix::Repository,
    root: &Path,
    id: ObjectId,
    path: &str,
) -> Result<gix::Object<'repository>, RepositoryError> {
    let found = repository.try_find_object(id).map_err(|err| error::unreadable(root, &err))?;
    found.ok_or_else(|| error::missing_object(root, path, &id.to_string()))
}
