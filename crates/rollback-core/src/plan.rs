//! The plan: ordered steps from what is applied now to what was applied at a release.
//!
//! It is a value. A preview prints it, a rollback carries out the same one.

use std::collections::{BTreeMap, BTreeSet};

use crate::applied::{AppliedRow, AppliedSet};
use crate::graph::Graph;
use crate::migration::{MigrationFacts, MigrationId, ProjectFacts};
pub use crate::remark::{Blocker, Unfit, Warning};
use crate::sql;
use crate::squash::Squashes;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The rows of `django_migrations` now.
    pub now: &'a [AppliedRow],
    /// What was applied at the release to go back to.
    pub target: &'a AppliedSet,
    /// The migration files that Django finds; `None` where there is no Django to ask.
    pub on_disk: Option<&'a ProjectFacts>,
    /// What the database remembers about migrations, from the saves of releases.
    pub remembered: &'a [MigrationFacts],
    /// What it keeps to undo each of them with.
    pub means: &'a BTreeMap<MigrationId, Means>,
    /// The ways that may be taken, the best first; [`WAYS`] unless the user or the project asks for others.
    pub ways: &'a [Way],
    /// Whether the result will be held against the schema that the release had.
    pub is_verified: bool,
    /// The app label of django-rollback itself: its own tables are never undone.
    pub own_app: &'a str,
}

/// What the database keeps to undo one migration with. Reasons are ends of a sentence that begins with "it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// Whether there is recorded SQL for this database.
    pub sql: Result<(), String>,
    /// Whether there is archived source that can be loaded here.
    pub source: Result<(), String>,
    /// Why what is kept is not to be trusted; none where it is.
    pub distrust: Option<String>,
    /// Label of the oldest saved release that has the migration.
    pub release: Option<String>,
}

/// The ways to undo a migration, in the order in which they are tried.
pub const WAYS: &[Way] = &[Way::Sql, Way::Disk, Way::Capsule];

/// Ordered steps from the applied set to a release's applied set, and all that speaks against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is done, in the order of execution.
    pub steps: Vec<Step>,
    /// Why it cannot run; empty when it can.
    pub blockers: Vec<Blocker>,
    /// What the user should know before it runs.
    pub warnings: Vec<Warning>,
    /// The applied migrations that stay and have a file, in the order in which Django builds states from them. What stays of
    /// a squash that is undone in part comes out of the archive where it has none.
    pub staying: Vec<MigrationId>,
    /// What `django_migrations` holds afterwards.
    pub result: AppliedSet,
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
        self.steps.iter().all(|step| step.outside_transaction.is_none())
    }

    /// The steps cut into segments: as many as can share a transaction, or one that has to stand apart.
    pub fn segments(&self) -> Vec<Segment<'_>> {
        let mut segments = Vec::new();
        for steps in self
            .steps
            .chunk_by(|one, next| one.outside_transaction.is_none() && next.outside_transaction.is_none())
        {
            segments.push(Segment {
                steps,
                is_outside_transaction: steps.iter().any(|step| step.outside_transaction.is_some()),
            });
        }
        segments
    }
}

/// Steps that are made permanent together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'p> {
    /// The steps, in order.
    pub steps: &'p [Step],
    /// Whether it is one step that runs outside a transaction.
    pub is_outside_transaction: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The migration that it is about.
    pub migration: MigrationId,
    /// How it is done.
    pub way: Way,
    /// The rows of `django_migrations` that go with it: for a squash, those of all that it replaces too.
    pub rows: Vec<MigrationId>,
    /// The operation for whose sake it cannot share a transaction with other steps; none where it can.
    pub outside_transaction: Option<String>,
    /// Whether code of the project runs when it is undone.
    pub runs_code: bool,
    /// Where Django would load the migration from: `Disk` or `Capsule`. A step by another way needs it, too, for the
    /// state of the models before the steps that Django does.
    pub loads: Option<Way>,
}

/// How a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Undo the migration by its file, through Django.
    Disk,
    /// Undo the migration by its archived source, through Django.
    Capsule,
    /// Undo the migration by its recorded SQL.
    Sql,
    /// Only remove its row: the same state stands in the table under other names, as after a squash.
    Unmark,
    /// Only add its row: the release had it, and the state that it stands for is applied under another name.
    Mark,
}

impl Way {
    /// The word for it in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Capsule => "capsule",
            Self::Sql => "sql",
            Self::Unmark => "unrecord",
            Self::Mark => "record",
        }
    }

    /// Whether Django does it.
    pub fn needs_python(self) -> bool {
        matches!(self, Self::Disk | Self::Capsule)
    }

    /// Whether a migration is undone, and not only a row of `django_migrations` changed.
    pub fn undoes(self) -> bool {
        matches!(self, Self::Disk | Self::Capsule | Self::Sql)
    }
}

/// Makes the plan.
pub fn plan(situation: &Situation<'_>) -> Plan {
    Planner::new(situation).plan()
}

