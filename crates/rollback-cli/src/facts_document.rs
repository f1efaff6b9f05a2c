//! The JSON document of `graph --format json`: what the text of each migration says. `docs/json/` describes it.

use rollback_core::{CommitId, MigrationId};
use rollback_revision::{Migrations, Read};
use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Target, Unknown};
use serde_json::{Value, json};

use crate::document::document;

/// The migrations of a commit that are wanted, as far as their files are migrations.
pub(crate) fn facts(
    revision: &Migrations,
    commit: Option<&CommitId>,
    folder: &str,
    is_wanted: &dyn Fn(&MigrationId) -> bool,
) -> Value {
    let wanted = revision.read.iter().filter(|(id, _)| is_wanted(id));
    let migrations = wanted.filter_map(|(id, read)| {
        let path = format!("{folder}{}", revision.files.get(id)?.path);
        migration(id, &path, read)
    });
    document(json!({ "commit": commit, "migrations": migrations.collect::<Vec<_>>() }))
}

/// `None` for a file without a migration.
fn migration(id: &MigrationId, path: &str, read: &Read) -> Option<Value> {
    let mut entry = json!({ "app": id.app, "name": id.name, "path": path });
    match &read.source {
        Ok(source) if source.class.is_none() => return None,
        Ok(source) => add_facts(&mut entry, source, &read.text),
        Err(error) => {
            entry["error"] = json!(error.reason);
            entry["is_unknown"] = json!(true);
        }
    }
    Some(entry)
}

fn add_facts(entry: &mut Value, source: &MigrationSource, text: &str) {
    let references = |references: &[Reference]| references.iter().map(reference).collect::<Value>();
    let operations = |operations: &[Operation]| operations.iter().map(operation).collect::<Value>();
    entry["dependencies"] = references(&source.dependencies);
    entry["run_before"] = references(&source.run_before);
    entry["replaces"] = references(&source.replaces);
    entry["initial"] = json!(source.initial);
    entry["atomic"] = json!(source.atomic.0);
    entry["operations"] = operations(&source.operations);
    entry["unknown"] = source.unknown.iter().map(|unknown| not_known(unknown, text)).collect();
    entry["is_unknown"] = json!(source.is_unknown());
}

fn reference(reference: &Reference) -> Value {
    match &reference.target {
        Target::Migration(id) => json!({ "app": id.app, "name": id.name }),
        Target::Swappable { setting, default } => json!({ "setting": setting, "default": default }),
    }
}

fn operation(written: &Operation) -> Value {
    let mut entry = json!({
        "class": written.class, "reversible": written.reversible, "elidable": written.elidable,
    });
    if let Action::Separate { database, state } = &written.action {
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
