//! Makes the plan.

use crate::migration::MigrationId;

use super::Plan;
use super::analysis::Analysis;
use super::blockers::blockers;
use super::choice::is_archived;
use super::situation::Situation;
use super::steps::steps;
use super::warnings::warnings;

/// Makes the plan.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let analysis = Analysis::of(situation);
    let steps = steps(&analysis);
    let blockers = blockers(&analysis, &steps);
    let warnings = warnings(&analysis, &steps);
    let staying = staying(&analysis);
    Plan { steps, blockers, warnings, staying, result: analysis.result }
}

/// The migrations that stay and that Django can load, in its order of states.
fn staying(analysis: &Analysis<'_>) -> Vec<MigrationId> {
    let can_load = |id: &MigrationId| analysis.has_file(id) || is_rest_in_archive(analysis, id);
    analysis.order.iter().filter(|id| analysis.stays(id) && can_load(id)).cloned().collect()
}

/// Whether this is a part of a squash, of which the squash alone has a file, and is loaded from the archive.
fn is_rest_in_archive(analysis: &Analysis<'_>, id: &MigrationId) -> bool {
    let mut squashes = analysis.split.iter().filter(|squash| analysis.has_file(squash));
    squashes.any(|squash| squash != id && analysis.squashes.parts(squash).contains(id))
        && is_archived(analysis, id)
}