struct Planner<'a> {
    situation: &'a Situation<'a>,
    squashes: Squashes,
    now: AppliedSet,
    target: AppliedSet,
    now_parts: BTreeSet<MigrationId>,
    /// Parts that are applied now and were not at the release.
    remove: BTreeSet<MigrationId>,
    facts: BTreeMap<&'a MigrationId, &'a MigrationFacts>,
    files: BTreeSet<&'a MigrationId>,
    /// Migrations with a file that is not the one that was applied.
    changed: BTreeSet<&'a MigrationId>,
    split: BTreeSet<MigrationId>,
    graph: Graph,
}

impl<'a> Planner<'a> {
    fn new(situation: &'a Situation<'a>) -> Self {
        let on_disk = situation.on_disk.map_or(&[][..], |project| &project.migrations);
        let squashes = Squashes::of(on_disk.iter().chain(situation.remembered));
        let foreign = |id: &&MigrationId| id.app != situation.own_app;
        let now: AppliedSet =
            situation.now.iter().map(|row| &row.migration).filter(foreign).cloned().collect();
        let target: AppliedSet = situation.target.iter().filter(foreign).cloned().collect();
        let now_parts = squashes.fold(&now);
        let remove: BTreeSet<_> = now_parts.difference(&squashes.fold(&target)).cloned().collect();
        let files: BTreeSet<&MigrationId> = on_disk.iter().map(|fact| &fact.id).collect();
        let changed = changed(on_disk, situation.remembered);
        let facts = known_facts(situation, &squashes, &files, &changed);
        let split = squashes
            .iter()
            .filter(|squash| is_split(&squashes.parts(squash), &now_parts, &remove))
            .cloned()
            .collect();
        let nothing = BTreeSet::new();
        let unmigrated = situation.on_disk.map_or(&nothing, |project| &project.unmigrated_apps);
        let all: Vec<&MigrationFacts> = facts.values().copied().collect();
        let graph = Graph::build(&all, unmigrated, &split);
        Self { situation, squashes, now, target, now_parts, remove, facts, files, changed, split, graph }
    }

    fn plan(self) -> Plan {
        let mut blockers = Vec::new();
        let (undo, unknown) = self.nodes_to_undo(&mut blockers);
        let order: Vec<MigrationId> = self.graph.full_plan().into_iter().cloned().collect();
        self.check_reversible(&order, &undo, &mut blockers);
        self.check_transactions(&order, &undo, &mut blockers);
        self.check_closed(&order, &undo, &mut blockers);
        let result = self.result();
        let steps = self.steps(&order, &undo, &unknown, &result);
        self.check_ways(&steps, &mut blockers);
        self.check_rests(&steps, &mut blockers);
        let warnings = self.warnings(&unknown, &steps);
        let has_state = |id: &MigrationId| self.has_file(id) || self.is_rest_in_archive(id);
        let staying = order.into_iter().filter(|id| self.stays(id, &undo) && has_state(id)).collect();
        Plan { steps, blockers, warnings, staying, result }
    }

