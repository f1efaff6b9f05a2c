//! Facts about Django migrations, out of their source text: text in, facts with places out.
//!
//! A module is read as Python would run it, but nothing is run: what the text does not tell is a fact of its own
//! (`unknown`, with the line), never a guess. Files, git and databases are left to others; ruff's parser, whose API
//! moves, is used in this crate alone.

mod action;
pub mod app;
mod compare;
mod django;
pub mod facts;
mod field;
mod global_settings;
mod imports;
mod interpreter;
pub mod layout;
mod migration;
mod modules;
mod operation;
mod options;
mod paths;
mod reader;
mod same;
mod standard_library;
mod syntax;
mod trace;
mod value;

pub use facts::MigrationSource;
pub use layout::{Package, Places, Tree};
pub use migration::read;
pub use modules::{Module, Modules, NoModules};
pub use paths::Paths;
pub use same::{is_same_program, is_same_to_databases};
pub use syntax::{SyntaxError, comments, decode};
