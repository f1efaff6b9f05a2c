//! Proof: at the end the schema is what the target release had.

use rollback_core::plan::Warning;
use rollback_core::schema::new_differences;
use rollback_core::{AppliedSet, Release, Schema, SchemaDifference, Side};

use super::Prepared;
use crate::error::EngineError;
use crate::releases;
use crate::store::{Store, StoredRelease};

/// What the schema has to be at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// The target's; none where it was saved without one.
    pub(super) schema: Option<Schema>,
    /// How the schema differs now from the one that the current release was saved with. It may differ so afterwards.
    drift: Vec<SchemaDifference>,
    /// What the target had and the database lacks now, where migrations of the target are not applied any more: nobody
    /// can say what of it belongs to those.
    absent: Vec<SchemaDifference>,
}

impl Expected {
    pub(super) fn warnings(&self, from: &Release, to: &Release) -> Vec<Warning> {
        let drift = (!self.drift.is_empty())
            .then(|| Warning::Drift { differences: self.drift.clone(), current: from.label() });
        let unknown = self.schema.is_none().then(|| Warning::NotVerifiable { target: to.label() });
        drift.into_iter().chain(unknown).collect()
    }

    /// Whether an object of this kind and name was changed or made by hand.
    pub(super) fn is_drift(&self, kind: &str, table: &str) -> bool {
        self.drift.iter().any(|difference| difference.object.kind == kind && difference.object.table == table)
    }
}

/// Reads what the target had, and how the schema of now differs from what the current release had. With migrations that
/// were never saved nothing can be said of that, and nothing is excused.
pub(super) fn expected(
    store: &mut Store<'_>,
    current: &StoredRelease,
    target: &StoredRelease,
    prepared: &Prepared,
) -> Result<Expected, EngineError> {
    let schema = store.last_schema_of(target)?;
    let rows = &prepared.rows;
    let is_saved = releases::readable_set(store, current, rows)? == Some(AppliedSet::of_rows(rows));
    let saved = match store.schema_of(current) {
        Err(EngineError::Damaged { .. } | EngineError::StoredSchema { .. }) => None,
        saved => saved?.filter(|_| is_saved),
    };
    let is_incomplete =
        prepared.plan.warnings.iter().any(|warning| matches!(warning, Warning::NotApplied { .. }));
    if saved.is_none() && !is_incomplete {
        return Ok(Expected { schema, ..Expected::default() });
    }
    let now = store.read_schema()?;
    let drift = saved.map(|saved| saved.differences(&now)).unwrap_or_default();
    let absent =
        schema.as_ref().filter(|_| is_incomplete).map(|schema| schema.differences(&now)).unwrap_or_default();
    let absent = absent.into_iter().filter(|difference| difference.side == Side::Missing).collect();
    Ok(Expected { schema, drift, absent })
}

/// Before the commit: compares the schema, and says how that went.
pub(super) fn verify(
    store: &mut Store<'_>,
    expected: &Expected,
    target: &Release,
) -> Result<&'static str, EngineError> {
    let Some(schema) = &expected.schema else { return Ok("no-schema") };
    let differences = schema.differences(&store.read_schema()?);
    let excused: Vec<_> = expected.drift.iter().chain(&expected.absent).cloned().collect();
    let new = new_differences(&differences, &excused);
    match (differences.is_empty(), new.is_empty()) {
        (true, _) => Ok("same"),
        (false, true) => Ok("drift"),
        (false, false) => Err(EngineError::WrongSchema { target: target.label(), differences: new }),
    }
}