    /// The nodes of the graph that stand for what is removed, and the migrations that nobody knows.
    fn nodes_to_undo(&self, blockers: &mut Vec<Blocker>) -> (BTreeSet<MigrationId>, BTreeSet<MigrationId>) {
        let (mut undo, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        for part in &self.remove {
            let node = if self.graph.contains(part) { Some(part.clone()) } else { self.squash_of(part) };
            match node {
                Some(node) => {
                    blockers.extend(self.cannot_split(&node));
                    undo.insert(node);
                }
                None => {
                    blockers.extend(self.cannot_split(part));
                    unknown.insert(part.clone());
                }
            }
        }
        (undo, unknown)
    }

    fn squash_of(&self, part: &MigrationId) -> Option<MigrationId> {
        self.squashes
            .iter()
            .find(|squash| self.graph.contains(squash) && self.squashes.parts(squash).contains(part))
            .cloned()
    }

    /// A part of a squash that nothing here can undo without the rest.
    fn cannot_split(&self, part: &MigrationId) -> Option<Blocker> {
        if self.situation.on_disk.is_none() || self.way_of(part).0.is_some() {
            return None;
        }
        let is_whole =
            |squash: &&MigrationId| self.squashes.parts(squash).contains(part) && self.has_file(squash);
        let squash = self.split.iter().find(is_whole)?;
        Some(Blocker::CannotSplit { squash: squash.clone(), migration: part.clone() })
    }

    fn has_file(&self, id: &MigrationId) -> bool {
        self.files.contains(id)
    }

    /// Whether there is archived source that may be loaded.
    fn is_archived(&self, id: &MigrationId) -> bool {
        let means = self.situation.means.get(id);
        let is_sound = means.is_some_and(|means| means.source.is_ok() && means.distrust.is_none());
        is_sound && self.situation.ways.contains(&Way::Capsule)
    }

    /// Whether this is a part of a squash, which alone has a file, and is to be loaded out of the archive.
    fn is_rest_in_archive(&self, id: &MigrationId) -> bool {
        let mut squashes = self.split.iter().filter(|squash| self.has_file(squash));
        squashes.any(|squash| squash != id && self.squashes.parts(squash).contains(id))
            && self.is_archived(id)
    }

    /// The way to undo a migration, and where Django would load it from; none where there is none.
    fn way_of(&self, id: &MigrationId) -> (Option<Way>, Option<Way>) {
        let ways = self.situation.ways;
        let loads = self.loads(id);
        let sql = ways.contains(&Way::Sql) && self.has_sql(id);
        let takes_sql_first = ways.first() == Some(&Way::Sql) || loads.is_none();
        (if sql && takes_sql_first { Some(Way::Sql) } else { loads }, loads)
    }

    fn has_sql(&self, id: &MigrationId) -> bool {
        let is_asked_for = self.situation.ways == [Way::Sql];
        let runs_outside = self.facts.get(id).is_some_and(|facts| facts.outside_transaction().is_some());
        let means = self.situation.means.get(id);
        (self.situation.is_verified || is_asked_for)
            && !runs_outside
            && means.is_some_and(|means| means.sql.is_ok() && means.distrust.is_none())
    }

    fn loads(&self, id: &MigrationId) -> Option<Way> {
        let means = self.situation.means.get(id);
        let archived = means.is_some_and(|means| means.source.is_ok() && means.distrust.is_none());
        let can = |way: &Way| match way {
            Way::Disk => {
                self.situation.on_disk.is_none() || (self.has_file(id) && !self.changed.contains(id))
            }
            Way::Capsule => self.situation.on_disk.is_none() || archived,
            _ => false,
        };
        let ways = self.situation.ways;
        let changed = (ways.contains(&Way::Disk) && self.has_file(id)).then_some(Way::Disk);
        ways.iter().copied().find(can).or(changed)
    }

    /// What cannot be done in any way, or only by trusting what is not to be trusted.
    fn check_ways(&self, steps: &[Step], blockers: &mut Vec<Blocker>) {
        let is_done_by_python = |step: &Step| self.way_of(&step.migration).0.is_some_and(Way::needs_python);
        let needs_python = steps.iter().any(|step| step.way.undoes() && is_done_by_python(step));
        for step in steps.iter().filter(|step| step.way.undoes()) {
            let id = &step.migration;
            let means = self.situation.means.get(id);
            let uses_what_is_kept = self.situation.ways.iter().any(|way| *way != Way::Disk);
            if let Some(reason) = means.and_then(|means| means.distrust.clone()).filter(|_| uses_what_is_kept)
            {
                let has_file = self.has_file(id) || self.situation.on_disk.is_none();
                blockers.push(Blocker::Untrusted { migration: id.clone(), reason, has_file });
                continue;
            }
            let is_possible = self.way_of(id).0.is_some() && (!needs_python || step.loads.is_some());
            if !is_possible && self.cannot_split(id).is_none() {
                blockers.push(self.no_way(id, means));
            }
        }
    }

    /// Where a part of a squash is undone by Django, that needs the models that the rest of it made.
    fn check_rests(&self, steps: &[Step], blockers: &mut Vec<Blocker>) {
        if self.situation.on_disk.is_none() || !steps.iter().any(|step| step.way.needs_python()) {
            return;
        }
        for squash in self.split.iter().filter(|squash| self.has_file(squash)) {
            let parts = self.squashes.parts(squash);
            let (undone, rest): (Vec<_>, Vec<_>) =
                parts.intersection(&self.now_parts).partition(|part| self.remove.contains(part));
            let is_lost = rest.iter().any(|part| !self.has_file(part) && !self.is_archived(part));
            let Some(undone) = undone.first().filter(|_| is_lost) else { continue };
            let blocker =
                Blocker::CannotSplit { squash: squash.clone(), migration: MigrationId::clone(undone) };
            if !blockers.contains(&blocker) {
                blockers.push(blocker);
            }
        }
    }

    fn no_way(&self, id: &MigrationId, means: Option<&Means>) -> Blocker {
        let release = means.and_then(|means| means.release.clone());
        if let [way @ (Way::Sql | Way::Capsule)] = self.situation.ways {
            let reason = match (way, means) {
                (_, None) => "nothing is kept of it".to_owned(),
                (Way::Sql, Some(means)) => means.sql.clone().err().unwrap_or_else(|| {
                    "it has an operation that has to run outside a transaction".to_owned()
                }),
                (_, Some(means)) => means.source.clone().err().unwrap_or_default(),
            };
            return Blocker::NotThatWay { migration: id.clone(), way: *way, reason, release };
        }
        let reason = means.and_then(|means| means.source.clone().err());
        Blocker::MissingFile { migration: id.clone(), reason, release }
    }

    fn stays(&self, id: &MigrationId, undo: &BTreeSet<MigrationId>) -> bool {
        let own =
            id.app == self.situation.own_app && self.situation.now.iter().any(|row| row.migration == *id);
        own || (!undo.contains(id)
            && self.graph.contains(id)
            && self.squashes.parts(id).is_subset(&self.now_parts))
    }

    fn check_reversible(
        &self,
        order: &[MigrationId],
        undo: &BTreeSet<MigrationId>,
        blockers: &mut Vec<Blocker>,
    ) {
        for id in order.iter().rev().filter(|id| undo.contains(id)) {
            let operations = self.facts.get(id).map_or(&[][..], |fact| &fact.irreversible);
            blockers.extend(operations.iter().map(|operation| Blocker::Irreversible {
                migration: id.clone(),
                operation: operation.clone(),
            }));
        }
    }

    /// Statements that would be refused in the transaction that their migration asks for.
    fn check_transactions(
        &self,
        order: &[MigrationId],
        undo: &BTreeSet<MigrationId>,
        blockers: &mut Vec<Blocker>,
    ) {
        for id in order.iter().rev().filter(|id| undo.contains(id)) {
            let refused = self.facts.get(id).and_then(|fact| fact.refused_statement());
            blockers.extend(refused.map(|(operation, statement)| Blocker::RefusesTransaction {
                migration: id.clone(),
                operation: operation.to_owned(),
                statement,
            }));
        }
    }

    fn check_closed(&self, order: &[MigrationId], undo: &BTreeSet<MigrationId>, blockers: &mut Vec<Blocker>) {
        for staying in order.iter().filter(|id| self.stays(id, undo)) {
            let undone = self
                .graph
                .parents(staying)
                .filter(|parent| undo.contains(parent) || self.remove.contains(parent));
            blockers.extend(
                undone
                    .map(|undone| Blocker::Inconsistent { staying: staying.clone(), undone: undone.clone() }),
            );
        }
    }

    /// The rows of the release, as far as the database holds what they stand for, and our own app's.
    fn result(&self) -> AppliedSet {
        let own =
            self.situation.now.iter().map(|row| &row.migration).filter(|id| id.app == self.situation.own_app);
        let back = self.target.iter().filter(|id| self.squashes.parts(id).is_subset(&self.now_parts));
        own.chain(back).cloned().collect()
    }

    fn steps(
        &self,
        order: &[MigrationId],
        undo: &BTreeSet<MigrationId>,
        unknown: &BTreeSet<MigrationId>,
        result: &AppliedSet,
    ) -> Vec<Step> {
        let newest_first = self.situation.now.iter().rev().map(|row| &row.migration);
        let mut steps: Vec<Step> =
            newest_first.filter(|id| unknown.contains(id)).map(|id| self.undo(id)).collect();
        steps.extend(order.iter().rev().filter(|id| undo.contains(id)).map(|id| self.undo(id)));
        let gone: BTreeSet<MigrationId> = steps.iter().flat_map(|step| step.rows.iter().cloned()).collect();
        let surplus = self.now.minus(result).filter(|id| !gone.contains(id));
        let added: Vec<&MigrationId> = result.iter().filter(|id| !self.is_row(id)).collect();
        steps.extend(surplus.map(|id| row_step(id, Way::Unmark)));
        steps.extend(added.into_iter().map(|id| row_step(id, Way::Mark)));
        steps
    }

    fn is_row(&self, id: &MigrationId) -> bool {
        self.now.contains(id) || id.app == self.situation.own_app
    }

    fn undo(&self, id: &MigrationId) -> Step {
        let rows = self.squashes.rows(id).into_iter().filter(|row| self.now.contains(row)).collect();
        let outside_transaction =
            self.facts.get(id).and_then(|fact| fact.outside_transaction()).map(str::to_owned);
        let runs_code =
            self.facts.get(id).is_some_and(|fact| fact.custom.iter().any(|custom| custom.sql.is_none()));
        let (way, loads) = self.way_of(id);
        let way = way.unwrap_or(Way::Disk);
        Step { migration: id.clone(), way, rows, outside_transaction, runs_code, loads }
    }

    fn warnings(&self, unknown: &BTreeSet<MigrationId>, steps: &[Step]) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let target_parts = self.squashes.fold(&self.target);
        let absent: Vec<MigrationId> = target_parts.difference(&self.now_parts).cloned().collect();
        if !absent.is_empty() {
            warnings.push(Warning::NotApplied { migrations: absent });
        }
        if !unknown.is_empty() && self.situation.on_disk.is_none() {
            warnings.push(Warning::OrderUnknown { migrations: unknown.iter().cloned().collect() });
        }
        for step in steps.iter().filter(|step| step.way.undoes()) {
            if step.way == Way::Disk && self.changed.contains(&step.migration) {
                warnings.push(Warning::ChangedFile { migration: step.migration.clone() });
            }
            let custom = self.facts.get(&step.migration).map_or(&[][..], |fact| &fact.custom);
            let removing =
                custom.iter().filter(|custom| custom.sql.as_deref().is_some_and(sql::may_remove_data));
            warnings.extend(removing.map(|custom| Warning::MayLose {
                migration: step.migration.clone(),
                operation: custom.operation.clone(),
            }));
        }
        let not_atomic =
            steps.iter().filter_map(|step| Some((&step.migration, step.outside_transaction.as_ref()?)));
        warnings.extend(not_atomic.map(|(migration, operation)| Warning::NotAtomic {
            migration: migration.clone(),
            operation: operation.clone(),
        }));
        warnings
    }
}

