//! Which tags give a release to import.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::{CommitId, Lost, Release};
use rollback_revision::Repository;

use super::error::ImportError;
use crate::cases::error::CaseError;
use crate::store::StoredRelease;

/// A commit with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The commit.
    pub commit: CommitId,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

impl Tagged {
    /// `03ec91e (v1.2)`: for sentences.
    pub fn label(&self) -> String {
        format!("{} ({})", self.commit.short(), self.tags.join(", "))
    }
}

/// A commit with tags that is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The commit.
    pub tagged: Tagged,
    /// Why not.
    pub reason: Reason,
}

/// Why a commit with tags is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not in the history of what is checked out.
    #[error("not in the history of HEAD")]
    Elsewhere,
    /// It is in the list.
    #[error("saved already")]
    Saved,
    /// It has no place in front of the list.
    #[error("not older than the oldest release in the list, {oldest}")]
    NotOlder {
        /// Label of that release.
        oldest: String,
    },
    /// What was applied then cannot be told.
    #[error(transparent)]
    Lost(Lost),
}

impl Reason {
    /// A stable word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Elsewhere => "not-in-history",
            Self::Saved => "saved",
            Self::NotOlder { .. } => "not-older",
            Self::Lost(Lost::NoMigrations) => "no-migrations",
            Self::Lost(Lost::Doubtful(_)) => "doubtful",
            Self::Lost(Lost::MadeAnew { .. }) => "made-anew",
        }
    }
}

/// The commits to look at, and those that are passed over.
pub(super) struct Selection {
    /// Oldest first.
    pub(super) chosen: Vec<Tagged>,
    /// Those of the history, oldest first; then all others, by their tags.
    pub(super) skipped: Vec<Skipped>,
}

/// Chooses the commits with tags from `since` on that are older than every release in the list.
pub(super) fn select(
    repository: &dyn Repository,
    known: &[StoredRelease],
    since: Option<&str>,
) -> Result<Selection, CaseError> {
    let head = head(repository)?;
    let mut tagged = all(repository)?;
    let history = history(repository, &head, &mut tagged)?;
    let first = since.map_or(Ok(0), |tag| place_of(tag, &history, &tagged, repository))?;
    let listed: BTreeSet<&CommitId> = known.iter().map(|stored| &stored.release.commit).collect();
    let oldest = known.last().map(|stored| &stored.release).ok_or(ImportError::NothingSaved)?;
    let older = ancestors_of(repository, oldest)?;
    let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
    for tagged in history.into_iter().skip(first) {
        let reason = match () {
            () if listed.contains(&tagged.commit) => Reason::Saved,
            () if !older.contains(&tagged.commit) => Reason::NotOlder { oldest: oldest.label() },
            () => {
                chosen.push(tagged);
                continue;
            }
        };
        skipped.push(Skipped { tagged, reason });
    }
    let mut elsewhere: Vec<Tagged> = tagged.into_values().collect();
    elsewhere.sort_by(|one, other| one.tags.cmp(&other.tags));
    skipped.extend(elsewhere.into_iter().map(|tagged| Skipped { tagged, reason: Reason::Elsewhere }));
    Ok(Selection { chosen, skipped })
}

/// What is checked out, where the whole history is there.
fn head(repository: &dyn Repository) -> Result<CommitId, CaseError> {
    let path = || path(repository);
    let head = repository.head()?.ok_or_else(|| ImportError::NoCommit { path: path() })?;
    match repository.is_shallow() {
        true => Err(ImportError::Shallow { path: path() }.into()),
        false => Ok(head),
    }
}

/// Every commit with tags.
fn all(repository: &dyn Repository) -> Result<BTreeMap<CommitId, Tagged>, CaseError> {
    let mut found: BTreeMap<CommitId, Tagged> = BTreeMap::new();
    for (tag, commit) in repository.tags()? {
        let tagged = || Tagged { commit: commit.clone(), tags: Vec::new() };
        found.entry(commit.clone()).or_insert_with(tagged).tags.push(tag);
    }
    match found.is_empty() {
        true => Err(ImportError::NoTags { path: path(repository) }.into()),
        false => Ok(found),
    }
}

/// Takes those out that lead to `head`, oldest first.
fn history(
    repository: &dyn Repository,
    head: &CommitId,
    tagged: &mut BTreeMap<CommitId, Tagged>,
) -> Result<Vec<Tagged>, CaseError> {
    let ancestors = repository.ancestors(head)?;
    Ok(ancestors.iter().rev().filter_map(|commit| tagged.remove(commit)).collect())
}

/// The commits that lead to the oldest release in the list.
fn ancestors_of(repository: &dyn Repository, oldest: &Release) -> Result<BTreeSet<CommitId>, CaseError> {
    if repository.resolve(oldest.commit.as_str())?.is_none() {
        return Err(ImportError::Unrelated { oldest: oldest.label(), path: path(repository) }.into());
    }
    Ok(repository.ancestors(&oldest.commit)?.into_iter().collect())
}

/// Where in the history a tag is.
fn place_of(
    tag: &str,
    history: &[Tagged],
    elsewhere: &BTreeMap<CommitId, Tagged>,
    repository: &dyn Repository,
) -> Result<usize, ImportError> {
    let has_tag = |tagged: &Tagged| tagged.tags.iter().any(|each| each == tag);
    history.iter().position(has_tag).ok_or_else(|| match elsewhere.values().any(has_tag) {
        true => ImportError::TagElsewhere { tag: tag.to_owned() },
        false => ImportError::UnknownTag { tag: tag.to_owned(), path: path(repository) },
    })
}

fn path(repository: &dyn Repository) -> String {
    repository.root().display().to_string()
}
