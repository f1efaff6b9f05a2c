//! The graph of migrations, by the rules of Django's `MigrationLoader.build_graph`.
//!
//! If a rule looks odd, it is Django's: the loader is the oracle. The order of [`Graph::full_plan`] is exactly that of
//! `migration_plan(leaf_nodes, clean_start=True)`, so that states are built as Django builds them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::migration::{MigrationFacts, MigrationId};
use crate::squash::Squashes;

/// Which migrations depend on which.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<Arc<MigrationId>, Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// False for a migration that others name, but whose file and facts are missing.
    known: bool,
    parents: BTreeSet<Arc<MigrationId>>,
    children: BTreeSet<Arc<MigrationId>>,
}

impl Graph {
    /// Builds the graph of `facts`. A squash replaces its migrations, unless it is in `split`: then it leaves the
    /// graph, and they stay.
    pub fn build<'a>(
        facts: &'a [&'a MigrationFacts],
        unmigrated_apps: &BTreeSet<String>,
        split: &BTreeSet<MigrationId>,
    ) -> Self {
        let mut graph = Self::default();
        for fact in facts {
            graph.nodes.insert(Arc::new(fact.id.clone()), Node { known: true, ..Node::default() });
        }
        for fact in facts {
            graph.add_dependencies_inside_the_app(fact);
        }
        for fact in facts {
            graph.add_dependencies_on_other_apps(fact, unmigrated_apps);
        }
        for squash in nested_first(facts) {
            if split.contains(&squash.id) {
                graph.remove_squash(squash);
            } else {
                graph.remove_replaced(squash);
            }
        }
        graph
    }

    /// Whether the graph has this migration, with its file or its facts.
    pub fn contains(&self, migration: &MigrationId) -> bool {
        self.nodes.get(migration).is_some_and(|node| node.known)
    }

    /// The migrations that must be applied before `migration`, by name.
    pub fn parents(&self, migration: &MigrationId) -> impl Iterator<Item = &MigrationId> {
        self.nodes.get(migration).into_iter().flat_map(|node| &node.parents).map(Arc::as_ref)
    }

    /// Whether `descendant` can only be applied when `ancestor` is.
    pub fn descends(&self, descendant: &MigrationId, ancestor: &MigrationId) -> bool {
        descendant != ancestor && self.parents_first(descendant).contains(&ancestor)
    }

    /// Every migration, parents first: the order in which Django would apply them to an empty database.
    pub fn full_plan(&self) -> Vec<&MigrationId> {
        let mut plan = Vec::with_capacity(self.nodes.len());
        let mut planned = HashSet::new();
        for leaf in self.leaf_nodes() {
            self.visit(leaf, &mut planned, &mut plan);
        }
        plan
    }

    /// Migrations without a child in their own app.
    pub fn leaf_nodes(&self) -> impl Iterator<Item = &MigrationId> {
        self.nodes
            .iter()
            .filter(|(id, node)| node.children.iter().all(|child| child.app != id.app))
            .map(|(id, _)| id.as_ref())
    }

    /// Migrations that depend on each other in a circle, in their order; `None` if there is no circle.
    pub fn circle(&self) -> Option<Vec<MigrationId>> {
        let waiting = self.circles_and_their_descendants();
        let mut path = vec![*waiting.first()?];
        loop {
            let parent = self.parents(path[path.len() - 1]).find(|parent| waiting.contains(parent))?;
            if let Some(start) = path.iter().position(|id| *id == parent) {
                return Some(path[start..].iter().rev().map(|id| (*id).clone()).collect());
            }
            path.push(parent);
        }
    }

    /// What is left if nodes without a parent are removed until there are no more.
    fn circles_and_their_descendants(&self) -> BTreeSet<&MigrationId> {
        let mut waiting: BTreeMap<&MigrationId, usize> =
            self.nodes.iter().map(|(id, node)| (id.as_ref(), node.parents.len())).collect();
        let mut ready: Vec<&MigrationId> =
            waiting.iter().filter(|(_, parents)| **parents == 0).map(|(id, _)| *id).collect();
        while let Some(id) = ready.pop() {
            waiting.remove(id);
            for child in &self.nodes[id].children {
                if let Some(parents) = waiting.get_mut(child.as_ref()) {
                    *parents -= 1;
                    if *parents == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        waiting.into_keys().collect()
    }

    fn parents_first<'a>(&'a self, start: &'a MigrationId) -> Vec<&'a MigrationId> {
        let mut plan = Vec::new();
        self.visit(start, &mut HashSet::new(), &mut plan);
        plan
    }

    /// Appends `start` and everything before it that is not in `done` yet: Django's `iterative_dfs`, which visits
    /// parents from the last name to the first.
    fn visit<'a>(
        &'a self,
        start: &'a MigrationId,
        done: &mut HashSet<&'a MigrationId>,
        plan: &mut Vec<&'a MigrationId>,
    ) {
        let mut entered = HashSet::new();
        let mut stack = vec![(start, false)];
        while let Some((id, parents_done)) = stack.pop() {
            if done.contains(id) {
                continue;
            }
            if parents_done {
                done.insert(id);
                plan.push(id);
            } else if entered.insert(id) {
                stack.push((id, true));
                stack.extend(self.parents(id).map(|parent| (parent, false)));
            }
        }
    }

    fn add_dependencies_inside_the_app(&mut self, fact: &MigrationFacts) {
        for parent in &fact.dependencies {
            if parent.app == fact.id.app && parent.name != "__first__" {
                self.add_edge(&fact.id, parent);
            }
        }
    }

    fn add_dependencies_on_other_apps(&mut self, fact: &MigrationFacts, unmigrated_apps: &BTreeSet<String>) {
        for parent in fact.dependencies.iter().filter(|parent| parent.app != fact.id.app) {
            if let Some(parent) = self.resolve(parent, &fact.id.app, unmigrated_apps) {
                self.add_edge(&fact.id, &parent);
            }
        }
        for child in &fact.run_before {
            if let Some(child) = self.resolve(child, &fact.id.app, unmigrated_apps) {
                self.add_edge(&child, &fact.id);
            }
        }
    }

    /// What `__first__` and `__latest__` mean; `None` if Django makes no edge of it.
    fn resolve(
        &self,
        key: &MigrationId,
        app: &str,
        unmigrated_apps: &BTreeSet<String>,
    ) -> Option<MigrationId> {
        let first = match key.name.as_str() {
            "__first__" => true,
            "__latest__" => false,
            _ => return Some(key.clone()),
        };
        if key.app == app || unmigrated_apps.contains(&key.app) {
            return None;
        }
        let same_app = |other: &MigrationId| other.app == key.app;
        self.nodes
            .range::<MigrationId, _>(MigrationId::new(&key.app, "")..)
            .take_while(|(id, _)| same_app(id))
            .find(|(_, node)| {
                let neighbours = if first { &node.parents } else { &node.children };
                !neighbours.iter().any(|id| same_app(id))
            })
            .map(|(id, _)| MigrationId::clone(id))
    }

    fn add_edge(&mut self, child: &MigrationId, parent: &MigrationId) {
        let (child, parent) = (self.node(child), self.node(parent));
        self.nodes.entry(Arc::clone(&child)).or_default().parents.insert(Arc::clone(&parent));
        self.nodes.entry(parent).or_default().children.insert(child);
    }

    /// The name that the graph already has, or a new one.
    fn node(&self, id: &MigrationId) -> Arc<MigrationId> {
        self.nodes.get_key_value(id).map_or_else(|| Arc::new(id.clone()), |(id, _)| Arc::clone(id))
    }

    fn remove_node(&mut self, id: &MigrationId) -> Option<Node> {
        let node = self.nodes.remove(id)?;
        for parent in &node.parents {
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.children.remove(id);
            }
        }
        for child in &node.children {
            if let Some(child) = self.nodes.get_mut(child) {
                child.parents.remove(id);
            }
        }
        Some(node)
    }

    /// The squash takes over the edges of what it replaces (Django's `remove_replaced_nodes`).
    fn remove_replaced(&mut self, squash: &MigrationFacts) {
        for replaced in &squash.replaces {
            let Some(node) = self.remove_node(replaced) else {
                continue;
            };
            for child in node.children.iter().filter(|child| !squash.replaces.contains(child)) {
                self.add_edge(child, &squash.id);
            }
            for parent in node.parents.iter().filter(|parent| !squash.replaces.contains(parent)) {
                self.add_edge(&squash.id, parent);
            }
        }
    }

    /// What depended on the squash depends on the last of what it replaces (Django's `remove_replacement_node`).
    fn remove_squash(&mut self, squash: &MigrationFacts) {
        let Some(node) = self.remove_node(&squash.id) else {
            return;
        };
        let present: Vec<&MigrationId> = squash.replaces.iter().filter(|id| self.contains(id)).collect();
        let last: Vec<MigrationId> = present
            .iter()
            .filter(|id| !present.iter().any(|other| self.parents(other).any(|parent| parent == **id)))
            .map(|id| (*id).clone())
            .collect();
        for child in &node.children {
            for parent in &last {
                self.add_edge(child, parent);
            }
        }
    }
}

