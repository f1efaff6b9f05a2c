//! A session: its transaction, the lock in it, and how both end.
//!
//! The lock is a row, taken without waiting inside the transaction: a session's advisory lock is worth nothing behind a
//! transaction pooler. SQLite has no row locks. There a file beside the database is locked, and the operating system
//! frees it when its holder ends, however it ends.

mod clock;
mod connection;
mod error;
mod file_lock;
mod lock_holder;
mod row_lock;

pub(crate) use self::connection::Session;
pub use self::error::SessionError;
pub use self::lock_holder::LockHolder;
