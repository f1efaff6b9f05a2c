//! Two commits out of what the user typed: `BASE..HEAD`, `BASE`, or nothing.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use rollback_check::Config;
use rollback_core::CommitId;
use rollback_revision::{
    self as revision, Files, PassedOver, ProjectSettings, ReadFiles, Repository, RepositoryError, Revision,
    RevisionError, Subproject,
};

use super::context::Context;
use crate::console::safe;
use crate::door::DoorKind;
use crate::error::CliError;

/// One end of a range.
pub(super) struct End {
    /// What people call it: `v1.2 (03ec91e)`, `the work tree`.
    pub(super) label: String,
    /// Its commit; none for the work tree, and for the emptiness before the first release.
    pub(super) commit: Option<CommitId>,
    /// Its files.
    pub(super) files: Box<dyn Files>,
}

/// Two commits, the older first.
pub(super) struct Ends {
    /// The folder that paths begin in, with `/` at its end; empty for the root of the repository.
    pub(super) folder: String,
    pub(super) base: End,
    pub(super) head: End,
    pub(super) config: Config,
}

impl Context<'_> {
    /// The repository that the commands about commits read, or the part of it that is this project.
    pub(super) fn repository(&self) -> Result<Box<dyn Repository>, CliError> {
        let whole = self.git_repository().map_err(|error| repository(&error))?.ok_or_else(|| {
            CliError::usage(
                format!("there is no git repository at {} or above it", self.path.display()),
                "name one with `--path`",
            )
        })?;
        Ok(match self.project_folder(whole.as_ref()) {
            Some(folder) => Box::new(Subproject::new(whole, &folder)),
            None => whole,
        })
    }

    /// The folder of this project below the root of the repository; `None` if that is the root.
    pub(super) fn project_folder(&self, repository: &dyn Repository) -> Option<String> {
        let project = self.environment.project.as_deref();
        // In the project's own door it is the project that counts, wherever somebody calls it from.
        let project = project.filter(|_| self.given_path().is_none() && self.door.kind() == DoorKind::Django);
        let folder = |start: &Path| revision::project_folder(&repository.root(), start);
        project.and_then(folder).or_else(|| folder(&self.path))
    }

    /// The ends of a range. Without one: from the release before to the work tree.
    pub(super) fn ends(&mut self, range: Option<&str>) -> Result<Ends, CliError> {
        let repository = self.repository()?;
        let repository = repository.as_ref();
        let (base, head) = match range {
            None => self.usual_ends(repository)?,
            Some(range) => given_ends(repository, range)?,
        };
        let folder = self.folder_of_paths(repository);
        let config = Config::of_files(head.files.as_ref(), &folder).map_err(|error| unread(&error))?;
        Ok(Ends { folder, base, head, config })
    }

    /// What stands in front of the paths of this project.
    pub(super) fn folder_of_paths(&self, repository: &dyn Repository) -> String {
        self.project_folder(repository).map(|folder| format!("{folder}/")).unwrap_or_default()
    }

    /// The release before, and the work tree.
    fn usual_ends(&mut self, repository: &dyn Repository) -> Result<(End, End), CliError> {
        let head = work_tree(repository)?;
        let base = match self.saved_commit()? {
            Some(commit) => end(repository, commit.as_str())?,
            None => newest_tag(repository, &head)?,
        };
        Ok((base, head))
    }

    /// The commit of the current release, where the user named a database.
    fn saved_commit(&mut self) -> Result<Option<CommitId>, CliError> {
        if self.common.database.is_none() && self.common.database_file.is_none() {
            return Ok(None);
        }
        let mut session = self.connect()?;
        let releases = rollback_engine::cases::releases::list(session.database.as_mut())?;
        Ok(releases.into_iter().next().map(|listed| listed.release.commit))
    }
}

/// The end that one revision names, or the work tree.
pub(super) fn single(context: &Context<'_>, revision: Option<&str>) -> Result<End, CliError> {
    let repository = context.repository()?;
    match revision {
        None => work_tree(repository.as_ref()),
        Some(revision) => end(repository.as_ref(), revision),
    }
}

/// Opens the migrations of an end.
pub(super) fn open<'e>(end: &'e End, project: &ProjectSettings) -> Result<Revision<'e>, CliError> {
    Revision::open(end.files.as_ref(), project).map_err(|error| unread(&error))
}

/// Opens those of both ends, the older one first.
pub(super) fn open_both<'e>(
    ends: &'e Ends,
    project: &ProjectSettings,
) -> Result<[Revision<'e>; 2], CliError> {
    Revision::open_both(ends.base.files.as_ref(), ends.head.files.as_ref(), project)
        .map_err(|error| unread(&error))
}

/// Leaves what was read to the operating system, which takes it back at once, where the process ends with the command.
pub(super) fn leave(context: &Context<'_>, base: Revision<'_>, head: Revision<'_>) {
    if context.door.kind() == DoorKind::Native {
        mem::forget((base, head));
    }
}

