//! The engine: the ports to the outside, the stored formats, and the use cases save, import, list, show, status,
//! history, plan, rollback, and the lock over `migrate`.
//!
//! Here is the one place that locks, checks and executes, whichever door the user came through. It has no driver, no
//! arguments, no colour and no prompt; those are the doors' and the command line's.
//!
//! Arrows go one way: `rollback → cases → store → session → dialect → ports`.

mod actor;
pub mod cases;
mod dialect;
mod error;
pub mod ports;
pub mod rollback;
pub mod session;
pub mod store;

pub use self::actor::{Actor, VERSION};
pub use self::dialect::{BlockingSession, Holder, LockRequest};
pub use self::error::EngineError;
