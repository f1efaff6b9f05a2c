//! The JSON document of `graph --format json`: what the text of each migration says. `docs/json/` describes it.

use rollback_core::{CommitId, MigrationId};
use rollback_revision::Migrations;
use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Target, Unknown};
use serde_json::{Map, Value, json};

use crate::document::document;

pub(crate) fn facts(
    revision: &Migrations,
    commit: Option<&CommitId>,
    folder: &str,
    is_wanted: &dyn Fn(&MigrationId) -> bool,
) -> Value {
    let migrations = revision.read.iter().filter(|(id, _)| is_wanted(id)).filter_map(|(id, read)| {
        let path = format!("{folder}{}", revision.files.get(id)?.path);
        let mut entry = Map::from_iter([
            ("app".to_owned(), json!(id.app)),
            ("name".to_owned(), json!(id.name)),
            ("path".to_owned(), json!(path)),
        ]);
        match &read.source {
            Ok(source) if source.class.is_none() => return None,
            Ok(source) => entry.extend(said(source, &read.text)),
            Err(error) => {
                entry.insert("error".to_owned(), json!(error.reason));
                entry.insert("is_unknown".to_owned(), json!(true));
            }
        }
        Some(Value::Object(entry))
    });
    document(json!({ "commit": commit, "migrations": migrations.collect::<Vec<_>>() }))
}

fn said(source: &MigrationSource, text: &str) -> Map<String, Value> {
    let references = |references: &[Reference]| references.iter().map(reference).collect::<Vec<_>>();
    let operations = |operations: &[Operation]| operations.iter().map(operation).collect::<Vec<_>>();
    let entry = json!({
        "dependencies": references(&source.dependencies),
        "run_before": references(&source.run_before),
        "replaces": references(&source.replaces),
        "initial": source.initial,
        "atomic": source.atomic.0,
        "operations": operations(&source.operations),
        "unknown": source.unknown.iter().map(|unknown| not_known(unknown, text)).collect::<Vec<_>>(),
        "is_unknown": source.is_unknown(),
    });
    match entry {
        Value::Object(entry) => entry,
        _ => Map::new(),
    }
}

fn reference(reference: &Reference) -> Value {
    match &reference.target {
        Target::Migration(id) => json!({ "app": id.app, "name": id.name }),
        Target::Swappable { setting, default } => json!({ "setting": setting, "default": default }),
    }
}

fn operation(operation_: &Operation) -> Value {
    let mut entry = json!({
        "class": operation_.class, "reversible": operation_.reversible, "elidable": operation_.elidable,
    });
    if let Action::Separate { database, state } = &operation_.action {
        entry["database_operations"] = database.iter().map(operation).collect();
        entry["state_operations"] = state.iter().map(operation).collect();
    }
    entry
}

fn not_known(unknown: &Unknown, text: &str) -> Value {
    let before = text.get(..unknown.span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    json!({ "what": unknown.what.as_str(), "reason": unknown.reason, "line": line })
}
