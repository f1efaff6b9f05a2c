//! What a release means for a rollback, told from source text alone: the rules, and what they find.
//!
//! Pure, as the core is: the files of two trees in, findings with places out. Reading git, printing and exit codes are
//! left to others.

pub mod check;
mod columns;
pub mod config;
pub mod finding;
mod range;
pub mod release;
pub mod rules;
mod state;
pub mod suppress;
mod vendor;

pub use check::{Checked, check};
pub use config::{Config, ConfigError};
pub use finding::{Finding, Place};
pub use range::Range;
pub use release::Release;
pub use rules::{Level, Rule};
pub use vendor::Vendor;
