//! The file that is the lock where rows cannot be locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::clock::clock;
use super::error::SessionError;
use crate::dialect::{Holder, LockRequest, shown_label};
use crate::ports::Database;

/// Takes the lock of a database whose lock is a file, without waiting; `None` if it has no such file.
pub(super) fn take_file(
    database: &mut dyn Database,
    request: &LockRequest,
) -> Result<Option<File>, SessionError> {
    let Some(path) = database.lock_file() else { return Ok(None) };
    let now =
        clock(database, 0).map_err(|error| SessionError::Database { database: database.name(), error })?;
    lock_file(&path, request, &now)
        .map_err(|holder| SessionError::Locked { database: database.name(), holder: Some(holder) })
}

/// Locks the file, without waiting, and writes into it who holds it. A file that cannot be opened does not stop the
/// command: a database in the same folder cannot be written either, and says so itself.
fn lock_file(path: &Path, request: &LockRequest, now: &str) -> Result<Option<File>, Holder> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let Ok(mut file) = opened else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => {
            let label = shown_label(&request.label);
            // The name of the holder helps others, no more.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{label}\n{now}"));
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => Err(holder_of(&mut file)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Who has written into the file that they hold it. A session that has just taken it may not have written yet.
fn holder_of(file: &mut File) -> Holder {
    const LOOKS: u32 = 20;
    let mut text = String::new();
    for _ in 0..LOOKS {
        text.clear();
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        if text.ends_with('\n') {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut lines = text.lines().map(str::to_owned);
    Holder { what: lines.next().unwrap_or_default(), pid: None, since: lines.next() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::dialect::LOCK_TIMEOUT;

    #[test]
    fn the_holder_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let actor = Actor { user: "deploy".to_owned(), host: "web-1".to_owned() };
        let request = LockRequest::new("rollback", &actor, LOCK_TIMEOUT);
        let held = lock_file(&path, &request, "2026-01-01T00:00:00Z").unwrap();
        assert!(held.is_some());
        let refused = lock_file(&path, &request, "later").unwrap_err();
        assert_eq!(refused.to_string(), "rollback by deploy@web-1, since 2026-01-01T00:00:00Z");
        drop(held);
        assert!(lock_file(&path, &request, "later").unwrap().is_some());
    }
}
