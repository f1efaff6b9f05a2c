//! Who watches a rollback, and waits on its behalf.

use std::time::Duration;

use rollback_core::{MigrationId, Step};

/// Watches a rollback.
pub trait Observer {
    /// A step begins.
    fn step_begins(&mut self, step: &Step);

    /// It is done, and took this long.
    fn step_ends(&mut self, step: &Step, took: Duration);

    /// It failed, and with it the rollback.
    fn step_failed(&mut self, migration: &MigrationId);

    /// Another session is in the way: everything is taken back, and tried again after a pause.
    fn waits(&mut self, reason: &str);

    /// Waits. Ends early with the number of a signal that asks to stop.
    fn pause(&mut self, length: Duration) -> Result<(), i32>;
}
