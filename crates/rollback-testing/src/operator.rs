//! Whoever asks for a rollback: what they want, what they answer, and what they are told.

use rollback_engine::ports::Observer;
use rollback_engine::rollback::{Consent, Operator, Prepared, RollbackError, RolledBack};

use crate::Recorder;

/// What is asked for besides the release.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// What may be lost.
    pub consent: Consent,
    /// What a person answers who is asked; an error is the number of a signal.
    pub answer: Result<bool, i32>,
    /// Whether the plan is only made.
    pub is_preview: bool,
    /// Whether only the first of the shop's ways may be taken.
    pub has_fixed_way: bool,
    /// Whether another door could take over.
    pub has_other_door: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            consent: Consent::Any,
            answer: Ok(false),
            is_preview: false,
            has_fixed_way: false,
            has_other_door: false,
        }
    }
}

/// An operator that answers as it was told, and remembers what it heard.
pub(crate) struct FakeOperator<'s> {
    pub(crate) seen: &'s mut Recorder,
    pub(crate) answer: Result<bool, i32>,
}

impl Operator for FakeOperator<'_> {
    type Error = RollbackError;

    fn begins(&mut self, prepared: &Prepared) -> Result<(), RollbackError> {
        self.seen.events.push(format!("plan of {}", prepared.plan.steps.len()));
        Ok(())
    }

    fn accepts_loss(&mut self, rows: i64) -> Result<bool, i32> {
        self.seen.events.push(format!("asks for {rows}"));
        self.answer
    }

    fn retries_by_django(&mut self, _: &RollbackError) {
        self.seen.events.push("retries by Django".to_owned());
    }

    fn watch(
        &mut self,
        _: &Prepared,
        run: &mut dyn FnMut(&mut dyn Observer) -> Result<RolledBack, RollbackError>,
    ) -> Result<RolledBack, RollbackError> {
        run(self.seen)
    }
}
