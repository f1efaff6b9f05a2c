//! The lock in a session of its own, while another one works.

use std::fs::File;

use crate::error::EngineError;
use crate::lock::{self, Claim};
use crate::ports::{Database, Dialect, Purpose};

/// The lock, held by a session of its own while another one works: a `migrate`, or a rollback in segments.
pub struct Guard {
    session: Option<Box<dyn Database>>,
    _file: Option<File>,
}

impl Guard {
    /// Takes the lock, without waiting.
    pub fn take(database: &mut dyn Database, claim: &Claim) -> Result<Self, EngineError> {
        let name = database.name();
        let failed = |error| EngineError::Database { database: name.clone(), error };
        let locked = |holder| EngineError::Locked { database: name.clone(), holder };
        if database.dialect() == Dialect::Sqlite {
            let now = lock::clock(database, 0).map_err(failed)?;
            let path = database.lock_file();
            let file = path.map(|path| lock::lock_file(&path, claim, &now)).transpose();
            let file = file.map_err(|holder| locked(Some(holder)))?.flatten();
            return Ok(Self { session: None, _file: file });
        }
        let mut session = database.another().map_err(failed)?;
        session.begin(Purpose::Records).map_err(failed)?;
        let claim = claim.clone().for_another();
        let taken =
            lock::mind_manners(session.as_mut(), &claim).and_then(|()| lock::take_row(session.as_mut()));
        let guard = Self { session: Some(session), _file: None };
        match taken {
            Ok(true) => Ok(guard),
            Ok(false) => Err(locked(None)),
            Err(error) if lock::is_busy(error.kind) => Err(locked(lock::holder(database).map_err(failed)?)),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            // Its connection is closed with it: the server ends the transaction in any case.
            let _ = session.rollback();
        }
    }
}
