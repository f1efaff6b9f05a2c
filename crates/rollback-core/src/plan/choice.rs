//! Which way a migration can be undone.

use crate::migration::MigrationId;
use crate::way::Way;

use super::analysis::Analysis;

/// The way to undo one migration.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    /// The best way that is allowed; `None` if there is none.
    pub(super) way: Option<Way>,
    /// Where Django would load the migration from.
    pub(super) loads: Option<Way>,
}

impl Choice {
    pub(super) fn of(analysis: &Analysis<'_>, id: &MigrationId) -> Self {
        let situation = analysis.situation;
        let loads = loads(analysis, id);
        let takes_sql_first = situation.ways.first() == Some(&Way::Sql) || loads.is_none();
        let takes_sql = takes_sql_first && situation.allows(Way::Sql) && has_sql(analysis, id);
        Self { way: if takes_sql { Some(Way::Sql) } else { loads }, loads }
    }

    /// Whether Django would do it.
    pub(super) fn needs_python(self) -> bool {
        self.way.is_some_and(Way::needs_python)
    }
}

/// Whether there is archived source that may be loaded.
pub(super) fn is_archived(analysis: &Analysis<'_>, id: &MigrationId) -> bool {
    let situation = analysis.situation;
    situation.allows(Way::Capsule) && situation.means(id).is_some_and(|means| means.has_source())
}

/// Recorded SQL is only chosen if its result is verified, or if nothing else is allowed.
fn has_sql(analysis: &Analysis<'_>, id: &MigrationId) -> bool {
    let situation = analysis.situation;
    let is_only_way = situation.ways == [Way::Sql];
    let runs_outside = analysis.facts(id).is_some_and(|facts| facts.outside_transaction().is_some());
    (situation.is_verified || is_only_way)
        && !runs_outside
        && situation.means(id).is_some_and(|means| means.has_sql())
}

/// A file that has changed since it was applied is the last choice.
fn loads(analysis: &Analysis<'_>, id: &MigrationId) -> Option<Way> {
    let situation = analysis.situation;
    let has_file = analysis.has_file(id);
    let can = |way: &Way| match way {
        Way::Disk => situation.on_disk.is_none() || (has_file && !analysis.changed.contains(id)),
        Way::Capsule => {
            situation.on_disk.is_none() || situation.means(id).is_some_and(|means| means.has_source())
        }
        _ => false,
    };
    let changed_file = (situation.allows(Way::Disk) && has_file).then_some(Way::Disk);
    situation.ways.iter().copied().find(can).or(changed_file)
}
