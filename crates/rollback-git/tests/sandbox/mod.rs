//! Real repositories for tests, built with the `git` program.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollback_git::{GitRepository, discover};
use tempfile::TempDir;

/// A folder outside every repository, in which `git` runs without any configuration of the machine's or the user's.
pub(crate) struct Sandbox {
    pub(crate) root: PathBuf,
    _folder: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { root: folder.path().canonicalize().unwrap(), _folder: folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.git(&self.root, ["init", "-b", "main", name]);
        self.path(name)
    }

    /// Makes a commit and returns its id.
    pub(crate) fn commit(&self, repository: &Path, message: &str) -> String {
        self.git(repository, ["commit", "--allow-empty", "-m", message]);
        self.git(repository, ["rev-parse", "HEAD"])
    }

    pub(crate) fn git<const N: usize>(&self, folder: &Path, arguments: [impl AsRef<OsStr>; N]) -> String {
        self.try_git(folder, arguments).unwrap()
    }

    /// What `git` says on stdout, or on stderr if it fails.
    pub(crate) fn try_git<const N: usize>(
        &self,
        folder: &Path,
        arguments: [impl AsRef<OsStr>; N],
    ) -> Result<String, String> {
        let output = self.command(folder, arguments).output().expect("these tests need the `git` program");
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A `git` that is about to run.
    pub(crate) fn command<const N: usize>(
        &self,
        folder: &Path,
        arguments: [impl AsRef<OsStr>; N],
    ) -> Command {
        let date = "2026-05-04T12:00:00+00:00";
        let environment = BTreeMap::from([
            ("HOME", self.root.to_str().unwrap()),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ada"),
            ("GIT_AUTHOR_EMAIL", "ada@example.com"),
            ("GIT_AUTHOR_DATE", date),
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@example.com"),
            ("GIT_COMMITTER_DATE", date),
        ]);
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment);
        command
    }
}

/// The repository at `path` or around it.
pub(crate) fn open(path: &Path) -> GitRepository {
    discover(path).unwrap().unwrap()
}
