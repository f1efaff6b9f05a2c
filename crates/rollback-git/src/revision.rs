//! From a revision to a commit, and from a commit to those before it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

use gix::ObjectId;
use gix::objs::Kind;
use gix::refs::file::find::ReferenceDecode;
use gix::revision::plumbing::Spec;
use gix::revision::spec::parse::{Error, ObjectKindHint, Options};
use rollback_revision::RepositoryError;

use crate::error;

/// The commit that `revision` names; `None` if it names nothing, or something else.
pub(crate) fn resolve(
    repository: &gix::Repository,
    root: &Path,
    revision: &str,
) -> Result<Option<ObjectId>, RepositoryError> {
    // As in `git log`: digits that also begin a tree's hash mean the commit.
    let options = Options { object_kind_hint: Some(ObjectKindHint::Committish), ..Options::default() };
    match gix::revision::Spec::from_bstr(revision, repository, options) {
        Ok(spec) => match spec.detach() {
            Spec::Include(id) => commit_of(repository, root, id),
            _ => Ok(None), // a range
        },
        Err(err) if is_ambiguous(&err) => Err(error::ambiguous(root, revision)),
        Err(err) if is_damage(&err) => Err(error::unreadable(root, &err)),
        Err(_) => Ok(None),
    }
}

/// `start` and its ancestors. A child comes before its parents whatever their times are; otherwise the newer commit
/// comes first: `git rev-list --date-order`.
///
/// gix has such a walk, but it does not support shallow clones.
pub(crate) fn ancestors(
    repository: &gix::Repository,
    root: &Path,
    start: ObjectId,
) -> Result<Vec<ObjectId>, RepositoryError> {
    let mut history = history(repository, root, start)?;
    let mut order = Vec::with_capacity(history.len());
    // Of two commits in the same second, the one that was found first comes first.
    let mut ready = BinaryHeap::from([(0, Reverse(0), start)]);
    let mut met = 0;
    while let Some((_, _, id)) = ready.pop() {
        order.push(id);
        for parent in std::mem::take(&mut history.entry(id).or_default().parents) {
            let commit = history.entry(parent).or_default();
            commit.children -= 1;
            if commit.children == 0 {
                met += 1;
                ready.push((commit.time, Reverse(met), parent));
            }
        }
    }
    Ok(order)
}

/// When a commit was made, in seconds since 1970.
pub(crate) fn committed_at(
    repository: &gix::Repository,
    root: &Path,
    id: ObjectId,
) -> Result<i64, RepositoryError> {
    let damaged = |err| error::unreadable(root, &err);
    let found = repository.try_find_object(id).map_err(damaged)?;
    let found = found.ok_or_else(|| error::missing_commit(repository, root, &id.to_string()))?;
    match found.try_into_commit() {
        Ok(commit) => Ok(commit.time().map_err(damaged)?.seconds),
        Err(_) => Err(error::missing_commit(repository, root, &id.to_string())),
    }
}

/// A commit in a walk.
#[derive(Default)]
struct Commit {
    parents: Vec<ObjectId>,
    time: i64,
    /// How many of its children are not listed yet.
    children: usize,
}

/// `start` and its ancestors, in no order.
fn history(
    repository: &gix::Repository,
    root: &Path,
    start: ObjectId,
) -> Result<HashMap<ObjectId, Commit>, RepositoryError> {
    let damaged = |err| error::unreadable(root, &err);
    let border = repository.shallow_commits().map_err(damaged)?;
    let is_border = |id: &ObjectId| border.as_ref().is_some_and(|border| border.binary_search(id).is_ok());
    // A commit graph only saves time: it does not matter if it cannot be read.
    let cache = repository.commit_graph_if_enabled().ok().flatten();
    let mut graph = repository.revision_graph::<()>(cache.as_ref());
    let mut history = HashMap::<ObjectId, Commit>::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        let found = graph.try_lookup(&id).map_err(damaged)?;
        let found = found.ok_or_else(|| error::missing_commit(repository, root, &id.to_string()))?;
        let found = found.to_owned(|| ()).map_err(damaged)?;
        let parents = if is_border(&id) { Vec::new() } else { found.parents.to_vec() };
        for parent in &parents {
            let commit = history.entry(*parent).or_insert_with(|| {
                open.push(*parent);
                Commit::default()
            });
            commit.children += 1;
        }
        let commit = history.entry(id).or_default();
        (commit.parents, commit.time) = (parents, found.commit_time);
    }
    Ok(history)
}

/// The commit that `id` is, or that this tag leads to.
fn commit_of(
    repository: &gix::Repository,
    root: &Path,
    id: ObjectId,
) -> Result<Option<ObjectId>, RepositoryError> {
    let damaged = |err| error::unreadable(root, &err);
    let Some(object) = repository.try_find_object(id).map_err(damaged)? else {
        return Ok(None);
    };
    let object = object.peel_tags_to_end().map_err(damaged)?;
    Ok((object.kind == Kind::Commit).then_some(object.id))
}

fn is_ambiguous(err: &gix::Error) -> bool {
    err.iter_errors().any(|cause| matches!(cause.downcast_ref(), Some(Error::AmbiguousPrefix { .. })))
}

/// Whether looking up a revision failed, as opposed to a revision that names nothing.
fn is_damage(err: &gix::Error) -> bool {
    let is_reference = err.downcast_any_ref::<ReferenceDecode>().is_some();
    let io = err.downcast_any_ref::<std::io::Error>();
    is_reference || err.is_corrupted() || io.is_some_and(|io| io.kind() != std::io::ErrorKind::NotFound)
}
