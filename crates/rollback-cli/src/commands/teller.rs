//! Tells the user how a rollback goes, and asks where only a person can decide.

use rollback_engine::ports::Observer;
use rollback_engine::rollback::{Operator, Prepared, RollbackError, RolledBack};

use super::context::Context;
use super::plan;
use super::progress::Progress;
use crate::console::{Level, safe};
use crate::document;
use crate::error::CliError;
use crate::words::values;

/// The user, as a rollback sees one.
pub(super) struct Teller<'t, 'c>(pub(super) &'t mut Context<'c>);

impl Operator for Teller<'_, '_> {
    type Error = CliError;

    /// Shows what is about to happen, with what it costs.
    fn begins(&mut self, prepared: &Prepared) -> Result<(), CliError> {
        let Self(context) = self;
        if context.is_json() {
            context.out_json(&document::event("plan", document::plan(prepared)))?;
        }
        context.say(Level::Info, plan::heading(prepared).trim_end());
        plan::diagnostics(context, prepared)?;
        let losses = plan::losses(prepared);
        if !losses.is_empty() {
            context.say(Level::Warning, losses.trim_end());
        }
        Ok(())
    }

    fn accepts_loss(&mut self, rows: i64) -> Result<bool, i32> {
        let question = format!("{} will be lost. Type 'yes' to go on, anything else to stop: ", values(rows));
        let answer = self.0.console.ask(&question)?;
        Ok(answer.is_some_and(|answer| answer.trim() == "yes"))
    }

    fn retries_by_django(&mut self, cause: &RollbackError) {
        let cause = safe(cause.cause());
        self.0.say(
            Level::Warning,
            &format!("Warning: recorded SQL failed ({cause}) and was rolled back; retrying through Django."),
        );
    }

    fn watch(
        &mut self,
        prepared: &Prepared,
        run: &mut dyn FnMut(&mut dyn Observer) -> Result<RolledBack, RollbackError>,
    ) -> Result<RolledBack, RollbackError> {
        let mut progress = Progress::new(self.0, prepared.plan.steps.len());
        let ended = run(&mut progress);
        progress.clear();
        ended
    }
}