/// Several projects in one repository, or copies of an app: what is said of the one that does not count.
pub(super) fn passed_over(root: &str, passed_over: &PassedOver, what: &str) -> String {
    let PassedOver { folder, instead, app, .. } = passed_over;
    safe(format!(
        "Warning: {root}{folder} {what}is not looked at, since {root}{instead} has the same app label, {app}. \
         Exclude one of them, or give each project a pyproject.toml with [tool.django-rollback]."
    ))
}

pub(super) fn unread(error: &RevisionError) -> CliError {
    let hint = match error {
        RevisionError::Repository(error) => error.hint.clone(),
        RevisionError::Project { .. } => Some("docs/rules/README.md shows what goes there".to_owned()),
    };
    CliError::other(error.to_string(), hint)
}

fn repository(error: &RepositoryError) -> CliError {
    CliError::other(error.to_string(), error.hint.clone())
}

fn given_ends(store: &dyn Repository, range: &str) -> Result<(End, End), CliError> {
    let or_head = |revision: &str| if revision.is_empty() { "HEAD".to_owned() } else { revision.to_owned() };
    if let Some((base, head)) = range.split_once("...") {
        let (base, head) = (end(store, &or_head(base))?, end(store, &or_head(head))?);
        let parted = parted(store, &base, &head)?;
        return Ok((end(store, parted.as_str())?, head));
    }
    match range.split_once("..") {
        Some((base, head)) => Ok((end(store, &or_head(base))?, end(store, &or_head(head))?)),
        None => Ok((end(store, range)?, work_tree(store)?)),
    }
}

/// The commit where two histories parted.
fn parted(store: &dyn Repository, base: &End, head: &End) -> Result<CommitId, CliError> {
    let ancestors = |end: &End| {
        let commit = end.commit.as_ref().expect("both ends were named");
        store.ancestors(commit).map_err(|error| repository(&error))
    };
    let known: BTreeSet<CommitId> = ancestors(base)?.into_iter().collect();
    ancestors(head)?.into_iter().find(|commit| known.contains(commit)).ok_or_else(|| {
        CliError::usage(
            format!("{} and {} have no commit in common", base.label, head.label),
            "in a shallow clone fetch more of the history, or name two commits with `..`",
        )
    })
}

fn end(store: &dyn Repository, revision: &str) -> Result<End, CliError> {
    let found = store.resolve(revision).map_err(|error| repository(&error))?;
    let commit = found.ok_or_else(|| {
        CliError::usage(
            format!("there is no commit {revision:?} in {}", store.root().display()),
            "in a pipeline fetch the tags and the history: `git fetch --tags --unshallow`",
        )
    })?;
    let files = store.files(&commit).map_err(|error| repository(&error))?;
    let label = if commit.as_str().starts_with(revision) {
        commit.short().to_owned()
    } else {
        format!("{revision} ({})", commit.short())
    };
    Ok(End { label, commit: Some(commit), files })
}

fn work_tree(store: &dyn Repository) -> Result<End, CliError> {
    match store.work_tree().map_err(|error| repository(&error))? {
        Some(files) => Ok(End { label: "the work tree".to_owned(), commit: None, files }),
        None => end(store, "HEAD"),
    }
}

/// The newest tag behind HEAD. One at HEAD itself counts where the work tree has other migrations: it is the release
/// before, then.
fn newest_tag(store: &dyn Repository, work_tree: &End) -> Result<End, CliError> {
    let head = store.head().map_err(|error| repository(&error))?;
    let tags = store.tags().map_err(|error| repository(&error))?;
    let Some(head) = head else { return Err(no_tag(store)) };
    for commit in store.ancestors(&head).map_err(|error| repository(&error))? {
        let Some((tag, _)) = tags.iter().find(|(_, tagged)| *tagged == commit) else { continue };
        let tagged = end(store, tag)?;
        if commit != head || has_other_migrations(&tagged, work_tree)? {
            return Ok(tagged);
        }
    }
    Err(no_tag(store))
}

fn has_other_migrations(one: &End, other: &End) -> Result<bool, CliError> {
    let project =
        ProjectSettings::of_files(other.files.as_ref()).map_err(|error| unread(&error))?.with_all_files();
    let (one, other) = (open(one, &project)?, open(other, &project)?);
    Ok(one.migrations().files != other.migrations().files)
}

fn no_tag(store: &dyn Repository) -> CliError {
    let hint = if store.is_shallow() {
        "this clone has only a part of the history: `git fetch --tags --unshallow`, or name the older release"
    } else {
        "name the older release: `check BASE..HEAD`; `check --all` looks at every migration"
    };
    CliError::usage(format!("no tag comes before HEAD in {}", store.root().display()), hint)
}

/// The emptiness before the first release.
pub(super) struct Nothing;

impl Files for Nothing {
    fn paths(&self) -> &[String] {
        &[]
    }

    fn reader(&self) -> Result<Box<dyn ReadFiles + '_>, RepositoryError> {
        Ok(Box::new(Nothing))
    }
}

impl ReadFiles for Nothing {
    fn hash(&mut self, _: usize) -> Result<String, RepositoryError> {
        unreachable!("there are no files")
    }

    fn read(&mut self, _: usize) -> Result<Vec<u8>, RepositoryError> {
        unreachable!("there are no files")
    }
}
