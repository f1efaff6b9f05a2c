//! `graph`: the graph of migrations of a commit, or what is new between two.

use std::collections::BTreeSet;

use rollback_check::Config;
use rollback_core::MigrationId;
use rollback_core::graph::Graph;
use rollback_revision::{Migrations, in_order};

use super::context::Context;
use super::range;
use crate::args::{GraphArguments, GraphFormat};
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::{drawing, facts_document};

pub(crate) fn run(context: &mut Context<'_>, arguments: &GraphArguments) -> Result<ExitCode, CliError> {
    let range = arguments.range.as_deref();
    let (older, end, config, folder) = match range.filter(|range| range.contains("..")) {
        Some(range) => {
            let ends = context.ends(Some(range))?;
            (Some(ends.base), ends.head, ends.config, ends.folder)
        }
        None => {
            let end = range::single(context, range)?;
            let folder = context.folder_of_paths(context.repository()?.as_ref());
            let config =
                Config::of_files(end.files.as_ref(), &folder).map_err(|error| range::unread(&error))?;
            (None, end, config, folder)
        }
    };
    let mut revision = range::open(&end, &config.project)?;
    revision.read(&|_| true).map_err(|error| range::unread(&error))?;
    let migrations = revision.migrations();
    let older = older.as_ref().map(|end| range::open(end, &config.project)).transpose()?;
    refuse_unknown(&arguments.app, migrations, &end.label)?;
    let is_wanted = |id: &MigrationId| {
        let is_app = arguments.app.is_empty() || arguments.app.contains(&id.app);
        is_app && older.as_ref().is_none_or(|older| !older.migrations().files.contains_key(id))
    };
    let draw = match arguments.format.0 {
        GraphFormat::Json => {
            let facts = facts_document::facts(migrations, end.commit.as_ref(), &folder, &is_wanted);
            return context.out_json(&facts).map(|()| ExitCode::Done);
        }
        GraphFormat::Text => drawing::text,
        GraphFormat::Mermaid => drawing::mermaid,
        GraphFormat::Dot => drawing::dot,
        GraphFormat::Svg => drawing::svg,
    };
    let facts = migrations.facts();
    let (graph, _) = migrations.graph(&facts, &BTreeSet::new());
    let mut drawn = drawn(&graph, &in_order(&graph, &facts), &is_wanted);
    let squashes = facts.into_iter().filter(|facts| !facts.replaces.is_empty());
    drawn.squashes = squashes.map(|facts| (facts.id, facts.replaces)).collect();
    context.out(&draw(&drawn))?;
    Ok(ExitCode::Done)
}

fn refuse_unknown(apps: &[String], migrations: &Migrations, end: &str) -> Result<(), CliError> {
    let known = migrations.apps();
    match apps.iter().find(|app| !known.contains(app.as_str())) {
        Some(app) => {
            let known: Vec<&str> = known.into_iter().collect();
            Err(CliError::usage(
                format!("no app in {end} has the label `{app}` and migrations"),
                format!("these have: {}", known.join(", ")),
            ))
        }
        None => Ok(()),
    }
}

/// What is drawn: the wanted migrations, and those that they stand on.
fn drawn(graph: &Graph, order: &[&MigrationId], is_wanted: &dyn Fn(&MigrationId) -> bool) -> drawing::Drawn {
    let mut drawn = drawing::Drawn::default();
    let wanted: BTreeSet<&MigrationId> = order.iter().copied().filter(|id| is_wanted(id)).collect();
    for id in order.iter().copied().filter(|id| wanted.contains(id)) {
        for parent in graph.parents(id) {
            if !wanted.contains(parent) && !drawn.outside.contains(parent) {
                drawn.outside.push(parent.clone());
            }
            drawn.edges.push((parent.clone(), id.clone()));
        }
        drawn.nodes.push(id.clone());
    }
    drawn
}
