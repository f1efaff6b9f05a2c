//! What a release means for a rollback, from source text alone: the rules, and what they find.
//!
//! The crate is pure, like the core: files of two revisions in, findings with places out. It leaves reading git,
//! printing and exit codes to others.

pub mod check;
mod columns;
pub mod config;
pub mod finding;
mod range;
pub mod rules;
mod state;
pub mod suppress;
mod vendor;
mod wording;

pub use check::{Checked, check};
pub use config::{Config, ConfigError};
pub use finding::{Finding, Place};
pub use range::Range;
pub use rules::{Level, Rule};
pub use vendor::Vendor;
