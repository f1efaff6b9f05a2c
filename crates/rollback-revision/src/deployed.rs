//! Which commit is being deployed: the one documented order of places to look.
//!
//! 1. `--commit`; 2. `DJANGO_ROLLBACK_COMMIT`; 3. the git repository at the path, or the nearest one above it, or
//!    around `manage.py`; 4. the variables that platforms set ([`PLATFORM_VARIABLES`]); 5. the file
//!    [`STAMP_FILE`], which `stamp` writes when an image is built.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rollback_core::{CommitError, CommitId};
use serde::{Deserialize, Serialize};

use crate::ports::{Repository, RepositoryError};

/// The variable that names the commit before git is asked.
pub const COMMIT_VARIABLE: &str = "DJANGO_ROLLBACK_COMMIT";

/// Tags of that commit, separated by spaces or commas, for images without a `.git`.
pub const TAGS_VARIABLE: &str = "DJANGO_ROLLBACK_TAGS";

/// Where platforms put the commit of a deploy, in the order in which they are asked, with who sets it.
pub const PLATFORM_VARIABLES: &[(&str, &str)] = &[
    ("GIT_COMMIT", "Jenkins"),
    ("SOURCE_VERSION", "Heroku and Scalingo builds"),
    ("HEROKU_SLUG_COMMIT", "Heroku dyno metadata"),
    ("HEROKU_BUILD_COMMIT", "Heroku dyno metadata"),
    ("RENDER_GIT_COMMIT", "Render"),
    ("RAILWAY_GIT_COMMIT_SHA", "Railway"),
    ("VERCEL_GIT_COMMIT_SHA", "Vercel"),
    ("CODEBUILD_RESOLVED_SOURCE_VERSION", "AWS CodeBuild"),
    ("GITHUB_SHA", "GitHub Actions, Forgejo and Gitea Actions"),
    ("CI_COMMIT_SHA", "GitLab CI, Woodpecker"),
    ("BITBUCKET_COMMIT", "Bitbucket Pipelines"),
    ("CIRCLE_SHA1", "CircleCI"),
    ("BUILD_SOURCEVERSION", "Azure Pipelines"),
    ("BUILDKITE_COMMIT", "Buildkite"),
    ("DRONE_COMMIT_SHA", "Drone"),
    ("TRAVIS_COMMIT", "Travis CI"),
    ("SEMAPHORE_GIT_SHA", "Semaphore"),
    ("APPVEYOR_REPO_COMMIT", "AppVeyor"),
    ("CF_REVISION", "Codefresh"),
    ("COMMIT_SHA", "Google Cloud Build substitutions, DigitalOcean, hand-written pipelines"),
    ("GIT_SHA", "hand-written pipelines"),
    ("COMMIT_REF", "Netlify"),
];

/// The file that carries the commit into an image without a `.git`.
pub const STAMP_FILE: &str = ".django-rollback-release";

/// Where to look.
pub struct Surroundings<'a> {
    /// `--commit`, when it was given.
    pub commit: Option<&'a str>,
    /// The environment's variables.
    pub variables: &'a BTreeMap<String, String>,
    /// Further variables to ask before the platforms' (setting `COMMIT_VARIABLES`).
    pub more_variables: &'a [String],
    /// The repository's path: `-p`, or the working directory.
    pub path: &'a Path,
    /// The folder of `manage.py`, looked at as well when no path was given.
    pub project: Option<&'a Path>,
    /// Opens the repository at a path or the nearest one above it.
    pub open: OpenRepository<'a>,
}

/// How a repository is found and opened.
pub type OpenRepository<'a> = &'a dyn Fn(&Path) -> Result<Option<Box<dyn Repository>>, RepositoryError>;

/// The commit of a deploy, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The commit.
    pub commit: CommitId,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Where it was found: `the git repository at /src`, `GITHUB_SHA`.
    pub place: String,
}

