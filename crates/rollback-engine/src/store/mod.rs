//! What is stored, in rows of our own and in `django_migrations`: releases, history, and what undoes a migration.

mod archive;
mod capsule_rows;
pub(crate) mod capsules;
mod checked;
mod documents;
mod error;
mod history;
mod manifest;
mod releases;
mod row;
mod signature;
mod tables;

pub(crate) use self::checked::{CheckedCapsule, checked_capsules};
pub use self::error::StoreError;
pub use self::history::{
    Event, HandOverEvent, Kind, Listed, Operation, Outcome, RecordedOperation, RehearsalEvent, RollbackEvent,
    Route, Verification,
};
pub(crate) use self::releases::{NewRelease, PastRelease, SetSource, StoredRelease};
pub use self::signature::{Keyring, Secret};
pub(crate) use self::tables::{Store, applied};
