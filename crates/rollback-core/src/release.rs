//! Releases: what was deployed, and how a user names the one to go back to.

use serde::{Deserialize, Serialize};

use crate::commit::{CommitId, CommitPrefix};

/// A deployed commit, as the list of releases shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Insertion number: newer releases have higher ones. No clock decides the order.
    #[serde(skip)]
    pub id: i64,
    /// The commit.
    pub commit: CommitId,
    /// The tags that pointed to it when it was saved, sorted.
    pub tags: Vec<String>,
    /// When it was saved, by the database's clock: RFC 3339, UTC. For an imported release, when its commit was made.
    pub saved_at: String,
}

impl Release {
    /// `03ec91e (v1.2)`: for sentences.
    pub fn label(&self) -> String {
        match self.tags.as_slice() {
            [] => self.commit.short().to_owned(),
            tags => format!("{} ({})", self.commit.short(), tags.join(", ")),
        }
    }
}

/// The release that the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one saved before the current one.
    Previous,
    /// The one whose commit starts with these digits.
    Commit(CommitPrefix),
    /// The one that was saved under this tag.
    Tag {
        /// The tag's name.
        name: String,
        /// The commit that it names in git now; `None` without a repository that has it.
        in_git: Option<CommitId>,
    },
}

/// Why no single release matches what the user asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No release was ever saved.
    #[error("no release is saved in this database")]
    NoRelease,
    /// Only one release is saved, and it is the current one.
    #[error("no release was saved before the current one, {current}")]
    NoPrevious {
        /// Label of the current release.
        current: String,
    },
    /// No saved release has this commit.
    #[error("no release is saved for commit {commit}")]
    UnknownCommit {
        /// What the user gave.
        commit: String,
    },
    /// Several saved releases start with these digits.
    #[error("commit {prefix} is ambiguous: {candidates} releases start with it", candidates = .candidates.len())]
    AmbiguousCommit {
        /// What the user gave.
        prefix: String,
        /// The full commits with their tags, newest first.
        candidates: Vec<String>,
    },
    /// No release was saved under this tag, and git does not know it either.
    #[error("no release is saved for tag {tag}")]
    UnknownTag {
        /// What the user gave.
        tag: String,
    },
    /// Git knows the tag, but its commit was never saved.
    #[error("tag {tag} points to commit {commit}, which was never saved")]
    TagNotSaved {
        /// What the user gave.
        tag: String,
        /// Where it points in git.
        commit: CommitId,
    },
}

/// A tag that has moved in git since its release was saved. The saved release wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTag {
    /// The tag.
    pub tag: String,
    /// The commit of the release that was saved under it.
    pub saved: CommitId,
    /// The commit that it names now.
    pub now: CommitId,
}

/// Finds the release that `target` names among `releases`, which are ordered newest first.
pub fn select<'a>(
    target: &Target,
    releases: &'a [Release],
) -> Result<(&'a Release, Option<MovedTag>), SelectError> {
    let Some(current) = releases.first() else {
        return Err(SelectError::NoRelease);
    };
    match target {
        Target::Previous => releases
            .get(1)
            .map(|release| (release, None))
            .ok_or_else(|| SelectError::NoPrevious { current: current.label() }),
        Target::Commit(prefix) => by_commit(prefix, releases).map(|release| (release, None)),
        Target::Tag { name, in_git } => by_tag(name, in_git.as_ref(), releases),
    }
}

fn by_commit<'a>(prefix: &CommitPrefix, releases: &'a [Release]) -> Result<&'a Release, SelectError> {
    let found: Vec<&Release> = releases.iter().filter(|release| prefix.matches(&release.commit)).collect();
    match found.as_slice() {
        [] => Err(SelectError::UnknownCommit { commit: prefix.to_string() }),
        [release] => Ok(release),
        several => Err(SelectError::AmbiguousCommit {
            prefix: prefix.to_string(),
            candidates: several.iter().map(|release| candidate(release)).collect(),
        }),
    }
}

fn candidate(release: &Release) -> String {
    match release.tags.as_slice() {
        [] => release.commit.to_string(),
        tags => format!("{} ({})", release.commit, tags.join(", ")),
    }
}

fn by_tag<'a>(
    tag: &str,
    in_git: Option<&CommitId>,
    releases: &'a [Release],
) -> Result<(&'a Release, Option<MovedTag>), SelectError> {
    let saved_under = releases.iter().find(|release| release.tags.iter().any(|saved| saved == tag));
    match (saved_under, in_git) {
        (Some(release), Some(now)) if *now != release.commit => {
            let moved = MovedTag { tag: tag.to_owned(), saved: release.commit.clone(), now: now.clone() };
            Ok((release, Some(moved)))
        }
        (Some(release), _) => Ok((release, None)),
        (None, Some(now)) => releases
            .iter()
            .find(|release| release.commit == *now)
            .map(|release| (release, None))
            .ok_or_else(|| SelectError::TagNotSaved { tag: tag.to_owned(), commit: now.clone() }),
        (None, None) => Err(SelectError::UnknownTag { tag: tag.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digits: &str) -> CommitId {
        format!("{digits:0<40}").parse().unwrap()
    }

    /// Newest first: `ab2… (v2, stable)`, `ab1…`, `c0… (v1)`.
    fn releases() -> Vec<Release> {
        let release = |id, digits: &str, tags: &[&str]| Release {
            id,
            commit: commit(digits),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            saved_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        vec![release(9, "abcd2", &["stable", "v2"]), release(7, "abcd1", &[]), release(4, "c0ffee", &["v1"])]
    }

    fn check(target: &Target, expected: &str) {
        let releases = releases();
        let found = match select(target, &releases) {
            Ok((release, None)) => release.label(),
            Ok((release, Some(moved))) => format!("{}, moved to {}", release.label(), moved.now.short()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn previous_and_commits() {
        check(&Target::Previous, "abcd100");
        check(&Target::Commit("C0FF".parse().unwrap()), "c0ffee0 (v1)");
        check(&Target::Commit("abcd2".parse().unwrap()), "abcd200 (stable, v2)");
        check(&Target::Commit("abcd".parse().unwrap()), "commit abcd is ambiguous: 2 releases start with it");
        check(&Target::Commit("dead".parse().unwrap()), "no release is saved for commit dead");
    }

    #[test]
    fn tags() {
        let tag = |name: &str, in_git: Option<&str>| Target::Tag {
            name: name.to_owned(),
            in_git: in_git.map(commit),
        };
        check(&tag("v1", None), "c0ffee0 (v1)");
        check(&tag("v1", Some("c0ffee")), "c0ffee0 (v1)");
        check(&tag("v1", Some("abcd1")), "c0ffee0 (v1), moved to abcd100");
        check(&tag("late", Some("abcd1")), "abcd100");
        check(&tag("v9", None), "no release is saved for tag v9");
        check(
            &tag("v9", Some("beef")),
            &format!("tag v9 points to commit {}, which was never saved", commit("beef")),
        );
    }

    #[test]
    fn nothing_saved() {
        assert_eq!(select(&Target::Previous, &[]), Err(SelectError::NoRelease));
        let one = &releases()[..1];
        assert_eq!(
            select(&Target::Previous, one).unwrap_err().to_string(),
            "no release was saved before the current one, abcd200 (stable, v2)"
        );
    }
}
