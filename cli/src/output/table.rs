use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Row, Table, presets};

use super::style::Style;

/// A table without lines: a header, then one line per row, cut to the terminal's width where there is a terminal.
pub(crate) struct Columns {
    table: Table,
    style: Style,
}

impl Columns {
    pub(crate) fn new(style: Style, header: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_truncation_indicator("…");
        if style.is_enabled() {
            table.enforce_styling().style_text_only();
        }
        let header = header.iter().map(|name| {
            let cell = Cell::new(name);
            if style.is_enabled() { cell.add_attribute(Attribute::Bold) } else { cell }
        });
        table.set_header(Row::from(header.collect::<Vec<_>>()));
        Self { table, style }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        let mut row = Row::from(cells);
        if self.table.is_tty() {
            row.max_height(1);
        }
        self.table.add_row(row);
    }

    /// Columns that are never cut.
    pub(crate) fn keep(&mut self, columns: &[usize]) {
        for index in columns {
            if let Some(column) = self.table.column_mut(*index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    pub(crate) fn render(&self) -> String {
        // The first column starts at the margin.
        let lines = self.table.lines();
        lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
    }
}
