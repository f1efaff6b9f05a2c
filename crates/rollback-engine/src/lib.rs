//! The engine: the ports to the outside, the stored formats, and the use cases save, import, list, show, status,
//! history, plan, rollback, and the guard over `migrate`.
//!
//! Here is the one place that locks, checks and executes, whichever door the user came through. It has no driver, no
//! arguments, no colour and no prompt; those are the doors' and the command line's.

pub mod ahead;
mod archive;
pub mod capsules;
pub mod catalogue;
pub mod error;
pub mod guard;
pub mod import;
pub mod lock;
pub mod migrate;
pub mod ports;
pub mod releases;
pub mod rollback;
pub mod save;
pub mod signature;
pub mod store;

pub use error::EngineError;

/// The version of django-rollback, as history records it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who runs an operation, for history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user of the operating system.
    pub user: String,
    /// The host.
    pub host: String,
}
