//! The file that a `sqlite://` URL names.

use std::path::{Path, PathBuf};

use super::UrlError;
use super::ignored::refuse_unless_ignored;
use super::split::{Split, decode};

/// The path after the third slash.
pub(super) fn path(split: &Split<'_>) -> Result<PathBuf, UrlError> {
    if split.hosts == ":memory:" || split.path == ":memory:" {
        return Err(UrlError::InMemory);
    }
    if !split.hosts.is_empty() || split.user.is_some() || split.password.is_some() {
        return Err(UrlError::SqliteHost);
    }
    for (name, _) in &split.query {
        refuse_unless_ignored(name)?;
    }
    match decode(split.path, "path")? {
        path if path.is_empty() => Err(UrlError::NoSqlitePath),
        path => Ok(absolute_if_only_that_exists(PathBuf::from(path))),
    }
}

/// `srv/app/db.sqlite3` may have been meant as `/srv/app/db.sqlite3`.
fn absolute_if_only_that_exists(path: PathBuf) -> PathBuf {
    let absolute = Path::new("/").join(&path);
    if path.exists() || !absolute.exists() { path } else { absolute }
}
