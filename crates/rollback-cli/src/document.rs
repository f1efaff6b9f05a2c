//! The JSON documents of `--format json`. Their shape is a promise: `docs/json/` describes it.

use rollback_core::plan::{Blocker, Plan, Segment, Step, Warning};
use rollback_core::{MigrationId, Release, SchemaDifference, SchemaObject};
use rollback_engine::cases::ahead::Ahead;
use rollback_engine::cases::import::{Import, ImportedRelease, Skipped};
use rollback_engine::cases::releases::{ListedRelease, ShownRelease, Status};
use rollback_engine::cases::save::{SaveOutcome, Saved};
use rollback_engine::rollback::{Loss, Prepared, RolledBack};
use rollback_engine::store::RecordedOperation;
use serde_json::{Map, Value, json};

/// The version of the documents' shape.
const FORMAT: u32 = 1;

/// A document: its format first, then what it is about.
pub(crate) fn document(content: Value) -> Value {
    let mut fields = Map::from_iter([("format".to_owned(), json!(FORMAT))]);
    if let Value::Object(content) = content {
        fields.extend(content);
    }
    Value::Object(fields)
}

pub(crate) fn list(releases: &[ListedRelease]) -> Value {
    let lines = releases.iter().enumerate().map(|(place, listed)| {
        let ListedRelease { release, migrations, imported } = listed;
        json!({
            "commit": release.commit, "tags": release.tags, "saved_at": release.saved_at,
            "current": place == 0, "migrations": migrations, "imported": imported,
        })
    });
    document(json!({ "releases": lines.collect::<Vec<_>>() }))
}

pub(crate) fn show(shown: &ShownRelease) -> Value {
    let (migrations, uncertain) = match &shown.applied {
        Ok(applied) => (Some(applied.iter().collect::<Vec<_>>()), None),
        Err(uncertain) => (None, Some(uncertain.to_string())),
    };
    document(json!({
        "release": shown.release, "current": shown.current, "imported": shown.imported,
        "previous": shown.previous,
        "migrations": migrations, "uncertain": uncertain,
    }))
}

pub(crate) fn plan(prepared: &Prepared) -> Value {
    let mut document = planned(&json!(prepared.from), &json!(prepared.to), &prepared.plan);
    document["losses"] = prepared.losses.iter().map(loss).collect();
    document["lost_rows"] = json!(prepared.lost_rows());
    document["releases_removed"] = json!(prepared.removed);
    document
}

/// A plan between two commits, from git alone.
pub(crate) fn plan_between(base: &str, head: &str, plan: &Plan) -> Value {
    planned(&json!(head), &json!(base), plan)
}

fn planned(from: &Value, to: &Value, plan: &Plan) -> Value {
    let Plan { steps, blockers, warnings, .. } = plan;
    document(json!({
        "from": from, "to": to,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "blockers": blockers.iter().map(blocker).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
        "atomic": plan.is_atomic(),
        "segments": plan.segments().iter().map(segment).collect::<Vec<_>>(),
    }))
}

fn segment(segment: &Segment<'_>) -> Value {
    let steps: Vec<&MigrationId> = segment.steps.iter().map(|step| &step.migration).collect();
    json!({ "steps": steps, "in_transaction": !segment.is_outside_transaction })
}

fn loss(loss: &Loss) -> Value {
    let Loss { migration, table, column, rows, since } = loss;
    json!({ "migration": migration, "table": table, "column": column, "rows": rows, "since_release": since })
}

fn step(step: &Step) -> Value {
    json!({ "app": step.migration.app, "migration": step.migration.name, "way": step.way.as_str() })
}

fn blocker(blocker: &Blocker) -> Value {
    json!({ "kind": blocker.kind(), "message": blocker.to_string(), "hint": blocker.hint() })
}

fn warning(warning: &Warning) -> Value {
    json!({ "kind": warning.kind(), "message": warning.to_string() })
}

