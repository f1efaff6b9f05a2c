//! `rollback --abort`: closes a rollback that stopped part-way, and leaves the database where it is.

use rollback_core::CommitId;
use rollback_engine::cases::unfinished;
use rollback_engine::store::{RollbackEvent, Route};
use serde_json::json;

use super::context::Context;
use crate::console::{Level, safe};
use crate::document;
use crate::door::Session;
use crate::error::CliError;
use crate::exit::ExitCode;

pub(super) fn run(context: &mut Context<'_>, session: &mut Session) -> Result<ExitCode, CliError> {
    let event = unfinished::abort(session.database.as_mut(), &context.actor())?;
    let RollbackEvent { route: Route { from, steps, .. }, steps_done, step_begun, .. } = &event;
    let (done, left) = steps.split_at((*steps_done).min(steps.len()));
    if context.is_json() {
        let fields = json!({ "undone": done, "left": left, "in_doubt": step_begun });
        context.out_json(&document::event("aborted", fields))?;
    }
    let in_doubt = left.first().filter(|_| *step_begun);
    context.say(Level::Success, &text(from.as_ref(), done, left, in_doubt));
    Ok(ExitCode::Done)
}

fn text(from: Option<&CommitId>, done: &[String], left: &[String], in_doubt: Option<&String>) -> String {
    let list = |steps: &[String]| steps.iter().map(|step| format!("  {}\n", safe(step))).collect::<String>();
    let mut text = String::from("The rollback is closed, and the database stays where it is.\n");
    if !done.is_empty() {
        text.push_str("These are undone for good; what they dropped is gone:\n");
        text.push_str(&list(done));
    }
    if let Some(step) = in_doubt {
        text.push_str(&format!(
            "{} had begun outside a transaction, and may be undone in part: compare its tables before you go on.\n",
            safe(step)
        ));
    }
    if !left.is_empty() {
        text.push_str("These are still applied:\n");
        text.push_str(&list(left));
    }
    text.push_str(&format!(
        "To apply again what is undone, run `manage.py migrate` with the code of {}. To go on after all, run the same \
         rollback once more.",
        from.map_or("", CommitId::short)
    ));
    text
}
