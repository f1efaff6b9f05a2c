//! The database's clock: no other one counts.

use crate::dialect;
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Value};

/// The database's clock, some seconds from now, as RFC 3339 text, UTC: it sorts.
pub(super) fn clock(database: &mut dyn Database, seconds: u64) -> Result<String, DatabaseError> {
    let sql = dialect::of(database.dialect()).seconds_from_now(seconds);
    match database.query(&sql, &[])?.into_iter().flatten().next() {
        Some(Value::Text(now)) => Ok(now),
        _ => Err(DatabaseError::new(DatabaseErrorKind::Other, "the database does not tell the time")),
    }
}
