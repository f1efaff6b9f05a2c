//! What a project says of where its migrations are: three keys of `[tool.django-rollback]` in `pyproject.toml`.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use crate::error::{ProjectError, RevisionError};
use crate::ports::{Files, RepositoryError};

/// The file with the settings.
pub const CONFIG_FILE: &str = "pyproject.toml";

/// The name of our table below `[tool]`.
const TABLE: &str = "django-rollback";

/// Where a project's migrations are, if the text of the project alone does not tell.
#[derive(Clone, Debug, Default)]
pub struct ProjectSettings {
    exclude: Vec<PathPattern>,
    /// As Django's `MIGRATION_MODULES`.
    pub migration_modules: BTreeMap<String, String>,
    /// The settings that `swappable_dependency` reads.
    pub settings: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, expecting = "a table")]
struct Table {
    exclude: Vec<String>,
    migration_modules: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a table")]
struct Tools {
    #[serde(rename = "django-rollback")]
    rollback: Table,
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "a table")]
struct Document {
    tool: Tools,
}

impl ProjectSettings {
    /// The settings out of their three keys.
    pub fn new(
        exclude: &[String],
        migration_modules: BTreeMap<String, String>,
        settings: BTreeMap<String, String>,
    ) -> Result<Self, ProjectError> {
        let exclude = exclude.iter().map(|path| PathPattern::new(path)).collect::<Result<_, _>>()?;
        Ok(Self { exclude, migration_modules, settings })
    }

    /// Reads `pyproject.toml`. Other keys of our table are left to those who use them.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let document: Document = toml::from_str(text).map_err(|error| unreadable(text, &error))?;
        let Table { exclude, migration_modules, settings } = document.tool.rollback;
        Self::new(&exclude, migration_modules, settings)
    }

    /// Reads `pyproject.toml` among these files, if it is there.
    pub fn of_files(files: &dyn Files) -> Result<Self, RevisionError> {
        let text = config_text(files)?.unwrap_or_default();
        Self::parse(&text).map_err(|error| RevisionError::Project { path: CONFIG_FILE.to_owned(), error })
    }

    /// Whether a `pyproject.toml` has our table, or cannot be read and names us.
    pub fn is_in(text: &str) -> bool {
        match text.parse::<toml::Table>() {
            Ok(document) => document.get("tool").is_some_and(|tools| tools.get(TABLE).is_some()),
            Err(_) => text.contains(TABLE),
        }
    }

    /// The same without exclusions: every file counts.
    pub fn with_all_files(&self) -> Self {
        Self { exclude: Vec::new(), ..self.clone() }
    }

    /// Whether the project excludes a file.
    pub fn is_excluded(&self, path: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }
}

/// The text of `pyproject.toml` in these files; `None` if there is no such file.
pub fn config_text(files: &dyn Files) -> Result<Option<String>, RepositoryError> {
    let Some(index) = files.paths().iter().position(|path| path == CONFIG_FILE) else { return Ok(None) };
    let bytes = files.reader()?.read(index)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What is wrong with a text that is not TOML, or with a table that is not ours, with its line.
pub fn unreadable(text: &str, error: &toml::de::Error) -> ProjectError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let what = error.message().lines().collect::<Vec<_>>().join(", ");
    ProjectError { message: line.map_or(what.clone(), |line| format!("line {line}: {what}")) }
}

/// A pattern for paths. It also matches what is inside of a matching folder.
#[derive(Clone, Debug)]
pub struct PathPattern(GlobMatcher);

impl PathPattern {
    /// The pattern that this text means (<https://docs.rs/globset>).
    pub fn new(path: &str) -> Result<Self, ProjectError> {
        let glob = Glob::new(path.trim_end_matches('/')).map_err(|error| ProjectError {
            message: format!("{path:?} is not a valid path pattern: {error}"),
        })?;
        Ok(Self(glob.compile_matcher()))
    }

    /// Whether it matches a path, or a folder that the path is in.
    pub fn matches(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        std::iter::once(path).chain(folders).any(|path| self.0.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(settings: &str, path: &str) -> bool {
        let text = format!("[tool.django-rollback]\n{settings}");
        ProjectSettings::parse(&text).expect("valid settings").is_excluded(path)
    }

    #[test]
    fn a_pattern_matches_what_is_inside_of_a_folder() {
        assert!(excluded("exclude = ['examples/']", "examples/shop/migrations/0001.py"));
        assert!(excluded("exclude = ['**/old']", "src/old/0001.py"));
        assert!(!excluded("exclude = ['examples']", "shop/migrations/0001.py"));
    }

    #[test]
    fn keys_of_others_do_not_matter() {
        assert!(!excluded("select = ['RB']\nlevels = 3", "shop/migrations/0001.py"));
        assert!(ProjectSettings::parse("").is_ok());
        assert!(ProjectSettings::parse("[tool.black]\nline-length = 100").is_ok());
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_line() {
        let error = ProjectSettings::parse("[tool.django-rollback]\nexclude = 3").unwrap_err();
        assert_eq!(error.to_string(), "line 2: invalid type: integer `3`, expected a sequence");
        let error = ProjectSettings::parse("[tool.django-rollback]\nexclude = ['[']").unwrap_err();
        assert!(error.to_string().starts_with("\"[\" is not a valid path pattern"), "{error}");
    }

    #[test]
    fn our_table_is_found_also_in_a_text_that_cannot_be_read() {
        assert!(ProjectSettings::is_in("[tool.django-rollback]"));
        assert!(ProjectSettings::is_in("[tool.django-rollback"));
        assert!(!ProjectSettings::is_in("[tool.black]"));
    }
}
