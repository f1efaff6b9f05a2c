//! Words for numbers, releases and migrations, safe to show.

use rollback_core::{MigrationId, Release};

use crate::console::safe;

/// `1 migration`, `2 migrations`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `1 row or value`, `2 rows and values`.
pub(crate) fn values(number: i64) -> String {
    if number == 1 { "1 row or value".to_owned() } else { format!("{number} rows and values") }
}

/// `03ec91e (v3)`, safe to show.
pub(crate) fn label(release: &Release) -> String {
    safe(release.label())
}

/// One migration a line, indented, with a mark before each.
pub(crate) fn lines<'m>(mark: &str, migrations: impl IntoIterator<Item = &'m MigrationId>) -> String {
    migrations.into_iter().map(|id| format!("  {mark} {}\n", safe(id))).collect()
}
