//! What a check compares.

use rollback_revision::Migrations;

use crate::vendor::Vendor;

/// The two commits to compare.
pub struct Range<'r> {
    /// The older commit: the target of a rollback.
    pub base: &'r Migrations,
    /// The newer one.
    pub head: &'r Migrations,
    /// Whether the repository has a module with this dotted path.
    pub is_project: &'r dyn Fn(&str) -> bool,
    /// The only kind of database that the project uses, if it says so.
    pub database: Option<Vendor>,
}
