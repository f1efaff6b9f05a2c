//! Proof: at the end the schema is what the target release had.

use rollback_core::plan::{Plan, Warning};
use rollback_core::schema::new_differences;
use rollback_core::{AppliedRow, AppliedSet, Effects, Release, Schema, SchemaDifference, SchemaObject, Side};

use super::error::RollbackError;
use crate::cases::releases;
use crate::store::{Store, StoreError, StoredRelease, Verification};

/// What the schema has to be at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// The target's; `None` if it was saved without one.
    pub(super) schema: Option<Schema>,
    /// Why the target's cannot be used, if it is damaged.
    pub(super) damage: Option<StoreError>,
    /// Whether the target was rebuilt from git, which does not know its schema.
    is_imported: bool,
    /// How the schema differs now from the one that the current release was saved with. It may differ so afterwards.
    drift: Vec<SchemaDifference>,
    /// What else may differ from the target's afterwards, as it does now: what no step touches, and what migrations of the
    /// target had made that are not applied any more.
    excused: Vec<SchemaDifference>,
}

impl Expected {
    pub(super) fn warnings(&self, from: &Release, to: &Release) -> Vec<Warning> {
        let drift = (!self.drift.is_empty())
            .then(|| Warning::Drift { differences: self.drift.clone(), current: from.label() });
        let not_verifiable = || Warning::NotVerifiable { target: to.label(), is_imported: self.is_imported };
        let unknown = self.schema.is_none().then(not_verifiable);
        drift.into_iter().chain(unknown).collect()
    }

    /// What the schema will be, what may differ from the target's included; `None` if the target's is not known.
    pub(super) fn at_the_end(&self) -> Option<Vec<SchemaObject>> {
        let mut objects = self.schema.as_ref()?.objects().to_vec();
        let mut excused: Vec<&SchemaDifference> = Vec::new();
        for difference in self.drift.iter().chain(&self.excused) {
            if excused.contains(&difference) {
                continue;
            }
            excused.push(difference);
            match difference.side {
                Side::Surplus => objects.push(difference.object.clone()),
                Side::Missing => {
                    let place = objects.iter().position(|object| *object == difference.object);
                    place.map(|place| objects.remove(place));
                }
            }
        }
        Some(objects)
    }

    /// Whether anything was changed or made by hand.
    pub(super) fn has_drift(&self) -> bool {
        !self.drift.is_empty()
    }

    /// Whether this object was changed or made by hand; one whose name was made up is known by its table.
    pub(super) fn is_drift(&self, kind: &str, table: &str, name: &str) -> bool {
        self.drift.iter().map(|difference| &difference.object).any(|object| {
            object.kind == kind && object.table == table && (object.name == name || object.name.is_empty())
        })
    }
}

/// What the schema of now is compared with.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'c> {
    /// The current release.
    pub(super) current: &'c StoredRelease,
    /// The release to go back to.
    pub(super) target: &'c StoredRelease,
    /// What is applied.
    pub(super) rows: &'c [AppliedRow],
    /// How to go back.
    pub(super) plan: &'c Plan,
    /// What that does to the database; `None` if nobody here can tell.
    pub(super) effects: Option<&'c Effects>,
}

/// Reads what the target had, and what may differ from it at the end because it does so now.
pub(super) fn expected(store: &mut Store<'_>, comparison: &Comparison<'_>) -> Result<Expected, StoreError> {
    let Comparison { target, plan, .. } = *comparison;
    let now = store.read_schema()?;
    let drift = drift(store, comparison, &now)?;
    let schema = match store.last_schema_of(target) {
        Err(error @ StoreError::StoredSchema { .. }) => {
            return Ok(Expected { damage: Some(error), drift, ..Expected::default() });
        }
        schema => schema?,
    };
    let Some(schema) = schema else {
        return Ok(Expected { is_imported: target.is_imported(), drift, ..Expected::default() });
    };
    let made_by_hand = made_by_hand(store, target, &schema)?;
    let is_incomplete = plan.warnings.iter().any(|warning| matches!(warning, Warning::NotApplied { .. }));
    let differences = schema.differences(&now);
    let missing: Vec<_> =
        differences.iter().filter(|difference| difference.side == Side::Missing).map(identity).collect();
    let excused = differences.iter().filter(|difference| {
        // An object that is there in another form is missing in the right one.
        !comparison.is_touched(difference) || (is_incomplete && missing.contains(&identity(difference)))
    });
    let excused = excused.cloned().chain(made_by_hand).collect();
    Ok(Expected { schema: Some(schema), drift, excused, ..Expected::default() })
}

/// What the target had at its end and not when it was saved, as missing: a later `migrate` may have lost it, and no
/// migration brings it back.
fn made_by_hand(
    store: &mut Store<'_>,
    target: &StoredRelease,
    at_its_end: &Schema,
) -> Result<Vec<SchemaDifference>, StoreError> {
    let saved = match store.schema_of(target) {
        Err(StoreError::StoredSchema { .. }) | Ok(None) => return Ok(Vec::new()),
        saved => saved?.unwrap_or_default(),
    };
    let differences = at_its_end.differences(&saved).into_iter();
    Ok(differences.filter(|difference| difference.side == Side::Missing).collect())
}

fn identity(difference: &SchemaDifference) -> (&str, &str, &str) {
    let SchemaObject { kind, table, name, .. } = &difference.object;
    (kind, table, name)
}

impl Comparison<'_> {
    /// Whether a step may have to do with this object: one that names its table, or any that runs code or SQL of its own.
    fn is_touched(&self, difference: &SchemaDifference) -> bool {
        match self.effects {
            Some(effects) => effects.is_opaque || effects.names.contains(&difference.object.table),
            None => self.plan.undoes(),
        }
    }
}

/// How the schema of now differs from the one that the current release was saved with. With migrations that were never
/// saved nothing can be said of that.
fn drift(
    store: &mut Store<'_>,
    comparison: &Comparison<'_>,
    now: &Schema,
) -> Result<Vec<SchemaDifference>, StoreError> {
    let Comparison { current, rows, .. } = *comparison;
    if releases::readable_set(store, current, rows)? != Some(AppliedSet::of_rows(rows)) {
        return Ok(Vec::new());
    }
    match store.schema_of(current) {
        Err(StoreError::Damaged { .. } | StoreError::StoredSchema { .. }) => Ok(Vec::new()),
        saved => Ok(saved?.map(|saved| saved.differences(now)).unwrap_or_default()),
    }
}

/// Before the commit: compares the schema, and says how that went.
pub(super) fn verify(
    store: &mut Store<'_>,
    expected: &Expected,
    target: &Release,
) -> Result<Verification, RollbackError> {
    let Some(schema) = &expected.schema else { return Ok(Verification::NoSchema) };
    let differences = schema.differences(&store.read_schema()?);
    let excused: Vec<_> = expected.drift.iter().chain(&expected.excused).cloned().collect();
    let new = new_differences(&differences, &excused);
    match (differences.is_empty(), new.is_empty()) {
        (true, _) => Ok(Verification::Same),
        (false, true) => Ok(Verification::Drift),
        (false, false) => Err(RollbackError::WrongSchema { target: target.label(), differences: new }),
    }
}
