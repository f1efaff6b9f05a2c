//! An observer that remembers what it saw, and never waits.

use std::time::Duration;

use rollback_core::{MigrationId, Step};
use rollback_engine::ports::Observer;

/// What was seen of a rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorder {
    /// One line an event: `begins shop.0002`, `ends shop.0002`, `failed shop.0002`, `waits: database is locked`.
    pub events: Vec<String>,
    /// How many pauses there were, and how long they would have been in all.
    pub pauses: (usize, Duration),
    /// The signal with which a pause ends, from this pause on.
    pub signal_at_pause: Option<(usize, i32)>,
}

impl Observer for Recorder {
    fn step_begins(&mut self, step: &Step) {
        self.events.push(format!("begins {}", step.migration));
    }

    fn step_ends(&mut self, step: &Step, _: Duration) {
        self.events.push(format!("ends {}", step.migration));
    }

    fn step_failed(&mut self, migration: &MigrationId) {
        self.events.push(format!("failed {migration}"));
    }

    fn waits(&mut self, reason: &str) {
        self.events.push(format!("waits: {reason}"));
    }

    fn pause(&mut self, length: Duration) -> Result<(), i32> {
        self.pauses.0 += 1;
        self.pauses.1 += length;
        match self.signal_at_pause {
            Some((pause, signal)) if self.pauses.0 >= pause => Err(signal),
            _ => Ok(()),
        }
    }
}
