//! The row that is the lock.

use crate::dialect;
use crate::ports::{Database, DatabaseError};

/// Takes the row, without waiting. Whether the row was there: `flush` empties our tables with all others.
pub(super) fn take_row(database: &mut dyn Database) -> Result<bool, DatabaseError> {
    let sql = dialect::of(database.dialect()).take_row();
    if !database.query(sql, &[])?.is_empty() {
        return Ok(true);
    }
    // Whoever inserts the row holds it.
    database.execute("INSERT INTO django_rollback_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING", &[])?;
    Ok(!database.query(sql, &[])?.is_empty())
}
