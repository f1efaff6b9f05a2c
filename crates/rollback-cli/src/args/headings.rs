//! The groups of options in the help, the same for every command.

/// Which release.
pub(super) const TARGET: &str = "Target";

/// What a command may do, and what it must not lose.
pub(super) const ALLOWED: &str = "What is allowed";

/// How long other sessions are waited for.
pub(super) const LOCKS: &str = "Locks";

/// What is printed, and how.
pub(super) const OUTPUT: &str = "Output";

/// Where the database, the key and the repository are.
pub(super) const CONNECTION: &str = "Connection";