fn row_step(id: &MigrationId, way: Way) -> Step {
    Step {
        migration: id.clone(),
        way,
        rows: vec![id.clone()],
        outside_transaction: None,
        runs_code: false,
        loads: None,
    }
}

/// Whether a squash is applied, and only a part of it goes.
fn is_split(
    parts: &BTreeSet<MigrationId>,
    now: &BTreeSet<MigrationId>,
    remove: &BTreeSet<MigrationId>,
) -> bool {
    let applied = parts.intersection(now).count();
    let removed = parts.intersection(remove).count();
    (applied > 0 && applied < parts.len()) || (removed > 0 && removed < applied)
}

/// The migrations whose file here is another one than was applied.
fn changed<'a>(on_disk: &'a [MigrationFacts], applied: &[MigrationFacts]) -> BTreeSet<&'a MigrationId> {
    let sources: BTreeMap<_, _> =
        applied.iter().filter_map(|facts| Some((&facts.id, facts.source.as_ref()?))).collect();
    let is_other = |facts: &&MigrationFacts| {
        let sources = facts.source.as_ref().zip(sources.get(&facts.id));
        sources.is_some_and(|(here, applied)| here != *applied)
    };
    on_disk.iter().filter(is_other).map(|facts| &facts.id).collect()
}

/// The files, and for what has none, what is remembered about it. A remembered squash never displaces files.
fn known_facts<'a>(
    situation: &Situation<'a>,
    squashes: &Squashes,
    files: &BTreeSet<&MigrationId>,
    changed: &BTreeSet<&MigrationId>,
) -> BTreeMap<&'a MigrationId, &'a MigrationFacts> {
    let Some(project) = situation.on_disk else {
        return situation.remembered.iter().map(|fact| (&fact.id, fact)).collect();
    };
    let displaces = |fact: &MigrationFacts| {
        !changed.contains(&fact.id) && squashes.rows(&fact.id).iter().any(|row| files.contains(row))
    };
    let remembered = situation.remembered.iter().filter(|fact| fact.replaces.is_empty() && !displaces(fact));
    // A file that was edited since says nothing of a migration that is undone by what was applied.
    let is_used = |fact: &&MigrationFacts| {
        let means = situation.means.get(&fact.id);
        let is_archived = means.is_some_and(|means| means.source.is_ok() && means.distrust.is_none());
        !(changed.contains(&fact.id) && is_archived && situation.ways.contains(&Way::Capsule))
    };
    remembered.chain(project.migrations.iter().filter(is_used)).map(|fact| (&fact.id, fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ids, migrations};

    /// One case: the rows now, the release's rows, and the migration files of the project.
    #[derive(Clone, Copy)]
    struct Case<'a> {
        now: &'a str,
        target: &'a str,
        files: &'a str,
        remembered: &'a str,
        /// What is kept of migrations: `a.2:sql+source a.3:source a.4:bad`.
        kept: &'a str,
        ways: &'a [Way],
        unverified: bool,
    }

    const FILES: Case<'static> =
        Case { now: "", target: "", files: "", remembered: "", kept: "", ways: WAYS, unverified: false };

    fn means(text: &str) -> BTreeMap<MigrationId, Means> {
        let one = |word: &str| {
            let (name, kept) = word.split_once(':').expect("a migration and what is kept of it");
            let has =
                |what: &str| if kept.contains(what) { Ok(()) } else { Err(format!("it has no {what}")) };
            let distrust = kept.contains("bad").then(|| "its signature is wrong".to_owned());
            let release = Some("03ec91e (v2)".to_owned());
            (crate::testing::id(name), Means { sql: has("sql"), source: has("source"), distrust, release })
        };
        text.split_whitespace().map(one).collect()
    }

    fn rows(text: &str) -> Vec<AppliedRow> {
        ids(text).into_iter().zip(1..).map(|(migration, id)| AppliedRow { id, migration }).collect()
    }

    fn make(case: &Case<'_>) -> Plan {
        let project = ProjectFacts { migrations: migrations(case.files), ..ProjectFacts::default() };
        plan(&Situation {
            now: &rows(case.now),
            target: &ids(case.target).into_iter().collect(),
            on_disk: Some(&project).filter(|project| !project.migrations.is_empty()),
            remembered: &migrations(case.remembered),
            means: &means(case.kept),
            ways: case.ways,
            is_verified: !case.unverified,
            own_app: "django_rollback",
        })
    }

    /// Steps (`-` undo, `~` unmark, `+` mark), then blockers as `!kind`, then warnings as `?kind`.
    fn summary(plan: &Plan) -> String {
        let steps = plan.steps.iter().map(|step| match step.way {
            Way::Disk => format!("-{}", step.migration),
            Way::Sql => format!("s{}", step.migration),
            Way::Capsule => format!("c{}", step.migration),
            Way::Unmark => format!("~{}", step.migration),
            Way::Mark => format!("+{}", step.migration),
        });
        let blockers = plan.blockers.iter().map(|blocker| format!("!{}", blocker.kind()));
        let warnings = plan.warnings.iter().map(|warning| format!("?{}", warning.kind()));
        steps.chain(blockers).chain(warnings).collect::<Vec<_>>().join(" ")
    }

    fn check(case: &Case<'_>, expected: &str) {
        assert_eq!(summary(&make(case)), expected);
    }

    #[test]
    fn nothing_to_do() {
        check(&Case { now: "a.1", target: "a.1", files: "a.1", ..FILES }, "");
    }

    #[test]
    fn a_merge_and_its_parallel_branch_go_and_the_other_branch_stays() {
        let files = "a.1
            a.2 < a.1
            a.2b < a.1
            a.3 < a.2 a.2b";
        let case = Case { now: "a.1 a.2 a.2b a.3", target: "a.1 a.2", files, ..FILES };
        check(&case, "-a.3 -a.2b");
        assert_eq!(make(&case).staying, ids("a.1 a.2"));
    }

    #[test]
    fn the_order_of_rows_means_nothing() {
        check(
            &Case { now: "a.2 b.1 a.1", target: "", files: "a.1 < b.1\na.2 < a.1\nb.1", ..FILES },
            "-a.2 -a.1 -b.1",
        );
    }

    #[test]
    fn a_lower_number_applied_later() {
        let files = "a.1\na.2 < a.1\na.1x < a.1";
        check(&Case { now: "a.1 a.2 a.1x", target: "a.1 a.2", files, ..FILES }, "-a.1x");
    }

    #[test]
    fn run_before_and_first_are_edges() {
        let files = "user.1\nz.1 < user.__first__ before a.2\na.1\na.2 < a.1";
        check(&Case { now: "a.1 user.1 z.1 a.2", target: "a.1", files, ..FILES }, "-a.2 -z.1 -user.1");
    }

    #[test]
    fn a_squash_with_its_old_files() {
        let files = "a.1
            a.2 < a.1
            a.1s replaces a.1 a.2
            a.4 < a.1s";
        check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2", files, ..FILES }, "-a.4 ~a.1s");
        check(&Case { now: "a.1 a.2 a.1s a.4", target: "", files, ..FILES }, "-a.4 -a.1s");
        check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2 a.1s", files, ..FILES }, "-a.4");
    }

    #[test]
    fn a_squash_without_its_old_files() {
        let files = "a.1s replaces a.1 a.2
            a.4 < a.1s";
        check(&Case { now: "a.1 a.2 a.1s a.4", target: "a.1 a.2", files, ..FILES }, "-a.4 ~a.1s");
        check(&Case { now: "a.1 a.2 a.1s", target: "a.1", files, ..FILES }, "-a.2 ~a.1s !cannot-split");
        let remembered = "a.1\na.2 < a.1";
        let case = Case { now: "a.1 a.2 a.1s", target: "a.1", files, remembered, ..FILES };
        check(&case, "-a.2 ~a.1s !cannot-split");
    }

    #[test]
    fn a_part_of_a_squash_out_of_the_archive() {
        let files = "a.1s replaces a.1 a.2 a.3";
        let remembered = "a.1\na.2 < a.1\na.3 < a.2";
        let case = Case { now: "a.1 a.2 a.3 a.1s", target: "a.1", files, remembered, ..FILES };
        let all = Case { kept: "a.1:source a.2:source a.3:source", ..case };
        check(&all, "ca.3 ca.2 ~a.1s");
        assert_eq!(make(&all).staying, ids("a.1"));
        // What stays made the models that Django needs.
        check(&Case { kept: "a.2:source a.3:source", ..case }, "ca.3 ca.2 ~a.1s !cannot-split");
        check(
            &Case { kept: "a.1:source+bad a.2:source a.3:source", ..case },
            "ca.3 ca.2 ~a.1s !cannot-split",
        );
        check(&Case { ways: &[Way::Disk], ..all }, "-a.3 -a.2 ~a.1s !cannot-split !cannot-split");
        check(&Case { kept: "a.2:sql a.3:sql", ..case }, "sa.3 sa.2 ~a.1s");
    }

    #[test]
    fn a_squash_whose_old_rows_were_pruned() {
        let files = "a.1s\na.4 < a.1s";
        let remembered = "a.1s replaces a.1 a.2";
        let case = Case { now: "a.1s a.4", target: "a.1 a.2", files, remembered, ..FILES };
        check(&case, "-a.4 ~a.1s +a.1 +a.2");
        assert_eq!(make(&case).result, ids("a.1 a.2").into_iter().collect());
        check(&Case { target: "", ..case }, "-a.4 -a.1s");
    }

    #[test]
    fn a_part_of_a_squash_goes_by_its_own_file() {
        let files = "a.1
            a.2 < a.1
            a.1s replaces a.1 a.2
            b.1 < a.1s";
        let case = Case { now: "a.1 a.2 a.1s b.1", target: "a.1", files, ..FILES };
        check(&case, "-b.1 -a.2 ~a.1s");
        assert_eq!(make(&case).staying, ids("a.1"));
    }

    #[test]
    fn a_squash_and_more_in_one_release() {
        let files = "a.1s replaces a.1 a.2 a.3
            a.4 < a.1s
            a.5 < a.4";
        let before = "a.1 a.2 a.3 a.1s a.4";
        check(&Case { now: &format!("{before} a.5"), target: before, files, ..FILES }, "-a.5");
    }

    #[test]
    fn irreversible_operations_are_named_all_of_them() {
        let files = "a.1
            a.2 < a.1 irreversible RunSQL RunPython
            b.1 < a.2";
        let case = Case { now: "a.1 a.2 b.1", target: "a.1", files, ..FILES };
        check(&case, "-b.1 -a.2 !irreversible !irreversible");
        assert_eq!(make(&case).blockers[0].to_string(), "a.2 cannot be undone: RunSQL is irreversible");
    }

    #[test]
    fn a_missing_file_is_found_before_anything_runs() {
        check(&Case { now: "a.1 old.1", target: "a.1", files: "a.1", ..FILES }, "-old.1 !missing-file");
        let remembered = "old.1 < a.1";
        check(
            &Case { now: "a.1 old.1", target: "a.1", files: "a.1", remembered, ..FILES },
            "-old.1 !missing-file",
        );
    }

    #[test]
    fn an_app_that_only_the_release_had() {
        check(&Case { now: "a.1", target: "a.1 old.1", files: "a.1", ..FILES }, "?not-applied");
    }

    #[test]
    fn a_dependency_that_was_added_to_an_applied_migration() {
        let files = "a.1\na.2 < a.1 b.1\nb.1";
        let case = Case { now: "a.1 a.2 b.1", target: "a.1 a.2", files, ..FILES };
        check(&case, "-b.1 !inconsistent");
        assert_eq!(
            make(&case).blockers[0].to_string(),
            "b.1 must be undone, and a.2, which stays, depends on it"
        );
    }

    #[test]
    fn what_stays_without_a_file_still_holds_its_parents() {
        let case = Case {
            now: "a.1 a.2 old.1",
            target: "a.1 old.1",
            files: "a.1\na.2 < a.1",
            remembered: "old.1 < a.2",
            ..FILES
        };
        check(&case, "-a.2 !inconsistent");
    }

    #[test]
    fn our_own_migrations_are_never_undone() {
        let files = "django_rollback.1\ndjango_rollback.2 < django_rollback.1\na.1";
        let case = Case {
            now: "django_rollback.1 django_rollback.2 a.1",
            target: "django_rollback.1",
            files,
            ..FILES
        };
        check(&case, "-a.1");
        assert_eq!(make(&case).result, ids("django_rollback.1 django_rollback.2").into_iter().collect());
        assert_eq!(make(&case).staying, ids("django_rollback.1 django_rollback.2"));
    }

    #[test]
    fn only_data_work_outside_a_transaction_cuts_the_plan() {
        let case = |files| Case { now: "a.1 a.2 a.3 a.4", target: "a.1", files, ..FILES };
        let joined = case("a.1\na.2 < a.1 nonatomic\na.3 < a.2\na.4 < a.3 code");
        check(&joined, "-a.4 -a.3 -a.2");
        assert_eq!(make(&joined).segments().len(), 1);
        let cut = case("a.1\na.2 < a.1\na.3 < a.2 nonatomic code\na.4 < a.3");
        check(&cut, "-a.4 -a.3 -a.2 ?not-atomic");
        let plan = make(&cut);
        assert_eq!(
            plan.segments().iter().map(|segment| segment.is_outside_transaction).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert!(!plan.is_atomic());
    }

    #[test]
    fn a_statement_that_no_transaction_takes_is_found_beforehand() {
        let now = "a.1 a.2";
        check(
            &Case { now, target: "a.1", files: "a.1\na.2 < a.1 sql VACUUM", ..FILES },
            "-a.2 !refuses-transaction",
        );
        check(
            &Case { now, target: "a.1", files: "a.1\na.2 < a.1 nonatomic sql VACUUM", ..FILES },
            "-a.2 ?not-atomic",
        );
    }

    #[test]
    fn without_django_what_is_remembered_decides() {
        let remembered = "a.1\na.2 < a.1 irreversible RunSQL\nb.1 < a.2";
        check(&Case { now: "b.1 a.1 a.2", target: "a.1", remembered, ..FILES }, "-b.1 -a.2 !irreversible");
        check(&Case { now: "a.1 a.2 a.3", target: "a.1", ..FILES }, "-a.3 -a.2 ?order-unknown");
    }

    #[test]
    fn files_that_are_not_applied_play_no_part() {
        check(
            &Case { now: "a.1 a.2", target: "a.1", files: "a.1\na.2 < a.1\na.3 < a.2\nc.1", ..FILES },
            "-a.2",
        );
    }

    #[test]
    fn each_step_takes_the_first_way_that_there_is() {
        let files = "a.1\na.2 < a.1\na.3 < a.2 code";
        let case =
            Case { now: "a.1 a.2 a.3", target: "a.1", files, kept: "a.2:sql+source a.3:source", ..FILES };
        check(&case, "-a.3 sa.2");
        check(&Case { ways: &[Way::Disk], ..case }, "-a.3 -a.2");
        check(&Case { ways: &[Way::Capsule], ..case }, "ca.3 ca.2");
        check(&Case { ways: &[Way::Sql], ..case }, "-a.3 sa.2 !not-that-way");
        let old_image = Case { files: "a.1", remembered: "a.2 < a.1\na.3 < a.2", ..case };
        check(&old_image, "ca.3 sa.2");
        check(&Case { kept: "a.2:sql a.3:sql", ..old_image }, "sa.3 sa.2");
    }

    #[test]
    fn recorded_sql_is_the_choice_only_where_its_result_is_checked() {
        let files = "a.1\na.2 < a.1";
        let kept = "a.2:sql";
        let case = Case { now: "a.1 a.2", target: "a.1", files, kept, unverified: true, ..FILES };
        check(&case, "-a.2");
        check(&Case { ways: &[Way::Sql], ..case }, "sa.2");
    }

    #[test]
    fn a_file_that_was_changed_since_it_was_applied_is_the_last_choice() {
        let case = Case {
            now: "a.1 a.2",
            target: "a.1",
            files: "a.1\na.2 < a.1 source 22",
            remembered: "a.2 < a.1 source 11",
            ways: &[Way::Disk, Way::Capsule],
            ..FILES
        };
        check(&Case { kept: "a.2:source", ..case }, "ca.2");
        check(&Case { kept: "a.2:", ..case }, "-a.2 ?changed-file");
        check(&Case { files: "a.1\na.2 < a.1 source 11", kept: "a.2:source", ..case }, "-a.2");
    }

    #[test]
    fn a_step_by_sql_needs_its_source_where_django_does_another() {
        let (files, remembered) = ("a.1", "a.2 < a.1\na.3 < a.2");
        let case = Case { now: "a.1 a.2 a.3", target: "a.1", files, remembered, ..FILES };
        check(&Case { kept: "a.2:sql a.3:source", ..case }, "ca.3 sa.2 !missing-file");
        check(&Case { kept: "a.2:sql+source a.3:", ..case }, "-a.3 sa.2 !missing-file");
    }

    #[test]
    fn nothing_is_done_with_what_is_not_trusted() {
        let files = "a.1\na.2 < a.1";
        let case = Case { now: "a.1 a.2", target: "a.1", files, kept: "a.2:sql+source+bad", ..FILES };
        check(&case, "-a.2 !untrusted");
        check(&Case { ways: &[Way::Disk], ..case }, "-a.2");
        let old_image = Case { files: "a.1", remembered: "a.2 < a.1", ..case };
        check(&old_image, "-a.2 !untrusted");
    }

    mod laws {
        use proptest::prelude::*;

        use super::*;

        /// Files with edges only to earlier ones, and two applied sets that are closed under dependencies.
        fn histories() -> impl Strategy<Value = (Vec<MigrationFacts>, AppliedSet, AppliedSet)> {
            let file = (0..3usize, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
            (prop::collection::vec(file, 1..20), any::<u32>(), any::<u32>()).prop_map(
                |(files, now, target)| {
                    let mut facts: Vec<MigrationFacts> = Vec::new();
                    for (number, (app, parents)) in files.into_iter().enumerate() {
                        let mut fact = MigrationFacts::new(MigrationId::new(
                            ["a", "b", "c"][app],
                            format!("{number:02}"),
                        ));
                        if number > 0 {
                            fact.dependencies =
                                parents.iter().map(|parent| facts[parent.index(number)].id.clone()).collect();
                        }
                        facts.push(fact);
                    }
                    let now = closed(&facts, now);
                    let target = closed(&facts, target);
                    (facts, now, target)
                },
            )
        }

        fn closed(facts: &[MigrationFacts], mask: u32) -> AppliedSet {
            let mut set = BTreeSet::new();
            for (number, fact) in facts.iter().enumerate() {
                if mask >> number & 1 == 1 && fact.dependencies.iter().all(|parent| set.contains(parent)) {
                    set.insert(fact.id.clone());
                }
            }
            set.into_iter().collect()
        }

        proptest! {
            #[test]
            fn steps_are_the_difference_children_first((facts, now, target) in histories()) {
                let rows: Vec<AppliedRow> =
                    now.iter().cloned().zip(1..).map(|(migration, id)| AppliedRow { id, migration }).collect();
                let project = ProjectFacts { migrations: facts, ..ProjectFacts::default() };
                let situation = Situation {
                    now: &rows,
                    target: &target,
                    on_disk: Some(&project),
                    remembered: &[],
                    means: &BTreeMap::new(),
                    ways: WAYS,
                    is_verified: true,
                    own_app: "none",
                };
                let plan = plan(&situation);
                prop_assert_eq!(&plan.blockers, &vec![]);
                let undone: BTreeSet<&MigrationId> = plan.steps.iter().map(|step| &step.migration).collect();
                prop_assert_eq!(&undone, &now.minus(&target).collect());
                let mut applied: BTreeSet<&MigrationId> = now.iter().collect();
                for step in &plan.steps {
                    applied.remove(&step.migration);
                    let orphan = project.migrations.iter().find(|fact| {
                        applied.contains(&fact.id) && fact.dependencies.contains(&step.migration)
                    });
                    prop_assert!(orphan.is_none(), "{} goes before {:?}", step.migration, orphan);
                }
                prop_assert!(plan.staying.iter().all(|id| applied.contains(id)));
                prop_assert_eq!(plan.staying.len(), applied.len());
            }
        }
    }
}
