//! Who runs an operation, for history and for those who wait.

/// The version of django-rollback, as history records it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who runs an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user of the operating system.
    pub user: String,
    /// The host.
    pub host: String,
}
