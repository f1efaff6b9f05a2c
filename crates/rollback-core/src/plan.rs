//! The plan: ordered steps from what is applied now to what was applied at a release.
//!
//! It is a value. A preview prints it, a rollback carries out the same one. [`plan()`] makes it: a pure function of a
//! [`Situation`].

mod analysis;
mod blockers;
mod choice;
mod planner;
mod situation;
mod steps;
#[cfg(test)]
mod tests;
mod warnings;

use crate::applied::AppliedSet;
pub use crate::diagnostics::{Blocker, Unfit, Warning};
use crate::migration::MigrationId;
pub use crate::way::{WAYS, Way};

pub use planner::plan;
pub use situation::{Means, Situation};

/// Ordered steps from the applied set to a release's applied set, and what speaks against them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is done, in the order of execution.
    pub steps: Vec<Step>,
    /// Why it cannot run; empty if it can.
    pub blockers: Vec<Blocker>,
    /// What the user should know before it runs.
    pub warnings: Vec<Warning>,
    /// The applied migrations that stay and can be loaded, in the order in which Django builds states from them. A
    /// part of a squash that has no file is loaded from the archive.
    pub staying: Vec<MigrationId>,
    /// What `django_migrations` holds afterwards.
    pub result: AppliedSet,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The migration that it is about.
    pub migration: MigrationId,
    /// How it is done.
    pub way: Way,
    /// The rows of `django_migrations` that go with it: for a squash, also those of everything that it replaces.
    pub rows: Vec<MigrationId>,
    /// The operation that must run outside a transaction; `None` if the step can share one with others.
    pub outside_transaction: Option<String>,
    /// Whether undoing it runs code of the project.
    pub runs_code: bool,
    /// Where Django would load the migration from: `Disk` or `Capsule`. A step by another way needs it, too, for the
    /// state of the models before the steps that Django does.
    pub loads: Option<Way>,
}

/// Steps that are committed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'p> {
    /// The steps, in order.
    pub steps: &'p [Step],
    /// Whether it is one step that runs outside a transaction.
    pub is_outside_transaction: bool,
}

impl Plan {
    /// Whether Django has to do a step.
    pub fn needs_python(&self) -> bool {
        self.steps.iter().any(|step| step.way.needs_python())
    }

    /// Whether a migration is undone.
    pub fn undoes(&self) -> bool {
        self.steps.iter().any(|step| step.way.undoes())
    }

    /// Whether one transaction can hold all steps.
    pub fn is_atomic(&self) -> bool {
        self.steps.iter().all(Step::fits_in_transaction)
    }

    /// The steps cut into segments: as many as can share a transaction, or one that must run outside of one.
    pub fn segments(&self) -> Vec<Segment<'_>> {
        let share = |one: &Step, next: &Step| one.fits_in_transaction() && next.fits_in_transaction();
        let segment =
            |steps| Segment { steps, is_outside_transaction: !steps.iter().all(Step::fits_in_transaction) };
        self.steps.chunk_by(share).map(segment).collect()
    }
}

impl Step {
    /// Whether it can share a transaction with other steps.
    fn fits_in_transaction(&self) -> bool {
        self.outside_transaction.is_none()
    }
}