/// Why the commit is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployedError {
    /// A place that was named on purpose holds no commit.
    #[error("{place}: {error}")]
    Invalid {
        /// `--commit` or a variable of ours.
        place: String,
        /// What is wrong.
        error: CommitError,
    },
    /// The stamp cannot be read.
    #[error("the file {path} is not what `django-rollback stamp` writes: {reason}")]
    Stamp {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The repository has no commit, and no other place named one.
    #[error("the git repository at {path} has no commit yet, and no variable or file names one{ignored}")]
    EmptyRepository {
        /// The repository.
        path: String,
        /// Variables that are set to something else than a commit.
        ignored: String,
    },
    /// No place named one.
    #[error(
        "the commit of this deploy is not known: there is no git repository at {path} or above it, and no variable or file names one{ignored}"
    )]
    Unknown {
        /// Where git was looked for.
        path: String,
        /// Variables that are set to something else than a commit.
        ignored: String,
    },
    /// The repository is broken, and no other place named the commit.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl DeployedError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => Some("give the full hash: `git rev-parse HEAD` prints it".to_owned()),
            Self::Stamp { path, .. } => {
                Some(format!("write it again with `django-rollback stamp`, or delete {path}"))
            }
            Self::EmptyRepository { .. } | Self::Unknown { .. } => Some(format!(
                "give it with `--commit`, set {COMMIT_VARIABLE}, point `-p` at the repository, or run \
                 `django-rollback stamp` when the image is built"
            )),
            Self::Repository(error) => error.hint.clone(),
        }
    }
}

/// Finds the commit of this deploy.
pub fn find(around: &Surroundings<'_>) -> Result<Found, DeployedError> {
    if let Some(commit) = around.commit {
        return named("--commit", commit, around);
    }
    if let Some(commit) = variable(around, COMMIT_VARIABLE) {
        return named(COMMIT_VARIABLE, commit, around);
    }
    let in_git = from_git(around);
    if let Ok(Some(found)) = in_git {
        return Ok(found);
    }
    if let Some(found) = from_platform(around) {
        return Ok(found);
    }
    if let Some(found) = from_stamp(around)? {
        return Ok(found);
    }
    Err(in_git.err().unwrap_or_else(|| unknown(around)))
}

/// The repository that `find` would ask, if there is one.
pub fn repository(around: &Surroundings<'_>) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
    match ((around.open)(around.path)?, around.project) {
        (Some(repository), _) => Ok(Some(repository)),
        (None, Some(project)) => (around.open)(project),
        (None, None) => Ok(None),
    }
}

fn named(place: &str, text: &str, around: &Surroundings<'_>) -> Result<Found, DeployedError> {
    let commit = text.parse().map_err(|error| DeployedError::Invalid { place: place.to_owned(), error })?;
    Ok(Found { tags: known_tags(&commit, around), commit, place: place.to_owned() })
}

fn from_git(around: &Surroundings<'_>) -> Result<Option<Found>, DeployedError> {
    let Some(repository) = repository(around)? else {
        return Ok(None);
    };
    let path = repository.root().display().to_string();
    let Some(commit) = repository.head()? else {
        return Err(DeployedError::EmptyRepository { path, ignored: ignored(around) });
    };
    let tags = with_tags_variable(tags_of(repository.as_ref(), &commit)?, around);
    Ok(Some(Found { commit, tags, place: format!("the git repository at {path}") }))
}

fn from_platform(around: &Surroundings<'_>) -> Option<Found> {
    variables(around).find_map(|name| {
        let commit: CommitId = variable(around, name)?.parse().ok()?;
        Some(Found { tags: known_tags(&commit, around), commit, place: name.to_owned() })
    })
}

/// The tags of a commit that was named by a variable: from the repository, the stamp, and the variable for tags.
/// What cannot be read is no reason to refuse: the commit is known.
fn known_tags(commit: &CommitId, around: &Surroundings<'_>) -> Vec<String> {
    let in_git =
        repository(around).ok().flatten().and_then(|repository| tags_of(repository.as_ref(), commit).ok());
    let stamped = from_stamp(around).ok().flatten().filter(|stamped| stamped.commit == *commit);
    let tags = in_git.into_iter().flatten().chain(stamped.into_iter().flat_map(|stamped| stamped.tags));
    with_tags_variable(tags.collect(), around)
}

/// What `stamp` writes.
#[derive(Serialize, Deserialize)]
struct Stamp {
    format: u32,
    commit: CommitId,
    #[serde(default)]
    tags: Vec<String>,
}

