//! Two revisions, the older first: what a comparison has to read, and the plan from the newer one back.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, MigrationFacts, MigrationId, Plan, ProjectFacts, Situation, Way,
};
use rollback_source::facts::MigrationSource;

use crate::error::RevisionError;
use crate::migrations::Migrations;
use crate::revision::Revision;

/// Which migrations of a revision are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All.
    All,
    /// Those that differ from the other revision's, and those of the same apps.
    Changed,
}

/// Reads what a comparison needs: of the newer commit everything that may matter, of the older one what has changed.
pub fn read_range(
    base: &mut Revision<'_>,
    head: &mut Revision<'_>,
    extent: Extent,
) -> Result<(), RevisionError> {
    let changed: BTreeSet<MigrationId> = changed(base.migrations(), head.migrations());
    base.read(&|id| changed.contains(id))?;
    let is_gone = changed.iter().any(|id| !head.migrations().files.contains_key(id));
    if extent == Extent::All || is_gone {
        return head.read(&|_| true);
    }
    let apps: BTreeSet<&str> = changed.iter().map(|id| id.app.as_str()).collect();
    head.read(&|id| apps.contains(id.app.as_str()))?;
    // `run_before` makes a migration of another app depend on a new one, so everything may be behind it.
    if head.migrations().sources().any(|(id, source)| changed.contains(id) && !source.run_before.is_empty()) {
        head.read(&|_| true)?;
    }
    Ok(())
}

/// The plan from one commit back to another: all migrations of the newer one are applied, as a database has them that
/// was migrated to it.
pub fn plan(base: &Migrations, head: &Migrations) -> Plan {
    let migrations = head.facts();
    let is_in_head = |id: &MigrationId| head.source(id).is_some_and(|source| source.class.is_some());
    // Of what both have, the newer file counts; but a squash is recorded, and what it replaces with it, also where only
    // the older commit still says so.
    let counts =
        |(id, source): &(&MigrationId, &MigrationSource)| !source.replaces.is_empty() || !is_in_head(id);
    let remembered: Vec<MigrationFacts> =
        base.sources().filter(counts).map(|(id, source)| base.facts_of(id, source)).collect();
    let mut now: BTreeSet<&MigrationId> = migrations.iter().map(|fact| &fact.id).collect();
    let squashes = migrations.iter().chain(&remembered).filter(|fact| is_in_head(&fact.id));
    now.extend(squashes.flat_map(|fact| &fact.replaces));
    let now: Vec<AppliedRow> =
        (1..).zip(now).map(|(id, migration)| AppliedRow { id, migration: migration.clone() }).collect();
    let before =
        base.sources().flat_map(|(_, squash)| squash.replaces.iter().filter_map(|to| base.target(to)));
    let target: AppliedSet = base.sources().map(|(id, _)| id.clone()).chain(before).collect();
    let unmigrated_apps = head.outside(&migrations);
    let project = ProjectFacts { migrations, unmigrated_apps };
    rollback_core::plan(&Situation {
        now: &now,
        target: &target,
        on_disk: Some(&project),
        remembered: &remembered,
        means: &BTreeMap::new(),
        ways: &[Way::Disk],
        is_verified: false,
        own_app: APP_LABEL,
    })
}

/// The migrations that only one of two commits has, or that have other contents in the other.
fn changed(base: &Migrations, head: &Migrations) -> BTreeSet<MigrationId> {
    let differs = |id: &&MigrationId| {
        let hash = |migrations: &Migrations| migrations.files.get(id).map(|file| file.hash.clone());
        hash(base) != hash(head)
    };
    base.files.keys().chain(head.files.keys()).filter(differs).cloned().collect()
}
