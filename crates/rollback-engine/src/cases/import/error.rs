//! Why nothing can be imported.

use rollback_revision::RevisionError;

/// Why nothing can be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// An imported release would be the current one.
    #[error("no release is saved yet, and an imported one is never the current one")]
    NothingSaved,
    /// What was applied at the oldest release is not certain, so nothing can be told of what came before.
    #[error("what was applied at the oldest release, {oldest}, is not certain: {reason}")]
    Uncertain {
        /// Its label.
        oldest: String,
        /// Why not.
        reason: String,
    },
    /// The repository has no commit.
    #[error("the git repository at {path} has no commit yet")]
    NoCommit {
        /// Where it is.
        path: String,
    },
    /// Tags and commits are missing in the clone.
    #[error("the clone at {path} is shallow: the order of its tags is unknown")]
    Shallow {
        /// Where it is.
        path: String,
    },
    /// The repository does not have the commit of the oldest release.
    #[error("the oldest release in the list, {oldest}, is not in the git repository at {path}")]
    Unrelated {
        /// Its label.
        oldest: String,
        /// Where the repository is.
        path: String,
    },
    /// No tag leads to a commit.
    #[error("the git repository at {path} has no tags")]
    NoTags {
        /// Where it is.
        path: String,
    },
    /// `--since` names no tag.
    #[error("there is no tag {tag} in {path}")]
    UnknownTag {
        /// What the user gave.
        tag: String,
        /// Where the repository is.
        path: String,
    },
    /// `--since` names a tag outside the history of HEAD.
    #[error("tag {tag} is not in the history of HEAD")]
    TagElsewhere {
        /// What the user gave.
        tag: String,
    },
    /// The migrations of a commit cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
}

impl ImportError {
    /// Whether the arguments are at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownTag { .. } | Self::TagElsewhere { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NothingSaved => "run `save` in the deploy that is running now, then `import`",
            Self::Uncertain { .. } => "older releases cannot be rebuilt; those in the list stay as they are",
            Self::NoCommit { .. } => "point `-p` at the repository of the project",
            Self::Shallow { .. } => "fetch the rest: `git fetch --unshallow --tags`",
            Self::Unrelated { .. } => {
                "point `-p` at the repository of the project, or fetch: `git fetch --all --tags`"
            }
            Self::NoTags { .. } => {
                "fetch them: `git fetch --tags`; a release without a tag cannot be imported"
            }
            Self::UnknownTag { .. } => "`git tag` lists them; `git fetch --tags` fetches those of the origin",
            Self::TagElsewhere { .. } => "check out the branch that it is on, or begin with another tag",
            Self::Revision(RevisionError::Repository(error)) => return error.hint.clone(),
            Self::Revision(RevisionError::Project { .. }) => "fix it in the commit that is checked out",
        };
        Some(hint.to_owned())
    }
}
