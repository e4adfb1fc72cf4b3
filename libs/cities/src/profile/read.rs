//! Reads a profile's files and puts them together.

use std::collections::{BTreeMap, HashMap};

use hexcab_road::{
    CellTable, HourFactors, HourOfWeek, Leg, ReadError,
    rows::{Column, Row, Rows},
};
use hexcab_types::{Cell, Point};

use super::{Profile, ProfileError, Supply, draw::Weighted, file, matrix};
use crate::folder::Folder;

pub(super) fn profile(folder: &Folder) -> Result<Profile, ProfileError> {
    let open = |name: &str| folder.rows(&path(name));
    let places = places(open(file::POINTS)?)?;
    let cells: Vec<Cell> = places.keys().copied().collect();
    let names: Vec<String> = cells.iter().map(Cell::to_string).collect();
    let hours: Vec<String> = HourOfWeek::all()
        .map(|hour| hour.get().to_string())
        .collect();

    let rides = matrix::read(open(file::RIDES)?, &hours)?;
    let flows = matrix::read(open(file::FLOWS)?, &names)?;
    let known: Vec<(&str, Vec<Cell>)> = vec![
        (file::RIDES, rides.iter().map(|(cell, _)| *cell).collect()),
        (file::FLOWS, flows.iter().map(|(cell, _)| *cell).collect()),
    ];
    for (name, of) in known {
        if let Some(cell) = of.iter().find(|cell| !places.contains_key(cell)) {
            return Err(incomplete(
                folder,
                name,
                format!("cell {cell} has no line in {}", file::POINTS),
            )
            .into());
        }
    }

    let travel = travel(folder, &places, &names)?;
    let rides: HashMap<Cell, Vec<f64>> = rides
        .into_iter()
        .map(|(cell, row)| {
            (
                cell,
                row.into_iter().map(|rides| rides.unwrap_or(0.0)).collect(),
            )
        })
        .collect();
    let origins = HourOfWeek::all()
        .map(|hour| {
            Weighted::new(
                cells
                    .iter()
                    .filter_map(|cell| Some((*cell, rides.get(cell)?[hour.index()]))),
            )
        })
        .collect();
    let mut to_any = vec![0.0; cells.len()];
    let mut destinations = HashMap::new();
    for (from, row) in flows {
        let weights: Vec<f64> = row.into_iter().map(|rides| rides.unwrap_or(0.0)).collect();
        to_any
            .iter_mut()
            .zip(&weights)
            .for_each(|(sum, weight)| *sum += weight);
        destinations.insert(from, Weighted::new(cells.iter().copied().zip(weights)));
    }
    Ok(Profile {
        rides,
        origins,
        destinations,
        any_destination: Weighted::new(cells.into_iter().zip(to_any)),
        supply: supply(open(file::SUPPLY)?)?,
        starts: starts(open(file::STARTS)?, &places)?,
        places: places.into_iter().collect(),
        travel: travel.into(),
        source: folder.text(&path(file::SOURCE))?,
    })
}

fn path(name: &str) -> String {
    format!("profile/{name}")
}

fn incomplete(folder: &Folder, name: &str, problem: String) -> ReadError {
    ReadError::Incomplete {
        file: folder.file(&path(name)),
        problem,
    }
}

fn places(mut rows: Rows) -> Result<BTreeMap<Cell, Vec<Point>>, ReadError> {
    let (cell, lat, lon) = (
        rows.column("cell")?,
        rows.column("lat")?,
        rows.column("lon")?,
    );
    let mut places: BTreeMap<Cell, Vec<Point>> = BTreeMap::new();
    while let Some(row) = rows.next_row()? {
        let (of, point) = (row.get::<Cell>(&cell, "H3 cell")?, row.point(&lat, &lon)?);
        if point.cell(of.resolution()) != Ok(of) {
            return Err(row.refuse(&cell, "cell that holds the point"));
        }
        places.entry(of).or_default().push(point);
    }
    Ok(places)
}

fn travel(
    folder: &Folder,
    places: &BTreeMap<Cell, Vec<Point>>,
    names: &[String],
) -> Result<CellTable, ProfileError> {
    let read = |name: &str| -> Result<HashMap<Cell, Vec<Option<f64>>>, ReadError> {
        let matrix: HashMap<_, _> = matrix::read(folder.rows(&path(name))?, names)?
            .into_iter()
            .collect();
        match places.keys().find(|cell| !matrix.contains_key(cell)) {
            Some(cell) => Err(incomplete(folder, name, format!("no line for cell {cell}"))),
            None => Ok(matrix),
        }
    };
    let (seconds, metres) = (read(file::SECONDS)?, read(file::METRES)?);
    let factors = HourFactors::read(folder.rows(&path(file::SPEED))?)?;
    let legs = places.keys().flat_map(|cell| {
        let drives = seconds[cell].iter().zip(&metres[cell]);
        drives.map(|(seconds, metres)| {
            Some(Leg {
                seconds: (*seconds)?,
                metres: (*metres)?,
            })
        })
    });
    let anchors = places
        .iter()
        .filter_map(|(cell, points)| Some((*cell, *points.first()?)))
        .collect();
    CellTable::new(anchors, legs.collect(), factors).map_err(|source| ProfileError::Travel {
        file: folder.file(&path(file::SECONDS)),
        source,
    })
}

fn supply(mut rows: Rows) -> Result<Vec<Supply>, ReadError> {
    let (hour, online, serving) = (
        rows.column("hour_of_week")?,
        rows.column("online")?,
        rows.column("serving")?,
    );
    let mut supply: Vec<Supply> = Vec::new();
    while let Some(row) = rows.next_row()? {
        if row.get::<usize>(&hour, "hour of the week")? != supply.len() {
            return Err(row.refuse(
                &hour,
                &format!("{}: hours stand in their order", supply.len()),
            ));
        }
        let drivers = Supply {
            online: amount(&row, &online)?,
            serving: amount(&row, &serving)?,
        };
        if drivers.serving > drivers.online {
            return Err(row.refuse(&serving, "number not above online"));
        }
        supply.push(drivers);
    }
    let week = HourOfWeek::all().count();
    if supply.len() == week {
        Ok(supply)
    } else {
        Err(rows.incomplete(format!("{} hours, not {week}", supply.len())))
    }
}

fn starts(
    mut rows: Rows,
    places: &BTreeMap<Cell, Vec<Point>>,
) -> Result<Weighted<Cell>, ReadError> {
    let (cell, weight) = (rows.column("cell")?, rows.column("weight")?);
    let mut starts = Vec::new();
    while let Some(row) = rows.next_row()? {
        let of: Cell = row.get(&cell, "H3 cell")?;
        if !places.contains_key(&of) {
            return Err(row.refuse(&cell, "cell that has a line in points.csv"));
        }
        starts.push((of, amount(&row, &weight)?));
    }
    Ok(Weighted::new(starts))
}

fn amount(row: &Row<'_>, column: &Column) -> Result<f64, ReadError> {
    let amount: f64 = row.get(column, "number from 0")?;
    if amount.is_finite() && amount >= 0.0 {
        Ok(amount)
    } else {
        Err(row.refuse(column, "number from 0"))
    }
}