/// A rollback that was carried out: its plan, and what came of it.
pub(crate) fn rolled_back(prepared: &Prepared, outcome: &str, done: Option<&RolledBack>) -> Value {
    let mut document = plan(prepared);
    document["outcome"] = json!(outcome);
    document["verified"] = json!(done.map(|done| &done.verified));
    document["notes"] = json!(done.map(|done| &done.notes[..]).unwrap_or_default());
    document
}

/// One event of a rollback on its way: a line of its own.
pub(crate) fn event(event: &str, content: Value) -> Value {
    let mut fields =
        Map::from_iter([("format".to_owned(), json!(FORMAT)), ("event".to_owned(), json!(event))]);
    if let Value::Object(content) = content {
        fields.extend(content);
    }
    Value::Object(fields)
}

pub(crate) fn saved(saved: &Saved, place: &str) -> Value {
    let mut document = document(json!({
        "outcome": outcome(&saved.outcome), "release": saved.release, "commit_from": place,
        "migrations": saved.applied.len(),
    }));
    match &saved.outcome {
        SaveOutcome::Updated { added, removed, tags } => {
            document["added"] = json!(added);
            document["removed"] = json!(removed);
            document["tags_added"] = json!(tags);
        }
        SaveOutcome::NotNewest { newest, same_set } => {
            document["newest"] = json!(newest);
            document["same_migrations"] = json!(same_set);
        }
        SaveOutcome::Created | SaveOutcome::Unchanged => {}
    }
    document
}

/// What an import did, or what it would do.
pub(crate) fn import(import: &Import, is_dry_run: bool) -> Value {
    document(json!({
        "dry_run": is_dry_run,
        "imported": import.releases.iter().map(imported).collect::<Vec<_>>(),
        "skipped": import.skipped.iter().map(skipped).collect::<Vec<_>>(),
        "assumed": import.assumed(),
        "sources": import.sources().collect::<Vec<_>>(),
    }))
}

fn imported(release: &ImportedRelease) -> Value {
    let ImportedRelease { tagged, rebuilt, .. } = release;
    json!({
        "commit": tagged.commit, "tags": tagged.tags, "migrations": rebuilt.applied.len(),
        "not_applied": rebuilt.not_applied,
    })
}

fn skipped(skipped: &Skipped) -> Value {
    let Skipped { tagged, reason } = skipped;
    json!({
        "commit": tagged.commit, "tags": tagged.tags, "kind": reason.kind(), "message": reason.to_string(),
    })
}

fn outcome(outcome: &SaveOutcome) -> &'static str {
    match outcome {
        SaveOutcome::Created => "created",
        SaveOutcome::Unchanged => "unchanged",
        SaveOutcome::Updated { .. } => "updated",
        SaveOutcome::NotNewest { .. } => "not-newest",
    }
}

pub(crate) fn diff(previous: Option<&Release>, added: &[&MigrationId], removed: &[&MigrationId]) -> Value {
    json!({ "previous": previous, "added": added, "removed": removed })
}

pub(crate) fn status(status: &Status) -> Value {
    document(json!({
        "current": status.current, "migrations": status.applied,
        "same": status.is_same(),
        "ahead": status.ahead, "missing": status.missing,
        "schema": status.schema.as_ref().map(|differences| differences.iter().map(difference).collect::<Vec<_>>()),
    }))
}

fn difference(difference: &SchemaDifference) -> Value {
    let SchemaObject { kind, table, name, definition } = &difference.object;
    json!({
        "side": difference.side.as_str(), "kind": kind, "table": table, "name": name, "definition": definition,
    })
}

pub(crate) fn history(operations: &[RecordedOperation]) -> Value {
    document(json!({ "operations": operations }))
}

pub(crate) fn ahead(ahead: &Ahead, command: Option<&str>) -> Value {
    document(json!({
        "ahead": !ahead.migrations.is_empty(), "current": ahead.current, "target": ahead.target,
        "migrations": ahead.migrations, "brought_by": ahead.brought_by,
        "command": command.filter(|_| !ahead.migrations.is_empty()),
    }))
}
