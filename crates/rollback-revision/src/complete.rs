//! Completing what a migration's text does not tell with what Django's loader says of it.

use std::collections::BTreeSet;

use rollback_core::{MigrationId, NewCapsule, OperationFacts};
use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Target, What};

/// What the loader says takes the place of what the text does not tell.
pub(crate) fn complete(source: &mut MigrationSource, capsule: &NewCapsule) {
    let place = source.class.clone().unwrap_or(0..0);
    let references = |known: &[MigrationId]| {
        let reference =
            |id: &MigrationId| Reference { target: Target::Migration(id.clone()), span: place.clone() };
        known.iter().map(reference).collect::<Vec<_>>()
    };
    let unknown: BTreeSet<What> = source.unknown.iter().map(|unknown| unknown.what).collect();
    let is_unknown = |what: What| unknown.contains(&What::Migration) || unknown.contains(&what);
    if is_unknown(What::Dependencies) {
        source.dependencies = references(&capsule.facts.dependencies);
    }
    if is_unknown(What::RunBefore) {
        source.run_before = references(&capsule.facts.run_before);
    }
    if is_unknown(What::Replaces) {
        source.replaces = references(&capsule.facts.replaces);
    }
    if is_unknown(What::Atomic) {
        source.atomic.0 = capsule.facts.atomic;
    }
    let same_length = source.operations.len() == capsule.operations.len();
    if same_length && !is_unknown(What::Operations) {
        for (operation, known) in source.operations.iter_mut().zip(&capsule.operations) {
            operation.reversible = Some(known.reversible);
        }
    } else {
        let operation = |known: &OperationFacts| Operation {
            class: known.kind.clone(),
            span: place.clone(),
            action: Action::Custom,
            reversible: Some(known.reversible),
            elidable: Some(false),
        };
        source.operations = capsule.operations.iter().map(operation).collect();
    }
    // What an operation does is still not known where only its name is: the note about it stays, but where there is
    // nothing more to know.
    let is_told =
        source.operations.iter().all(|operation| matches!(operation.class.as_str(), "RunPython" | "RunSQL"));
    source.unknown.retain_mut(|unknown| {
        let is_about_operations = !is_told && matches!(unknown.what, What::Operations | What::Migration);
        if is_about_operations {
            unknown.what = What::Argument;
        }
        is_about_operations || !unknown.what.is_structural()
    });
}
