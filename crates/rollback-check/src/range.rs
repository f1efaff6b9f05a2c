//! What a check compares.

use crate::release::Release;
use crate::vendor::Vendor;

/// What is compared.
pub struct Range<'r> {
    /// The older commit: what a rollback leads back to.
    pub base: &'r Release,
    /// The newer one.
    pub head: &'r Release,
    /// Whether a dotted path is a module of the repository.
    pub is_project: &'r dyn Fn(&str) -> bool,
    /// The database, where only one counts.
    pub database: Option<Vendor>,
}
