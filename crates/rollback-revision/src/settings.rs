//! What the settings modules of a project say: where migrations are, and which models are swapped.

use std::collections::{BTreeMap, BTreeSet};

use rollback_source::app::{self, Settings};
use rollback_source::{Modules, NoModules, Places, Tree};

use crate::project::ProjectSettings;

/// What the settings of the project say.
pub(crate) struct Surroundings {
    /// The models that settings name.
    pub(crate) settings: BTreeMap<String, String>,
    /// The modules that hold the migrations of apps.
    pub(crate) places: Places,
    /// Every setting that is set; `None` if not all of them are known.
    pub(crate) names: Option<BTreeSet<String>>,
}

/// What the settings of the project say, those of `pyproject.toml` first. Settings modules that disagree say nothing.
pub(crate) fn surroundings(
    tree: &Tree<'_>,
    paths: &[String],
    project: &ProjectSettings,
    read: &dyn Fn(usize) -> Option<String>,
) -> Surroundings {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut modules: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut names: BTreeSet<String> = project.settings.keys().cloned().collect();
    let (mut is_whole, mut is_found) = (true, false);
    let folder = settings_folder(paths, read);
    let is_candidate = |path: &str| {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        is_settings(path) && folder.as_deref().is_none_or(|folder| folder == parent)
    };
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| is_candidate(path)) {
        let Some(text) = read(index).filter(|text| is_telling(text)) else { continue };
        let module = path.trim_end_matches(".py").replace('/', ".");
        let found = app::settings(&module, &text, &Quiet(tree));
        let Settings { texts: found, migration_modules, names: more, is_whole: one_is_whole } = found;
        is_found |= more.contains("INSTALLED_APPS");
        is_whole &= one_is_whole;
        names.extend(more);
        for (name, value) in found.into_iter().filter(|(name, _)| name.ends_with("_MODEL")) {
            texts.entry(name).or_default().insert(value);
        }
        // Tests do without migrations, or with others.
        for (app, module) in migration_modules.into_iter().filter(|_| !is_for_tests(path)) {
            modules.entry(app).or_default().insert(module);
        }
    }
    let mut settings: BTreeMap<String, String> = agreed(texts).collect();
    settings.extend(project.settings.clone());
    let mut places: BTreeMap<String, Option<String>> = agreed(modules).collect();
    let configured = project.migration_modules.iter();
    places.extend(configured.map(|(app, module)| (app.clone(), Some(module.clone()))));
    let names = (is_found && is_whole).then_some(names);
    Surroundings { settings, places: Places { modules: places }, names }
}

/// What all settings modules that say something about a name agree on.
fn agreed<T>(found: BTreeMap<String, BTreeSet<T>>) -> impl Iterator<Item = (String, T)> {
    found.into_iter().filter_map(|(name, values)| {
        let is_one = values.len() == 1;
        values.into_iter().next().filter(|_| is_one).map(|value| (name, value))
    })
}

/// The folder of the settings that the `manage.py` nearest to the root names.
fn settings_folder(paths: &[String], read: &dyn Fn(usize) -> Option<String>) -> Option<String> {
    let is_manage = |path: &str| path == "manage.py" || path.ends_with("/manage.py");
    let found = paths.iter().enumerate().filter(|(_, path)| is_manage(path));
    let (index, path) = found.min_by_key(|(_, path)| path.matches('/').count())?;
    let text = read(index)?;
    let (_, behind) = text.split_once("DJANGO_SETTINGS_MODULE")?;
    let module = behind.split(['"', '\'']).nth(2)?.replace('.', "/");
    let root = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = [root, below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let base = [root, &module].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    // A module that the repository does not have says nothing.
    let is_there = |path: &String| *path == format!("{base}.py") || *path == format!("{base}/__init__.py");
    paths.iter().any(is_there).then_some(folder)
}

/// Whether a file looks like a settings module.
fn is_settings(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    name.starts_with("settings") || folder == "settings" || folder.ends_with("/settings")
}

/// Whether a file or one of its folders is named after tests.
fn is_for_tests(path: &str) -> bool {
    const WORDS: &[&str] = &["test", "tests", "testing", "testutils", "pytest", "ci"];
    let words = path.trim_end_matches(".py").split(['/', '_', '-', '.']);
    words.into_iter().any(|word| WORDS.contains(&word))
}

fn is_telling(text: &str) -> bool {
    text.contains("INSTALLED_APPS") || text.contains("_MODEL") || text.contains("MIGRATION_MODULES")
}

/// Settings import from each other; what they import from elsewhere does not matter.
struct Quiet<'t>(&'t Tree<'t>);

impl Modules for Quiet<'_> {
    fn find(&self, path: &str) -> Option<rollback_source::Module> {
        if path.contains("settings") { self.0.find(path) } else { NoModules.find(path) }
    }
}
