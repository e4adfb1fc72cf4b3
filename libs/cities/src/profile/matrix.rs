//! A matrix as CSV: a row a cell, the other columns an hour or a cell each; an empty field is nothing.

use hexcab_road::{
    ReadError,
    rows::{Column, Rows},
};
use hexcab_types::Cell;

/// A row: its cell, and the figure of each column.
pub(super) type MatrixRow = (Cell, Vec<Option<f64>>);

/// Rows over columns that are named as `columns`, in their order; every figure is finite and not negative.
pub(super) fn read(mut rows: Rows, columns: &[String]) -> Result<Vec<MatrixRow>, ReadError> {
    let cell = rows.column("cell")?;
    let named: Vec<Column> = rows
        .columns()
        .into_iter()
        .filter(|column| column.name() != cell.name())
        .collect();
    if !named
        .iter()
        .map(Column::name)
        .eq(columns.iter().map(String::as_str))
    {
        let (first, last) = (
            columns.first().map_or("", String::as_str),
            columns.last().map_or("", String::as_str),
        );
        return Err(rows.incomplete(format!(
            "the columns after \"cell\" must be {first} to {last}, {} in all",
            columns.len()
        )));
    }
    let mut matrix: Vec<MatrixRow> = Vec::new();
    while let Some(row) = rows.next_row()? {
        let of: Cell = row.get(&cell, "H3 cell")?;
        if matrix.iter().any(|(before, _)| *before == of) {
            return Err(row.refuse(&cell, "cell that no earlier line has"));
        }
        let mut figures = Vec::with_capacity(named.len());
        for column in &named {
            let figure = row.get_or_empty::<f64>(column, "number from 0")?;
            if figure.is_some_and(|figure| !(figure.is_finite() && figure >= 0.0)) {
                return Err(row.refuse(column, "number from 0"));
            }
            figures.push(figure);
        }
        matrix.push((of, figures));
    }
    Ok(matrix)
}
