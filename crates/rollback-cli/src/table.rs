//! Tables for people: columns with a heading, two spaces between them, no lines.

use comfy_table::{ContentArrangement, Table, presets};

use crate::console::safe;

/// Renders rows below a heading.
pub(crate) fn render(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading);
    for row in rows {
        table.add_row(row.into_iter().map(safe));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}
