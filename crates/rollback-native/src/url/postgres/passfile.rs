//! The password file of libpq, `~/.pgpass`: lines of `host:port:database:user:password`.
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::fs;
use std::path::{Path, PathBuf};

/// A password file, before a line is looked up in it.
pub(super) enum PasswordFile {
    /// There is none, or it cannot be read.
    Absent,
    /// Other users can read it: as in libpq, it is ignored.
    Exposed(PathBuf),
    /// Its text.
    Text(String),
}

/// The connection that a password is for.
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl PasswordFile {
    /// Reads the file if it is a plain file that only its owner can read.
    pub(super) fn read(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => Self::Absent,
            Ok(metadata) if is_exposed(&metadata) => Self::Exposed(path.to_owned()),
            Ok(_) => fs::read_to_string(path).map_or(Self::Absent, Self::Text),
            Err(_) => Self::Absent,
        }
    }

    /// The password in the first line that matches.
    pub(super) fn find(&self, login: &Login<'_>) -> Option<String> {
        let Self::Text(text) = self else { return None };
        text.lines().find_map(|line| password_in(line, login))
    }
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_metadata: &fs::Metadata) -> bool {
    false
}

fn password_in(line: &str, login: &Login<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, user, password] = fields.get(..5)? else {
        return None;
    };
    let port_text = login.port.to_string();
    let wanted = [(host, login.host), (port, &port_text), (database, login.database), (user, login.user)];
    let fits = wanted.iter().all(|(field, value)| **field == "*" || unescape(field) == **value);
    fits.then(|| unescape(password)).filter(|password| !password.is_empty())
}

/// Cuts a line at each `:` that has no backslash before it.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c == ':' && !escaped {
            fields.push(&line[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    fields.push(&line[start..]);
    fields
}

/// Removes the backslash before each escaped character.
fn unescape(field: &str) -> String {
    let mut chars = field.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        let literal = if c == '\\' { chars.next() } else { Some(c) };
        text.extend(literal);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let login = Login { host: "db.example", port: 5432, database: "shop", user: "bob" };
        let file = PasswordFile::Text(text.to_owned());
        assert_eq!(file.find(&login).as_deref(), expected, "{text}");
    }

    #[test]
    fn finds_the_first_line_that_fits() {
        check("db.example:5432:shop:bob:pw", Some("pw"));
        check("*:*:*:*:any", Some("any"));
        check(
            "# db.example:5432:shop:bob:no\nother:5432:shop:bob:no\n*:5432:*:bob:yes\n*:*:*:*:late",
            Some("yes"),
        );
        check("db.example:5433:shop:bob:pw", None);
        check("db.example:5432:shop:alice:pw", None);
        check("db.example:5432:shop:bob", None);
        check("db.example:5432:shop:bob:", None);
        check("", None);
    }

    #[test]
    fn takes_backslashes_away() {
        check(r"db\.example:5432:shop:bob:a\:b\\c", Some(r"a:b\c"));
        check(r"db.example:5432:shop:bob:pw:rest", Some("pw"));
        check(r"\*:5432:shop:bob:pw", None);
    }
}
