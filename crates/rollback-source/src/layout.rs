//! Where the migrations of a repository are, from the paths of its files and from app configurations.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::MigrationId;

use crate::app::{AppConfig, app_configs, default_app_config};
use crate::facts::Target;
use crate::migration;
use crate::modules::{Module, Modules};
use crate::paths::{Paths, dotted, folder_of, join};

/// Where the project says its migrations are, if not in Django's default place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `MIGRATION_MODULES`: the dotted path of the package with the migrations of an app; `None` for an app without
    /// migrations.
    pub modules: BTreeMap<String, Option<String>>,
}

/// A folder with migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The app label.
    pub app: String,
    /// The folder's path, `/` between folders.
    pub folder: String,
    /// Its migrations by name, each with the index of its path.
    pub migrations: BTreeMap<String, usize>,
    /// Whether the text determines the label. If not, the label is the most likely one.
    pub is_certain: bool,
}

impl Package {
    /// The dotted path of one of its migrations.
    pub fn module(&self, name: &str) -> String {
        format!("{}.{name}", dotted(&self.folder))
    }
}

/// The files of a repository, with a way to read them.
pub struct Tree<'t> {
    paths: &'t Paths<'t>,
    read: &'t dyn Fn(usize) -> Option<String>,
    /// The settings that the project sets. `None` if not all are known.
    settings: Option<&'t BTreeSet<String>>,
}

impl<'t> Tree<'t> {
    /// The files with these paths; `read` gives the text of one.
    pub fn new(paths: &'t Paths<'t>, read: &'t dyn Fn(usize) -> Option<String>) -> Self {
        Self { paths, read, settings: None }
    }

    /// The same files, with the settings of the project if all are known.
    pub fn with_settings(self, settings: Option<&'t BTreeSet<String>>) -> Self {
        Self { settings, ..self }
    }

    /// The folders with migrations, in the order of their app labels.
    pub fn packages(&self, places: &Places) -> Vec<Package> {
        let mut folders: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for (index, path) in self.paths.paths.iter().enumerate() {
            let Some((folder, name)) = path.rsplit_once('/') else { continue };
            let name = name.strip_suffix(".py").filter(|name| is_migration_name(name));
            if let Some(name) = name.filter(|_| folder.ends_with("/migrations") || folder == "migrations") {
                folders.entry(folder).or_default().insert(name.to_owned(), index);
            }
        }
        let moved: BTreeMap<String, &str> = places
            .modules
            .iter()
            .filter_map(|(app, module)| Some((self.folder(module.as_deref()?)?, app.as_str())))
            .collect();
        let mut packages = Vec::new();
        for (folder, migrations) in folders {
            let is_django = folder == "django/db/migrations" || folder.ends_with("/django/db/migrations");
            if is_django || !self.paths.has(&join(folder, "__init__.py")) || moved.contains_key(folder) {
                continue;
            }
            let Label { app, is_certain, is_configured } = self.label(folder_of(folder).unwrap_or_default());
            let mut package = Package { app, folder: folder.to_owned(), migrations, is_certain };
            if !is_certain && let Some(app) = self.label_by_dependencies(&package) {
                (package.app, package.is_certain) = (app, true);
            } else if is_certain
                && !is_configured
                && let Some(app) = self.label_of_hidden_config(&package)
            {
                package.app = app;
            }
            if !places.modules.contains_key(&package.app) {
                packages.push(package);
            }
        }
        for (folder, app) in moved {
            let migrations = self.migrations_in(&folder);
            packages.push(Package { app: app.to_owned(), folder, migrations, is_certain: true });
        }
        packages.sort_by(|one, other| (&one.app, &one.folder).cmp(&(&other.app, &other.folder)));
        packages
    }

