//! What a release means for a rollback, told from source text alone: the rules, and what they find.
//!
//! Pure, as the core is: the files of two trees in, findings with places out. Reading git, printing and exit codes are
//! left to others.

pub mod check;
mod columns;
pub mod config;
pub mod finding;
pub mod release;
pub mod rules;
mod state;
pub mod suppress;

pub use check::{Checked, Range, Vendor, check};
pub use config::{Config, ConfigError};
pub use finding::{Finding, Place};
pub use release::Release;
pub use rules::{Level, Rule};
