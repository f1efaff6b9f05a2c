//! Other modules of a repository, which a migration may import.

/// Finds other modules of the repository.
pub trait Modules {
    /// The module with this dotted path, if the repository has it.
    fn find(&self, path: &str) -> Option<Module>;

    /// Whether the project certainly does not set this setting, so that `getattr(settings, name, default)` is the
    /// default.
    fn lacks_setting(&self, _name: &str) -> bool {
        false
    }
}

/// The text of another module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its dotted path, from the repository's root. Relative imports start from it.
    pub path: String,
    /// Whether it is a package's `__init__.py`.
    pub is_package: bool,
    /// Its text.
    pub text: String,
}

/// No other modules.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModules;

impl Modules for NoModules {
    fn find(&self, _: &str) -> Option<Module> {
        None
    }
}
