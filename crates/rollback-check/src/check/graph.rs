//! Errors in the graph: leaf nodes, missing dependencies, circles.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::{MigrationFacts, MigrationId};
use rollback_source::facts::What;

use super::checker::Checker;
use crate::rules;

impl Checker<'_> {
    pub(super) fn graph(&mut self, facts: &[MigrationFacts], outside: &BTreeSet<String>) {
        self.leaf_nodes();
        self.missing(facts, outside);
        self.circles();
    }

    fn leaf_nodes(&mut self) {
        let mut leaves: BTreeMap<String, Vec<MigrationId>> = BTreeMap::new();
        for leaf in self.graph.leaf_nodes().filter(|leaf| self.graph.contains(leaf)) {
            leaves.entry(leaf.app.clone()).or_default().push(leaf.clone());
        }
        for (app, leaves) in leaves.into_iter().filter(|(_, leaves)| leaves.len() > 1) {
            if self.may_have_more_dependencies(&app) {
                continue;
            }
            let names: Vec<&str> = leaves.iter().map(|leaf| leaf.name.as_str()).collect();
            let names = names.join(" and ");
            let new: Vec<&MigrationId> = leaves.iter().filter(|leaf| self.new.contains(leaf)).collect();
            for leaf in new {
                let span = self.class_of(leaf);
                let message = format!("{app} has more than one leaf node: {names}");
                self.add(&rules::LEAF_NODES, leaf, span, message, "run `manage.py makemigrations --merge`");
            }
        }
    }

    /// Whether a migration of the app may have dependencies that are unknown.
    fn may_have_more_dependencies(&self, app: &str) -> bool {
        let sources = self.range.head.sources().filter(|(id, _)| id.app == app);
        let unknown = sources.flat_map(|(_, source)| &source.unknown);
        let mut what = unknown.map(|unknown| unknown.what);
        what.any(|what| matches!(what, What::Dependencies | What::RunBefore | What::Migration))
    }

    fn missing(&mut self, facts: &[MigrationFacts], outside: &BTreeSet<String>) {
        let head = self.range.head;
        let replaced: BTreeSet<&MigrationId> = facts.iter().flat_map(|fact| &fact.replaces).collect();
        for (id, source) in head.sources() {
            for reference in source.dependencies.iter().chain(&source.run_before) {
                let Some(target) = head.target(reference) else { continue };
                let is_special = matches!(target.name.as_str(), "__first__" | "__latest__");
                if is_special
                    || outside.contains(&target.app)
                    || head.files.contains_key(&target)
                    || replaced.contains(&target)
                {
                    continue;
                }
                let message = format!("{id} depends on {target}, which does not exist");
                let hint = "depend on an existing migration, or restore the missing file";
                self.add(&rules::MISSING_DEPENDENCY, id, reference.span.clone(), message, hint);
            }
        }
    }

    fn circles(&mut self) {
        let Some(circle) = self.graph.circle() else { return };
        let Some(first) = circle.iter().find(|id| self.range.head.files.contains_key(id)).cloned() else {
            return;
        };
        let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
        let span = self.class_of(&first);
        let message = format!("migrations depend on each other in a circle: {}", names.join(", "));
        self.add(
            &rules::CIRCULAR,
            &first,
            span,
            message,
            "move an operation into a separate migration to break the circle",
        );
    }

    fn class_of(&self, id: &MigrationId) -> std::ops::Range<usize> {
        self.range.head.source(id).and_then(|source| source.class.clone()).unwrap_or(0..0)
    }
}
