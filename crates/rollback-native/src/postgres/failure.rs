//! The driver's failures in the words of the port.

use std::error::Error;

use rollback_engine::ports::{DatabaseError, DatabaseErrorKind};

/// The driver's failure as ours. Of the server's message only the primary part is used: the detail has row contents.
pub(super) fn failure(error: &postgres::Error) -> DatabaseError {
    if let Some(reported) = error.as_db_error() {
        return DatabaseError::from_sqlstate(reported.code().code(), reported.message());
    }
    let lost = error.is_closed() || cause(error).is_some_and(|cause| cause.is::<std::io::Error>());
    let kind = if lost { DatabaseErrorKind::Unreachable } else { DatabaseErrorKind::Other };
    DatabaseError::new(kind, &words(error))
}

/// The driver's own words, with the cause.
fn words(error: &postgres::Error) -> String {
    match cause(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What the driver names as the cause.
pub(super) fn cause(error: &postgres::Error) -> Option<&(dyn Error + 'static)> {
    Error::source(error)
}
