//! A graph of migrations as text, Mermaid, DOT and SVG.

use std::collections::BTreeMap;

use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use rollback_core::MigrationId;

use crate::console::safe;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawn {
    /// The migrations, parents first.
    pub(crate) nodes: Vec<MigrationId>,
    /// Others that they depend on.
    pub(crate) outside: Vec<MigrationId>,
    /// What depends on what: the parent first.
    pub(crate) edges: Vec<(MigrationId, MigrationId)>,
    /// What squashes among them replace.
    pub(crate) squashes: BTreeMap<MigrationId, Vec<MigrationId>>,
}

impl Drawn {
    fn parents(&self) -> BTreeMap<&MigrationId, Vec<String>> {
        let mut parents: BTreeMap<&MigrationId, Vec<String>> = BTreeMap::new();
        for (parent, child) in &self.edges {
            parents.entry(child).or_default().push(safe(parent));
        }
        parents
    }

    /// The label of a box: `shop.0001_squashed (replaces 3)`.
    fn label(&self, id: &MigrationId) -> String {
        match self.squashes.get(id) {
            Some(replaced) => format!("{} (replaces {})", safe(id), replaced.len()),
            None => safe(id),
        }
    }

    /// A number for each migration, those outside too.
    fn numbers(&self) -> BTreeMap<&MigrationId, usize> {
        self.nodes.iter().chain(&self.outside).zip(0..).collect()
    }
}

/// A line for each migration, with what it depends on.
pub(crate) fn text(drawn: &Drawn) -> String {
    let parents = drawn.parents();
    let line = |id: &MigrationId| {
        let replaced = drawn.squashes.get(id).map_or_else(String::new, |replaced| {
            let names: Vec<String> = replaced.iter().map(safe).collect();
            format!(" (replaces {})", names.join(", "))
        });
        let behind =
            parents.get(id).map_or_else(String::new, |parents| format!(" <- {}", parents.join(", ")));
        format!("{}{replaced}{behind}\n", safe(id))
    };
    drawn.nodes.iter().map(line).collect()
}

/// A Mermaid flowchart.
pub(crate) fn mermaid(drawn: &Drawn) -> String {
    let numbers = drawn.numbers();
    let mut text = "flowchart LR\n".to_owned();
    for id in &drawn.nodes {
        text += &format!("  n{}[\"{}\"]\n", numbers[id], for_mermaid(&drawn.label(id)));
    }
    for id in &drawn.outside {
        text += &format!("  n{}([\"{}\"])\n", numbers[id], for_mermaid(&drawn.label(id)));
    }
    for (parent, child) in &drawn.edges {
        text += &format!("  n{} --> n{}\n", numbers[parent], numbers[child]);
    }
    text
}

/// A graph for Graphviz.
pub(crate) fn dot(drawn: &Drawn) -> String {
    let mut text = "digraph migrations {\n  rankdir = LR\n  node [shape = box]\n".to_owned();
    let name = |id: &MigrationId| for_dot(&safe(id));
    for id in &drawn.nodes {
        text += &match drawn.squashes.contains_key(id) {
            true => format!("  {} [label = {}]\n", name(id), for_dot(&drawn.label(id))),
            false => format!("  {}\n", name(id)),
        };
    }
    for id in &drawn.outside {
        text += &format!("  {} [style = dashed]\n", name(id));
    }
    for (parent, child) in &drawn.edges {
        text += &format!("  {} -> {}\n", name(parent), name(child));
    }
    text + "}\n"
}

/// A picture.
pub(crate) fn svg(drawn: &Drawn) -> String {
    if drawn.nodes.is_empty() {
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"0\" height=\"0\"></svg>\n".to_owned();
    }
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let mut handles = BTreeMap::new();
    for id in &drawn.nodes {
        let name = drawn.label(id);
        handles.insert(id, graph.add_node(element(&name, ShapeKind::new_box(&name))));
    }
    for id in &drawn.outside {
        let name = drawn.label(id);
        handles.insert(id, graph.add_node(element(&name, ShapeKind::new_circle(&name))));
    }
    for (parent, child) in &drawn.edges {
        graph.add_edge(Arrow::simple(""), handles[parent], handles[child]);
    }
    let mut writer = SVGWriter::new();
    graph.do_it(false, false, false, &mut writer);
    writer.finalize()
}

/// A shape that is wide enough for its name.
fn element(name: &str, shape: ShapeKind) -> Element {
    const LETTER: f64 = 9.;
    const HEIGHT: f64 = 30.;
    let letters = u32::try_from(name.chars().count()).unwrap_or(u32::MAX);
    let size = Point::new(f64::from(letters).mul_add(LETTER, HEIGHT), HEIGHT);
    Element::create(shape, StyleAttr::simple(), Orientation::LeftToRight, size)
}

/// A name in double quotes.
fn for_dot(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name inside double quotes: Mermaid takes HTML there, and has escapes of its own.
fn for_mermaid(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        '#' => "#35;".to_owned(),
        '"' => "#quot;".to_owned(),
        '&' => "#amp;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        letter => letter.to_string(),
    });
    letters.collect()
}
