//! Facts about Django migrations from their source text: text in, facts with places out.
//!
//! The crate reads a module as Python would run it, but runs nothing. What the text does not determine is a fact of its
//! own (`unknown`, with its place), never a guess. The crate leaves files, git and databases to others. Only this crate
//! uses ruff's parser, whose API is not stable.

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