/// The squashes. One that another squash replaces comes before it (possible since Django 6.0).
fn nested_first<'a>(facts: &'a [&'a MigrationFacts]) -> Vec<&'a MigrationFacts> {
    let squashes = Squashes::of(facts.iter().copied());
    let mut found: Vec<&MigrationFacts> =
        facts.iter().copied().filter(|fact| !fact.replaces.is_empty()).collect();
    found.sort_by_key(|fact| (squashes.depth(&fact.id), fact.id.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::migrations;

    /// Builds the graph drawn in `text` and compares its full plan.
    fn check(text: &str, split: &[&str], expected: &str) {
        let facts = migrations(text);
        let facts: Vec<&MigrationFacts> = facts.iter().collect();
        let split = split.iter().map(|id| crate::testing::id(id)).collect();
        let graph = Graph::build(&facts, &["sessions".to_owned()].into(), &split);
        let plan: Vec<String> = graph.full_plan().iter().map(ToString::to_string).collect();
        assert_eq!(plan.join(" "), expected);
    }

    #[test]
    fn branches_and_a_merge() {
        check(
            "a.1
             a.2 < a.1
             a.2b < a.1
             a.3 < a.2 a.2b",
            &[],
            "a.1 a.2b a.2 a.3",
        );
    }

    #[test]
    fn first_latest_and_apps_without_migrations() {
        check(
            "a.1 < b.__first__ c.__latest__ sessions.__first__
             b.1
             b.2 < b.1
             c.1
             c.2 < c.1",
            &[],
            "c.1 c.2 b.1 a.1 b.2",
        );
    }

    #[test]
    fn a_circle_is_found() {
        let circle = |text: &str| {
            let facts = migrations(text);
            let facts: Vec<&MigrationFacts> = facts.iter().collect();
            let graph = Graph::build(&facts, &BTreeSet::new(), &BTreeSet::new());
            graph.circle().map(|circle| circle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(circle("a.1\na.2 < a.1 b.1\nb.1 < a.1"), None);
        let found = circle("a.1 < b.2\nb.1 < a.1\nb.2 < b.1\nc.1 < b.2").unwrap();
        assert!(["b.1 b.2 a.1", "b.2 a.1 b.1", "a.1 b.1 b.2"].contains(&found.as_str()), "{found}");
    }

    #[test]
    fn run_before_is_an_edge() {
        check(
            "a.1
             z.1 before a.1",
            &[],
            "z.1 a.1",
        );
    }

    #[test]
    fn a_squash_takes_the_place_of_what_it_replaces() {
        let text = "a.1 < b.1
             a.2 < a.1
             a.1s replaces a.1 a.2
             a.3 < a.2
             b.1
             b.2 < a.1";
        check(text, &[], "b.1 a.1s a.3 b.2");
        check(text, &["a.1s"], "b.1 a.1 a.2 a.3 b.2");
    }

    #[test]
    fn what_depended_on_a_split_squash_depends_on_its_last_part() {
        check(
            "a.1
             a.2 < a.1
             a.1s replaces a.1 a.2
             a.3 < a.1s",
            &["a.1s"],
            "a.1 a.2 a.3",
        );
    }

    #[test]
    fn a_squash_of_squashes() {
        check(
            "a.1
             a.2 < a.1
             a.1s replaces a.1 a.2
             a.3 < a.2
             a.1t replaces a.1s a.3",
            &[],
            "a.1t",
        );
    }

    #[test]
    fn a_circle_ends() {
        check(
            "a.1 < b.1
             b.1 < a.1",
            &[],
            "b.1 a.1",
        );
    }

    #[test]
    fn descent() {
        let facts = migrations("a.1\na.2 < a.1\na.2b < a.1\nb.1 < a.2");
        let facts: Vec<&MigrationFacts> = facts.iter().collect();
        let graph = Graph::build(&facts, &BTreeSet::new(), &BTreeSet::new());
        let id = crate::testing::id;
        assert!(graph.descends(&id("b.1"), &id("a.1")));
        assert!(!graph.descends(&id("a.2b"), &id("a.2")));
        assert!(!graph.descends(&id("a.1"), &id("a.1")));
    }
}
