//! The paths of a repository's files, and the Python modules at these paths.

use std::collections::{BTreeSet, HashMap};

use crate::standard_library;

/// The script that starts a Django project: Python imports modules from its folder.
const MANAGE: &str = "manage.py";

/// The paths of a repository's files, indexed; many readers may share it.
pub struct Paths<'p> {
    pub(crate) paths: &'p [String],
    pub(crate) index: HashMap<&'p str, usize>,
    /// Folders that packages are imported from: those that contain a package without being one, and those of a
    /// `manage.py`.
    pub(crate) roots: Vec<&'p str>,
}

impl<'p> Paths<'p> {
    /// The files with these paths, in order.
    pub fn new(paths: &'p [String]) -> Self {
        let index: HashMap<&str, usize> =
            paths.iter().enumerate().map(|(index, path)| (path.as_str(), index)).collect();
        let is_package = |folder: &str| index.contains_key(join(folder, "__init__.py").as_str());
        let holders = paths
            .iter()
            .filter_map(|path| folder_of(path.strip_suffix("/__init__.py")?))
            .filter(|folder| folder.is_empty() || !is_package(folder));
        let scripts = paths.iter().filter_map(|path| path.strip_suffix("/manage.py"));
        let roots: BTreeSet<&str> = holders.chain(scripts).collect();
        Self { paths, roots: roots.into_iter().collect(), index }
    }

    /// The path of a file.
    pub fn path(&self, index: usize) -> &'p str {
        &self.paths[index]
    }

    /// Whether a dotted path is a module or a package of the repository.
    pub fn has_module(&self, path: &str) -> bool {
        self.file_of(path).is_some()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.index.contains_key(path)
    }

    /// The file of a module: its path without extension, its index, and whether it is a package.
    pub(crate) fn file_of(&self, module: &str) -> Option<(String, usize, bool)> {
        let below = module.replace('.', "/");
        let found = |root: &str| {
            let base = join(root, &below);
            let candidates = [(join(&base, "__init__.py"), true), (format!("{base}.py"), false)];
            let (index, is_package) = candidates
                .into_iter()
                .find_map(|(file, is_package)| Some((*self.index.get(file.as_str())?, is_package)))?;
            Some((base, index, is_package))
        };
        // The project hardly imports `uuid` from a folder with a package of that name, unless Python starts there.
        let is_standard = standard_library::has(module);
        let may_hold = |root: &&&str| !is_standard || self.has(&join(root, MANAGE));
        found("").or_else(|| self.roots.iter().filter(may_hold).find_map(|root| found(root)))
    }
}

pub(crate) fn folder_of(path: &str) -> Option<&str> {
    Some(path.rsplit_once('/').map_or("", |(folder, _)| folder))
}

pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

pub(crate) fn dotted(path: &str) -> String {
    path.replace('/', ".")
}