const STAMP_FORMAT: u32 = 1;

/// The text of a stamp file for this commit.
pub fn stamp(found: &Found) -> String {
    let stamp = Stamp { format: STAMP_FORMAT, commit: found.commit.clone(), tags: found.tags.clone() };
    let mut text = serde_json::to_string(&stamp).expect("strings are always valid JSON");
    text.push('\n');
    text
}

fn from_stamp(around: &Surroundings<'_>) -> Result<Option<Found>, DeployedError> {
    let folders = around.path.ancestors().chain(around.project);
    let Some(path) = folders.map(|folder| folder.join(STAMP_FILE)).find(|path| path.is_file()) else {
        return Ok(None);
    };
    let wrong = |reason: String| DeployedError::Stamp { path: path.display().to_string(), reason };
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let stamp: Stamp = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if stamp.format > STAMP_FORMAT {
        return Err(wrong(format!(
            "it has format {}, but this version reads at most format {STAMP_FORMAT}",
            stamp.format
        )));
    }
    let place = format!("the file {}", path.display());
    Ok(Some(Found { commit: stamp.commit, tags: with_tags_variable(stamp.tags, around), place }))
}

fn unknown(around: &Surroundings<'_>) -> DeployedError {
    DeployedError::Unknown { path: absolute(around.path), ignored: ignored(around) }
}

/// The variables that could have named the commit and hold something else, for the end of a sentence.
fn ignored(around: &Surroundings<'_>) -> String {
    let set: Vec<&str> = variables(around).filter(|name| variable(around, name).is_some()).collect();
    if set.is_empty() { String::new() } else { format!(" ({} set, but to no full hash)", set.join(", ")) }
}

/// The variables of the project's own choice, then those that platforms set.
fn variables<'a>(around: &Surroundings<'a>) -> impl Iterator<Item = &'a str> {
    let own = around.more_variables.iter().map(String::as_str);
    own.chain(PLATFORM_VARIABLES.iter().map(|(name, _)| *name))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}

