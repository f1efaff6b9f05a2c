//! `[tool.django-rollback]` of `pyproject.toml`.

use std::collections::BTreeMap;

use rollback_revision::{
    CONFIG_FILE, Files, PathPattern, ProjectError, ProjectSettings, RevisionError, config_text,
};
use serde::Deserialize;

use crate::finding::Finding;
use crate::rules::{Level, RULES, Rule};
use crate::vendor::Vendor;

/// Which rules a project applies, and where its migrations are.
#[derive(Clone, Debug, Default)]
pub struct Config {
    select: Option<Vec<String>>,
    ignore: Vec<String>,
    levels: BTreeMap<String, Level>,
    per_app: BTreeMap<String, Vec<String>>,
    per_path: Vec<(PathPattern, Vec<String>)>,
    /// The lowest level that makes the command fail; `Some(None)` for never.
    pub fail_on: Option<Option<Level>>,
    /// The only kind of database that the project uses.
    pub database: Option<Vendor>,
    /// Where its migrations are.
    pub project: ProjectSettings,
}

/// What is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong, in one line or a few.
    pub message: String,
}

impl From<ProjectError> for ConfigError {
    fn from(error: ProjectError) -> Self {
        Self { message: error.message }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct Document {
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "a table")]
struct Tools {
    #[serde(default, rename = "django-rollback")]
    rollback: Option<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a table")]
struct Table {
    select: Option<Vec<String>>,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    levels: BTreeMap<String, String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    per_app_ignores: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    per_path_ignores: BTreeMap<String, Vec<String>>,
    fail_on: Option<String>,
    database: Option<String>,
    #[serde(default)]
    migration_modules: BTreeMap<String, String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

impl Config {
    /// Reads `pyproject.toml`. A file without our table is the same as no file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document: Document =
            toml::from_str(text).map_err(|error| rollback_revision::unreadable(text, &error))?;
        document.tool.rollback.map_or_else(|| Ok(Self::default()), Self::of)
    }

    /// Reads `pyproject.toml` among these files, if it is there; `folder` is the prefix of its path in messages.
    pub fn of_files(files: &dyn Files, folder: &str) -> Result<Self, RevisionError> {
        let Some(text) = config_text(files)? else { return Ok(Self::default()) };
        let wrong = |ConfigError { message }| RevisionError::Project {
            path: format!("{folder}{CONFIG_FILE}"),
            error: ProjectError { message },
        };
        Self::parse(&text).map_err(wrong)
    }

    fn of(table: Table) -> Result<Self, ConfigError> {
        let levels = table.levels.into_iter().map(|(code, word)| Ok((known(code)?, level(&word)?)));
        let per_path = table
            .per_path_ignores
            .into_iter()
            .map(|(path, codes)| Ok((PathPattern::new(&path)?, all_known(codes)?)));
        let per_app = table.per_app_ignores.into_iter().map(|(app, codes)| Ok((app, all_known(codes)?)));
        Ok(Self {
            select: table.select.map(all_known).transpose()?,
            ignore: all_known(table.ignore)?,
            levels: levels.collect::<Result<_, ConfigError>>()?,
            per_app: per_app.collect::<Result<_, ConfigError>>()?,
            per_path: per_path.collect::<Result<_, ConfigError>>()?,
            fail_on: table.fail_on.as_deref().map(fail_on).transpose()?,
            database: table.database.as_deref().map(vendor).transpose()?,
            project: ProjectSettings::new(&table.exclude, table.migration_modules, table.settings)?,
        })
    }

    /// Adds the options of the command line, which override the file.
    pub fn override_by(&mut self, select: &[String], ignore: &[String]) -> Result<(), ConfigError> {
        if !select.is_empty() {
            self.select = Some(all_known(select.to_vec())?);
            self.ignore.clear();
        }
        self.ignore.extend(all_known(ignore.to_vec())?);
        Ok(())
    }

    /// The finding with the level that the project sets. `None` if the project ignores it.
    pub fn judge(&self, mut finding: Finding) -> Option<Finding> {
        let rule = finding.rule;
        let named = |codes: &[String]| codes.iter().any(|code| is_meant(rule, code));
        let is_selected = self.select.as_deref().is_none_or(named);
        let per_app = self.per_app.get(&finding.migration.app).is_some_and(|codes| named(codes));
        let path = &finding.place.path;
        let per_path = self.per_path.iter().any(|(pattern, codes)| pattern.matches(path) && named(codes));
        let is_excluded = self.project.is_excluded(path);
        if !is_selected || named(&self.ignore) || per_app || per_path || is_excluded {
            return None;
        }
        // The longest match wins: a name or a whole code before a prefix.
        let meant = self.levels.iter().filter(|(code, _)| is_meant(rule, code));
        let set = meant.max_by_key(|(code, _)| code.len()).map(|(_, level)| *level);
        finding.level = set.unwrap_or(finding.level);
        Some(finding)
    }
}

/// Whether a code, a prefix of one, or a name means this rule.
fn is_meant(rule: &Rule, code: &str) -> bool {
    code == "ALL" || rule.code.starts_with(code) || rule.name == code
}

fn all_known(codes: Vec<String>) -> Result<Vec<String>, ConfigError> {
    codes.into_iter().map(known).collect()
}

fn known(code: String) -> Result<String, ConfigError> {
    let upper = code.to_uppercase();
    let is_code = |code: &str| code == "ALL" || RULES.iter().any(|rule| rule.code.starts_with(code));
    match (!code.is_empty() && is_code(&upper), RULES.iter().any(|rule| rule.name == code)) {
        (true, _) => Ok(upper),
        (_, true) => Ok(code),
        _ => Err(ConfigError { message: format!("unknown rule {code:?}") }),
    }
}

fn level(word: &str) -> Result<Level, ConfigError> {
    match word {
        "note" => Ok(Level::Note),
        "warning" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        other => Err(ConfigError { message: format!("unknown level {other:?}: use note, warning or error") }),
    }
}

/// The lowest level that makes the command fail. `None` for `never`.
pub fn fail_on(word: &str) -> Result<Option<Level>, ConfigError> {
    if word == "never" { Ok(None) } else { level(word).map(Some) }
}

fn vendor(word: &str) -> Result<Vendor, ConfigError> {
    match word {
        "postgresql" => Ok(Vendor::Postgresql),
        "sqlite" => Ok(Vendor::Sqlite),
        other => {
            Err(ConfigError { message: format!("unsupported database {other:?}: use postgresql or sqlite") })
        }
    }
}
