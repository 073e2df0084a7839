//! Aligned columns for people, and documents for programs, on standard output.

use std::io::Write;

use bson::{Bson, Document};

/// Writes `rows` under `headings`, each column as wide as its widest cell.
pub(super) fn print<const N: usize>(
    headings: [&str; N],
    rows: &[[String; N]],
) -> anyhow::Result<()> {
    let mut widths = headings.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut out = std::io::stdout().lock();
    let mut line = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width_max) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width_max - width(cell) + 2));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(headings)?;
    for row in rows {
        line(row.each_ref().map(String::as_str))?;
    }
    Ok(())
}

/// Writes `documents` as one JSON array, values as MongoDB's relaxed extended JSON.
pub(super) fn print_json(documents: Vec<Document>) -> anyhow::Result<()> {
    let array = Bson::Array(documents.into_iter().map(Bson::Document).collect());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", array.into_relaxed_extjson())?;
    Ok(())
}

/// Writes one line.
pub(super) fn print_line(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

/// Characters, which is columns for nearly every name people give.
fn width(text: &str) -> usize {
    text.chars().count()
}
