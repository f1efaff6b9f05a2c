//! Where the migrations of a repository are, told from the paths of its files and from the app configurations.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::MigrationId;

use crate::app::{AppConfig, app_configs, default_app_config};
use crate::facts::Target;
use crate::migration;
use crate::modules::{Module, Modules};
use crate::paths::{Paths, dotted, folder_of, join};

/// What the project says about where its migrations are, beyond Django's usual place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `MIGRATION_MODULES`: by app label, the dotted path of the package with its migrations; none where they are
    /// switched off.
    pub modules: BTreeMap<String, Option<String>>,
}

/// A folder of migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The app label.
    pub app: String,
    /// The folder's path, `/` between folders.
    pub folder: String,
    /// Its migrations by name, each with the index of its path.
    pub migrations: BTreeMap<String, usize>,
    /// Whether the text tells the label. Where it does not, the label is the best that there is.
    pub is_certain: bool,
}

impl Package {
    /// The dotted path of a migration of it.
    pub fn module(&self, name: &str) -> String {
        format!("{}.{name}", dotted(&self.folder))
    }
}

/// The files of a repository, with a way to read them.
pub struct Tree<'t> {
    paths: &'t Paths<'t>,
    read: &'t dyn Fn(usize) -> Option<String>,
    /// The settings that the project sets; none where not all of them are known.
    settings: Option<&'t BTreeSet<String>>,
}

impl<'t> Tree<'t> {
    /// The files with these paths; `read` gives the text of one.
    pub fn new(paths: &'t Paths<'t>, read: &'t dyn Fn(usize) -> Option<String>) -> Self {
        Self { paths, read, settings: None }
    }

    /// The same, where all settings of the project are known.
    pub fn with_settings(self, settings: Option<&'t BTreeSet<String>>) -> Self {
        Self { settings, ..self }
    }

    /// The folders of migrations, in the order of their app labels.
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

    /// The folder of a package that is named by its dotted path.
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
        // Django looks into `apps.py` alone: whether a project installs one of these by its path is not known.
        if let Some(config) = chosen(&in_package, folder)
            && let Some(label) = config.label().filter(|label| *label != last)
        {
            return Label { app: label.to_owned(), is_certain: false, is_configured: true };
        }
        // An uncertain one may be the one that a project installs.
        let is_certain = configs.iter().all(|config| config.is_certain);
        Label { app: last.to_owned(), is_certain, is_configured: false }
    }

    /// The label by which the migrations of a folder name each other: only that one can be theirs. The one that counts as
    /// likely is enough.
    fn label_by_dependencies(&self, package: &Package) -> Option<String> {
        let labels: BTreeSet<String> =
            self.inner_dependencies(package)?.into_iter().map(|id| id.app).collect();
        // Several: some other app has a migration of the same name.
        if labels.contains(&package.app) { Some(package.app.clone()) } else { only(labels.into_iter()) }
    }

    /// The label of an app whose configuration stands elsewhere than in `apps.py`: a project installs such an app by the
    /// path of the class. Its migrations name each other by that label, and never by the folder's name. A name that
    /// every app has is no proof.
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

    /// What the migrations of a folder depend on that has the name of one of them.
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

    /// The configurations that Django finds by itself, and those in `__init__.py`, which it takes by their path alone.
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

    /// The configurations that a file below an app's folder has.
    fn configs_in(&self, folder: &str, file: &str) -> Option<Vec<AppConfig>> {
        let text = (self.read)(*self.paths.index.get(join(folder, file).as_str())?)?;
        let module = dotted(&join(folder, "apps"));
        Some(app_configs(&module, file.ends_with("__init__.py"), &text, self))
    }
}

/// The label of an app.
struct Label {
    app: String,
    /// Whether the text tells it.
    is_certain: bool,
    /// Whether a configuration says it; the folder's name counts where none does.
    is_configured: bool,
}

/// The one that all are.
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

/// The configuration that Django takes when an app is installed by the name of its package: the only one, or the one
/// that says `default = True` (`AppConfig.create`). Those for other packages do not count.
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

/// Several configurations, of which a project installs one: no matter which, if all have the same label.
fn same_label<'c>(candidates: &[&'c AppConfig]) -> Option<&'c AppConfig> {
    let (first, rest) = candidates.split_first()?;
    rest.iter().all(|other| other.label() == first.label()).then_some(*first)
}

/// Django's loader leaves out files whose names begin with `_` or `~`.
fn is_migration_name(name: &str) -> bool {
    !name.starts_with(['_', '~']) && !name.is_empty() && !name.contains('.')
}
