//! `sql`: what going back would do, as a script for the database's own program.

use rollback_engine::rollback::{self, RollbackError};

use super::context::Context;
use super::plan;
use crate::args::{TargetArguments, WayArguments, WayChoice};
use crate::document;
use crate::error::CliError;
use crate::exit::ExitCode;

pub(crate) fn run(context: &mut Context<'_>, arguments: &TargetArguments) -> Result<ExitCode, CliError> {
    let mut session = context.connect()?;
    let way = WayArguments { way: Some(WayChoice::Sql), ..WayArguments::default() };
    let prepared = plan::prepare(context, &mut session, arguments, &way)?;
    prepared.check_verifiable()?;
    if !prepared.plan.blockers.is_empty() {
        plan::preview(context, &prepared)?;
        return Err(RollbackError::Blocked { blockers: prepared.plan.blockers.len() }.into());
    }
    let script = rollback::script(session.database.as_mut(), &prepared, &context.actor())?;
    plan::rate(context, &prepared);
    if context.is_json() {
        let mut document = document::plan(&prepared);
        document["script"] = script.into();
        context.out_json(&document)?;
    } else {
        context.out(&script)?;
    }
    Ok(ExitCode::Done)
}
