//! What the user should know before a plan runs.

use crate::diagnostics::Warning;
use crate::migration::MigrationId;
use crate::sql;
use crate::way::Way;

use super::Step;
use super::analysis::Analysis;

/// What the user should know before these steps are done.
pub(super) fn warnings(analysis: &Analysis<'_>, steps: &[Step]) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = not_applied(analysis).into_iter().collect();
    warnings.extend(order_unknown(analysis));
    for step in steps.iter().filter(|step| step.way.undoes()) {
        warnings.extend(changed_file(analysis, step));
        warnings.extend(may_lose(analysis, &step.migration));
    }
    warnings.extend(steps.iter().filter_map(not_atomic));
    warnings
}

fn not_applied(analysis: &Analysis<'_>) -> Option<Warning> {
    let migrations: Vec<MigrationId> =
        analysis.target_parts.difference(&analysis.now_parts).cloned().collect();
    (!migrations.is_empty()).then_some(Warning::NotApplied { migrations })
}

fn order_unknown(analysis: &Analysis<'_>) -> Option<Warning> {
    let is_guess = !analysis.unknown.is_empty() && analysis.situation.on_disk.is_none();
    is_guess.then(|| Warning::OrderUnknown { migrations: analysis.unknown.iter().cloned().collect() })
}

fn changed_file(analysis: &Analysis<'_>, step: &Step) -> Option<Warning> {
    let uses_it = step.way == Way::Disk && analysis.changed.contains(&step.migration);
    uses_it.then(|| Warning::ChangedFile { migration: step.migration.clone() })
}

fn may_lose(analysis: &Analysis<'_>, migration: &MigrationId) -> impl Iterator<Item = Warning> {
    let custom = analysis.facts(migration).map_or(&[][..], |facts| &facts.custom);
    let removing = custom.iter().filter(|custom| custom.sql.as_deref().is_some_and(sql::may_remove_data));
    removing
        .map(|custom| Warning::MayLose { migration: migration.clone(), operation: custom.operation.clone() })
}

fn not_atomic(step: &Step) -> Option<Warning> {
    let operation = step.outside_transaction.clone()?;
    Some(Warning::NotAtomic { migration: step.migration.clone(), operation })
}
