//! The lock in a session of its own, while another session works.

use std::fs::File;

use super::error::SessionError;
use super::file_lock::take_file;
use super::row_lock::take_row;
use crate::dialect::{self, LockRequest};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Purpose};

/// Holds the lock in a session of its own while another one works: a `migrate`, or a rollback in segments. Dropping it
/// releases the lock.
pub struct LockHolder {
    session: Option<Box<dyn Database>>,
    _file: Option<File>,
}

impl LockHolder {
    /// Takes the lock, without waiting.
    pub fn take(database: &mut dyn Database, request: &LockRequest) -> Result<Self, SessionError> {
        if dialect::of(database.dialect()).has_row_locks() {
            Self::take_row(database, request)
        } else {
            Ok(Self { session: None, _file: take_file(database, request)? })
        }
    }

    fn take_row(database: &mut dyn Database, request: &LockRequest) -> Result<Self, SessionError> {
        let rules = dialect::of(database.dialect());
        let mut session = database.another().map_err(|error| failed(database, error))?;
        session.begin(Purpose::Records).map_err(|error| failed(database, error))?;
        let request = request.clone().for_another();
        let taken =
            rules.set_execution_options(session.as_mut(), &request).and_then(|()| take_row(session.as_mut()));
        let holder = Self { session: Some(session), _file: None };
        match taken {
            Ok(true) => Ok(holder),
            Ok(false) => Err(SessionError::Locked { database: database.name(), holder: None }),
            Err(error) if error.kind == DatabaseErrorKind::Busy => {
                let holder = rules.holder(database).map_err(|error| failed(database, error))?;
                Err(SessionError::Locked { database: database.name(), holder })
            }
            Err(error) => Err(failed(database, error)),
        }
    }
}

impl Drop for LockHolder {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            // Its connection is closed with it: the server ends the transaction in any case.
            let _ = session.rollback();
        }
    }
}

fn failed(database: &dyn Database, error: DatabaseError) -> SessionError {
    SessionError::Database { database: database.name(), error }
}
