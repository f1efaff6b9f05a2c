//! The use cases beside the rollback itself: each reads and writes what is stored, and is called by a command.

pub mod ahead;
mod error;
pub mod import;
pub mod migrate;
pub mod releases;
pub mod save;
pub mod unfinished;

pub use self::error::CaseError;
