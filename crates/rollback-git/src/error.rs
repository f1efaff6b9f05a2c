//! Why a repository cannot be read, in one line, with what to do about it.

use std::io::{self, ErrorKind};
use std::path::Path;

use rollback_revision::RepositoryError;

const NAME_THE_COMMIT: &str = "name the commit with `--commit` or DJANGO_ROLLBACK_COMMIT";

/// Long enough for a path and a sentence.
const MAX_CHARS: usize = 300;

pub(crate) fn no_folder(path: &Path, err: &io::Error) -> RepositoryError {
    match err.kind() {
        ErrorKind::NotFound => about(path, "no such folder", None),
        _ => about(path, &one_line(&err.to_string()), None),
    }
}

pub(crate) fn not_a_folder(path: &Path) -> RepositoryError {
    about(path, "it is not a folder", None)
}

/// The git folder, or a file that points to it, cannot be opened.
pub(crate) fn unreadable_git_dir(git_dir: &Path, err: &gix::Error) -> RepositoryError {
    if is_closed(git_dir) {
        let hint = format!("run the command as a user who may read it, or {NAME_THE_COMMIT}");
        return about(git_dir, "permission denied", Some(hint));
    }
    match gix::discover::path::from_gitdir_file(git_dir) {
        Ok(target) if !target.exists() => dangling(git_dir, &target),
        _ => unreadable(git_dir, err),
    }
}

/// A part of the repository cannot be read.
pub(crate) fn unreadable(path: &Path, err: &gix::Error) -> RepositoryError {
    let causes: Vec<_> = err.iter_errors().map(|cause| one_line(&cause.to_string())).collect();
    about(path, &causes.join(": "), Some(format!("run `git fsck` to see the damage, or {NAME_THE_COMMIT}")))
}

/// The repository's branches and tags are not in files.
pub(crate) fn reftable(path: &Path) -> RepositoryError {
    let hint = format!("convert it with `git refs migrate --ref-format=files`, or {NAME_THE_COMMIT}");
    about(path, "its branches and tags are in a reftable, which is not supported", Some(hint))
}

/// This clone does not have the commit.
pub(crate) fn missing_commit(repository: &gix::Repository, root: &Path, commit: &str) -> RepositoryError {
    let command = match repository.is_shallow() {
        Ok(true) => "git fetch --unshallow",
        _ => "git fetch --all --tags",
    };
    about(root, &format!("commit {commit} is not in this clone"), Some(format!("fetch it with `{command}`")))
}

/// The object of a file or folder is lost, or a partial clone left it out. `path` is empty for the root.
pub(crate) fn missing_object(root: &Path, path: &str, id: &str) -> RepositoryError {
    let what = if path.is_empty() { "the root folder" } else { path };
    let reason = format!("object {id} ({what}) is not in this clone");
    // Without `--no-filter` git leaves out the same objects again.
    let hint = "fetch everything with `git fetch --refetch --no-filter`, or make a full clone";
    about(root, &reason, Some(hint.to_owned()))
}

/// The hashes of several commits begin with this revision.
pub(crate) fn ambiguous(root: &Path, revision: &str) -> RepositoryError {
    let reason = format!("`{revision}` is ambiguous: several commits begin with these digits");
    about(root, &reason, Some("give more digits".to_owned()))
}

/// A file of the work tree that was listed a moment ago.
pub(crate) fn unreadable_file(root: &Path, path: &str, err: &io::Error) -> RepositoryError {
    match err.kind() {
        ErrorKind::NotFound => {
            let hint = "run the command again while nothing changes the work tree";
            about(
                root,
                &format!("the file {path} disappeared while the work tree was read"),
                Some(hint.to_owned()),
            )
        }
        _ => about(root, &format!("the file {path}: {}", one_line(&err.to_string())), None),
    }
}

/// The files of a folder of the work tree cannot be listed.
pub(crate) fn unreadable_folder(root: &Path, err: &ignore::Error) -> RepositoryError {
    about(root, &one_line(&err.to_string()), None)
}

/// gix reports a file that it may not read as missing.
fn is_closed(git_dir: &Path) -> bool {
    let head = git_dir.join("HEAD").metadata();
    head.is_err_and(|err| err.kind() == ErrorKind::PermissionDenied)
}

/// The `.git` file of a submodule or a linked work tree, without the repository that it belongs to: for example, only
/// the work tree was copied or mounted.
fn dangling(git_file: &Path, target: &Path) -> RepositoryError {
    let reason = format!("it points to {}, which does not exist", target.display());
    about(git_file, &reason, Some(format!("make that folder available here, or {NAME_THE_COMMIT}")))
}

fn about(path: &Path, reason: &str, hint: Option<String>) -> RepositoryError {
    RepositoryError { path: path.display().to_string(), reason: reason.to_owned(), hint }
}

/// `text` as a part of a sentence: on one line, beginning in lower case unless it begins with a name, and cut, because
/// gix quotes the damaged file.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = text.chars();
    let mut line: String = match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text,
    };
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.replace_range(end.., "…");
    }
    line
}
