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
}

impl Drawn {
    fn parents(&self, id: &MigrationId) -> Vec<String> {
        self.edges.iter().filter(|(_, child)| child == id).map(|(parent, _)| safe(parent)).collect()
    }

    /// A number for each migration, those outside too.
    fn numbers(&self) -> BTreeMap<&MigrationId, usize> {
        self.nodes.iter().chain(&self.outside).zip(0..).collect()
    }
}

/// A line for each migration, with what it depends on.
pub(crate) fn text(drawn: &Drawn) -> String {
    let line = |id: &MigrationId| match &drawn.parents(id)[..] {
        [] => format!("{}\n", safe(id)),
        parents => format!("{} <- {}\n", safe(id), parents.join(", ")),
    };
    drawn.nodes.iter().map(line).collect()
}

/// A Mermaid flowchart.
pub(crate) fn mermaid(drawn: &Drawn) -> String {
    let numbers = drawn.numbers();
    let mut text = "flowchart LR\n".to_owned();
    for id in &drawn.nodes {
        text += &format!("  n{}[\"{}\"]\n", numbers[id], quoted(id, "#quot;"));
    }
    for id in &drawn.outside {
        text += &format!("  n{}([\"{}\"])\n", numbers[id], quoted(id, "#quot;"));
    }
    for (parent, child) in &drawn.edges {
        text += &format!("  n{} --> n{}\n", numbers[parent], numbers[child]);
    }
    text
}

/// A graph for Graphviz.
pub(crate) fn dot(drawn: &Drawn) -> String {
    let mut text = "digraph migrations {\n  rankdir = LR\n  node [shape = box]\n".to_owned();
    for id in &drawn.nodes {
        text += &format!("  \"{}\"\n", quoted(id, "\\\""));
    }
    for id in &drawn.outside {
        text += &format!("  \"{}\" [style = dashed]\n", quoted(id, "\\\""));
    }
    for (parent, child) in &drawn.edges {
        text += &format!("  \"{}\" -> \"{}\"\n", quoted(parent, "\\\""), quoted(child, "\\\""));
    }
    text + "}\n"
}

/// A picture.
pub(crate) fn svg(drawn: &Drawn) -> String {
    const LETTER: f64 = 9.;
    const HEIGHT: f64 = 30.;
    if drawn.nodes.is_empty() {
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"0\" height=\"0\"></svg>\n".to_owned();
    }
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let mut handles = BTreeMap::new();
    for (id, is_outside) in
        drawn.nodes.iter().map(|id| (id, false)).chain(drawn.outside.iter().map(|id| (id, true)))
    {
        let name = safe(id);
        let width =
            f64::from(u32::try_from(name.chars().count()).unwrap_or(u32::MAX)).mul_add(LETTER, HEIGHT);
        let shape = if is_outside { ShapeKind::new_circle(&name) } else { ShapeKind::new_box(&name) };
        let (look, size) = (StyleAttr::simple(), Point::new(width, HEIGHT));
        let node = Element::create(shape, look, Orientation::LeftToRight, size);
        handles.insert(id, graph.add_node(node));
    }
    for (parent, child) in &drawn.edges {
        graph.add_edge(Arrow::simple(""), handles[parent], handles[child]);
    }
    let mut writer = SVGWriter::new();
    graph.do_it(false, false, false, &mut writer);
    writer.finalize()
}

/// A name inside double quotes.
fn quoted(id: &MigrationId, quote: &str) -> String {
    safe(id).replace('\\', "\\\\").replace('"', quote)
}