    fn migrations_in(&self, folder: &str) -> BTreeMap<String, usize> {
        let names = self.paths.paths.iter().enumerate().filter_map(|(index, path)| {
            let (its_folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let name =
                name.strip_suffix(".py").filter(|name| its_folder == folder && is_migration_name(name))?;
            Some((name.to_owned(), index))
        });
        names.collect()
    }

    /// The folder of a package, by its dotted path.
    fn folder(&self, module: &str) -> Option<String> {
        let below = module.replace('.', "/");
        let folders = self.paths.roots.iter().map(|root| join(root, &below));
        folders.into_iter().find(|folder| self.paths.has(&join(folder, "__init__.py")))
    }

    /// The label of the app in this folder, as Django's registry finds it.
    fn label(&self, folder: &str) -> Label {
        let last = folder.rsplit('/').next().unwrap_or(folder);
        let last = if last.is_empty() { "migrations" } else { last };
        let (configs, in_package) = self.configs(folder);
        if let Some(config) = chosen(&configs, folder)
            && let Some(label) = config.label()
        {
            return Label { app: label.to_owned(), is_certain: config.is_certain, is_configured: true };
        }
        // Django only looks into `apps.py`. A project may install one of these by its path, which is unknown.
        if let Some(config) = chosen(&in_package, folder)
            && let Some(label) = config.label().filter(|label| *label != last)
        {
            return Label { app: label.to_owned(), is_certain: false, is_configured: true };
        }
        // The project may install an uncertain one.
        let is_certain = configs.iter().all(|config| config.is_certain);
        Label { app: last.to_owned(), is_certain, is_configured: false }
    }

    /// The label in the dependencies between migrations of a folder: it must be theirs. If there are several, the
    /// likely one has to be among them.
    fn label_by_dependencies(&self, package: &Package) -> Option<String> {
        let labels: BTreeSet<String> =
            self.inner_dependencies(package)?.into_iter().map(|id| id.app).collect();
        // If there are several, another app has a migration of the same name.
        if labels.contains(&package.app) { Some(package.app.clone()) } else { only(labels.into_iter()) }
    }

    /// The label of an app whose configuration is not in `apps.py`: a project installs such an app by the path of the
    /// class. Its migrations depend on each other by that label, never by the folder's name. `0001_initial` is no
    /// proof, because every app has it.
    fn label_of_hidden_config(&self, package: &Package) -> Option<String> {
        const USUAL: &str = "0001_initial";
        let second = (self.read)(*package.migrations.values().nth(1)?)?;
        let quoted = |quote: char| format!("{quote}{}{quote}", package.app);
        if second.contains(&quoted('\'')) || second.contains(&quoted('"')) {
            return None;
        }
        let named = self.inner_dependencies(package)?;
        if named.iter().any(|id| id.app == package.app) {
            return None;
        }
        let unusual = named.iter().filter(|id| id.name != USUAL).map(|id| id.app.clone());
        only(unusual)
    }

    /// Dependencies of the migrations of a folder that have the name of one of them.
    fn inner_dependencies(&self, package: &Package) -> Option<BTreeSet<MigrationId>> {
        let mut found = BTreeSet::new();
        for (name, index) in &package.migrations {
            let text = (self.read)(*index)?;
            let Ok(source) = migration::read(&package.module(name), &text, self) else { continue };
            for reference in source.dependencies {
                match reference.target {
                    Target::Migration(id) if package.migrations.contains_key(&id.name) => {
                        found.insert(id);
                    }
                    _ => {}
                }
            }
        }
        Some(found)
    }

    /// The configurations that Django finds itself, and those in `__init__.py`, which it only takes by path.
    fn configs(&self, folder: &str) -> (Vec<AppConfig>, Vec<AppConfig>) {
        let package = dotted(folder);
        let init = self.paths.index.get(join(folder, "__init__.py").as_str());
        let init = init.and_then(|index| (self.read)(*index)).unwrap_or_default();
        let in_package =
            if init.contains("AppConfig") { app_configs(&package, true, &init, self) } else { Vec::new() };
        let configs = self
            .configs_in(folder, "apps.py")
            .or_else(|| self.configs_in(folder, "apps/__init__.py"))
            .unwrap_or_default();
        let named = default_app_config(&package, &init, self);
        let named = named.as_deref().map(|named| named.rsplit_once('.').unwrap_or(("", named)));
        let of_class = |configs: &[AppConfig], class: &str| -> Option<Vec<AppConfig>> {
            let named = configs.iter().filter(|config| config.class == class);
            Some(named.cloned().collect()).filter(|named: &Vec<AppConfig>| !named.is_empty())
        };
        let named = named.and_then(|(module, class)| {
            let is_elsewhere = module.ends_with(".apps");
            let found = if is_elsewhere { None } else { of_class(&in_package, class) };
            found.or_else(|| of_class(&configs, class))
        });
        (named.unwrap_or(configs), in_package)
    }

    /// The configurations in a file of an app's folder.
    fn configs_in(&self, folder: &str, file: &str) -> Option<Vec<AppConfig>> {
        let text = (self.read)(*self.paths.index.get(join(folder, file).as_str())?)?;
        let module = dotted(&join(folder, "apps"));
        Some(app_configs(&module, file.ends_with("__init__.py"), &text, self))
    }
}

/// The label of an app.
struct Label {
    app: String,
    /// Whether the text determines it.
    is_certain: bool,
    /// Whether a configuration sets it; otherwise it is the folder's name.
    is_configured: bool,
}

/// The label, if all are the same.
fn only(labels: impl Iterator<Item = String>) -> Option<String> {
    let labels: BTreeSet<String> = labels.collect();
    let is_one = labels.len() == 1;
    labels.into_iter().next().filter(|_| is_one)
}

impl Modules for Tree<'_> {
    fn find(&self, path: &str) -> Option<Module> {
        let (base, index, is_package) = self.paths.file_of(path)?;
        Some(Module { path: dotted(&base), is_package, text: (self.read)(index)? })
    }

    fn lacks_setting(&self, name: &str) -> bool {
        self.settings.is_some_and(|settings| !settings.contains(name))
    }
}

/// The configuration that Django takes if an app is installed by the name of its package (`AppConfig.create`): the only
/// one, or the one with `default = True`. Configurations of other packages do not count.
fn chosen<'c>(configs: &'c [AppConfig], folder: &str) -> Option<&'c AppConfig> {
    let package = dotted(folder);
    let fits = |config: &&AppConfig| match &config.name {
        Some(name) => package == *name || package.ends_with(&format!(".{name}")),
        None => config.label.is_some(),
    };
    let fitting: Vec<&AppConfig> = configs.iter().filter(fits).collect();
    let candidates: Vec<&AppConfig> =
        fitting.iter().copied().filter(|config| config.default != Some(false)).collect();
    match candidates[..] {
        [only] => Some(only),
        [] => None,
        _ => {
            let mut defaults = candidates.iter().copied().filter(|config| config.default == Some(true));
            match (defaults.next(), defaults.next()) {
                (Some(default), None) => Some(default),
                _ => same_label(&candidates),
            }
        }
    }
}

/// One of several configurations, if all have the same label: then it does not matter which one the project installs.
fn same_label<'c>(candidates: &[&'c AppConfig]) -> Option<&'c AppConfig> {
    let (first, rest) = candidates.split_first()?;
    rest.iter().all(|other| other.label() == first.label()).then_some(*first)
}

/// Whether Django's loader takes a file: not if its name starts with `_` or `~`.
fn is_migration_name(name: &str) -> bool {
    !name.starts_with(['_', '~']) && !name.is_empty() && !name.contains('.')
}