/// A variable that is set to something: an empty one counts as unset, as in most programs.
fn variable<'a>(around: &Surroundings<'a>, name: &str) -> Option<&'a str> {
    around.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn with_tags_variable(mut tags: Vec<String>, around: &Surroundings<'_>) -> Vec<String> {
    let more = variable(around, TAGS_VARIABLE).unwrap_or_default();
    tags.extend(more.split([',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned));
    tags.sort();
    tags.dedup();
    tags
}

fn tags_of(repository: &dyn Repository, commit: &CommitId) -> Result<Vec<String>, RepositoryError> {
    let tags = repository.tags()?.into_iter();
    Ok(tags.filter(|(_, target)| target == commit).map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Files;

    struct FakeRepository(Option<CommitId>);

    impl Repository for FakeRepository {
        fn root(&self) -> PathBuf {
            "/src".into()
        }

        fn head(&self) -> Result<Option<CommitId>, RepositoryError> {
            Ok(self.0.clone())
        }

        fn tags(&self) -> Result<Vec<(String, CommitId)>, RepositoryError> {
            Ok(vec![("v1".to_owned(), commit("aa")), ("v2".to_owned(), commit("bb"))])
        }

        fn resolve(&self, _: &str) -> Result<Option<CommitId>, RepositoryError> {
            unreachable!("the commit of a deploy is never a revision")
        }

        fn ancestors(&self, _: &CommitId) -> Result<Vec<CommitId>, RepositoryError> {
            unreachable!("history plays no part here")
        }

        fn committed_at(&self, _: &CommitId) -> Result<i64, RepositoryError> {
            unreachable!("clocks play no part here")
        }

        fn is_shallow(&self) -> bool {
            false
        }

        fn files(&self, _: &CommitId) -> Result<Box<dyn Files>, RepositoryError> {
            unreachable!("files play no part here")
        }

        fn work_tree(&self) -> Result<Option<Box<dyn Files>>, RepositoryError> {
            unreachable!("files play no part here")
        }
    }

    fn commit(digits: &str) -> CommitId {
        digits.repeat(20).parse().unwrap()
    }

    /// `git`: `None` for no repository, `Some(None)` for an empty one.
    fn check(
        release: Option<&str>,
        variables: &[(&str, &str)],
        git: Option<Option<CommitId>>,
        expected: &str,
    ) {
        let folder = tempfile::tempdir().unwrap();
        check_in(folder.path(), release, variables, git, expected);
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn check_in(
        folder: &Path,
        release: Option<&str>,
        variables: &[(&str, &str)],
        git: Option<Option<CommitId>>,
        expected: &str,
    ) {
        let open =
            |_: &Path| Ok(git.clone().map(|head| Box::new(FakeRepository(head)) as Box<dyn Repository>));
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = find(&Surroundings {
            commit: release,
            variables: &variables,
            more_variables: &["OUR_SHA".to_owned()],
            path: folder,
            project: None,
            open: &open,
        });
        let text = match found {
            Ok(found) => format!("{} [{}] {}", found.commit.short(), found.tags.join(" "), found.place),
            Err(error) => error.to_string(),
        };
        let place = folder.display().to_string();
        assert_eq!(text.replace(&place, "DIR"), expected);
    }

    #[test]
    fn the_order_of_places() {
        let (a, b, c) = ("aa".repeat(20), "bb".repeat(20), "cc".repeat(20));
        let variables = [(COMMIT_VARIABLE, b.as_str()), ("GITHUB_SHA", c.as_str()), ("OUR_SHA", a.as_str())];
        let head = || Some(Some(commit("dd")));
        check(Some(&a), &variables, head(), "aaaaaaa [v1] --commit");
        check(None, &variables, head(), "bbbbbbb [v2] DJANGO_ROLLBACK_COMMIT");
        check(None, &variables[1..], head(), "ddddddd [] the git repository at /src");
        check(None, &variables[1..], None, "aaaaaaa [] OUR_SHA");
        check(None, &variables[1..2], Some(None), "ccccccc [] GITHUB_SHA");
    }

    #[test]
    fn tags_may_come_from_a_variable() {
        let variables = [("GITHUB_SHA", "cc".repeat(20)), (TAGS_VARIABLE, "v3, stable".to_owned())];
        let variables =
            [(variables[0].0, variables[0].1.as_str()), (variables[1].0, variables[1].1.as_str())];
        check(None, &variables, None, "ccccccc [stable v3] GITHUB_SHA");
    }

    #[test]
    fn nothing_to_be_found() {
        check(
            None,
            &[],
            Some(None),
            "the git repository at /src has no commit yet, and no variable or file names one",
        );
        check(
            None,
            &[("GIT_COMMIT", "unknown"), (COMMIT_VARIABLE, "")],
            None,
            "the commit of this deploy is not known: there is no git repository at DIR or above it, and no variable \
             or file names one (GIT_COMMIT set, but to no full hash)",
        );
        check(
            Some("v1"),
            &[],
            None,
            "--commit: `v1` is not a commit hash: it may only contain the digits 0-9 and a-f",
        );
        check(
            None,
            &[(COMMIT_VARIABLE, "aaaa")],
            None,
            "DJANGO_ROLLBACK_COMMIT: `aaaa` is not a full commit hash: it has 4 digits, not 40 or 64",
        );
    }

    #[test]
    fn the_page_about_the_commit_lists_the_same_variables_in_the_same_order() {
        let page = include_str!("../../../docs/commit.md");
        let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        let expected: Vec<String> =
            PLATFORM_VARIABLES.iter().map(|(name, who)| format!("{name}` | {who} |")).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_stamp_goes_round() {
        let folder = tempfile::tempdir().unwrap();
        let written =
            stamp(&Found { commit: commit("ab"), tags: vec!["v7".to_owned()], place: String::new() });
        fs::write(folder.path().join(STAMP_FILE), written).unwrap();
        check_in(folder.path(), None, &[], None, "abababa [v7] the file DIR/.django-rollback-release");
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(folder.path().join("a").join(STAMP_FILE), "{}").unwrap();
        check_in(
            &below,
            None,
            &[],
            None,
            &format!(
                "the file {}/a/.django-rollback-release is not what `django-rollback stamp` writes: missing field \
             `format` at line 1 column 2",
                folder.path().display()
            ),
        );
    }
}
