//! Facts about Django migrations, out of their source text: text in, facts with places out.
//!
//! A module is read as Python would run it, but nothing is run: what the text does not tell is a fact of its own
//! (`unknown`, with the line), never a guess. Files, git and databases are left to others; ruff's parser, whose API
//! moves, is used in this crate alone.

pub mod app;
pub mod facts;
mod field;
mod global_settings;
mod interpreter;
pub mod layout;
mod migration;
mod operation;
mod same;
mod standard_library;
mod syntax;
mod value;

pub use facts::MigrationSource;
pub use layout::{Package, Paths, Places, Tree};
pub use migration::read;
pub use same::{is_same_program, is_same_to_databases};
pub use syntax::{SyntaxError, comments, decode};

/// Finds other modules of the repository.
pub trait Modules {
    /// The module with this dotted path, if the repository has it.
    fn find(&self, path: &str) -> Option<Module>;

    /// Whether it is certain that the project does not set this setting, so that `getattr(settings, name, default)` is
    /// its default.
    fn lacks_setting(&self, _name: &str) -> bool {
        false
    }
}

/// The text of another module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its dotted path below the repository's root, which relative imports start from.
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
