//! CSV rows from files (gzip where the name ends in `.gz`) or text, one at a time, so that a file of any size needs the
//! memory of one row. Every error names the file, and where there is one the line and the field.
//! Columns are found by their names; further ones are left alone.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use flate2::read::MultiGzDecoder;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("cannot open {file}")]
    Open {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not CSV, not gzip, or cannot be read to its end.
    #[error("cannot read {file}")]
    Csv {
        /// The file.
        file: String,
        /// Where and why.
        #[source]
        source: csv::Error,
    },
    /// Its header lacks a column.
    #[error("{file}: no column {column:?} in the header")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A field holds something else than it should.
    #[error("{file}:{line}: field {field:?} is {given:?}, expected {expected}")]
    Field {
        /// The file.
        file: String,
        /// The line, the header being 1.
        line: u64,
        /// The column's name.
        field: String,
        /// What stands there.
        given: String,
        /// What should.
        expected: String,
    },
    /// Each row can be read, but together they do not do.
    #[error("{file}: {problem}")]
    Incomplete {
        /// The file.
        file: String,
        /// What is missing.
        problem: String,
    },
}

/// A column of a file, found by its name.
#[derive(Debug, Clone)]
pub struct Column {
    index: usize,
    name: String,
}

/// The rows of a CSV file with a header.
pub struct Rows {
    file: String,
    header: csv::StringRecord,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: csv::StringRecord,
}

impl Rows {
    /// Opens a file, reading gzip when its name ends in `.gz`.
    ///
    /// # Errors
    /// When it cannot be opened or has no header.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = path.display().to_string();
        let opened = File::open(path).map_err(|source| ReadError::Open {
            file: file.clone(),
            source,
        })?;
        let gzip = path.extension().is_some_and(|extension| extension == "gz");
        Self::new(
            file,
            if gzip {
                Box::new(MultiGzDecoder::new(opened))
            } else {
                Box::new(opened)
            },
        )
    }

    /// Reads a text that stands in for the file of this name.
    ///
    /// # Errors
    /// When it has no header.
    pub fn from_text(name: &str, text: &str) -> Result<Self, ReadError> {
        Self::new(
            name.to_owned(),
            Box::new(io::Cursor::new(text.to_owned().into_bytes())),
        )
    }

    fn new(file: String, input: Box<dyn Read + Send>) -> Result<Self, ReadError> {
        let mut reader = csv::ReaderBuilder::new()
            .buffer_capacity(1 << 16)
            .from_reader(input);
        let header = reader
            .headers()
            .map_err(|source| ReadError::Csv {
                file: file.clone(),
                source,
            })?
            .clone();
        Ok(Self {
            file,
            header,
            reader,
            record: csv::StringRecord::new(),
        })
    }

    /// The column of this name.
    ///
    /// # Errors
    /// When the header lacks it.
    pub fn column(&self, name: &str) -> Result<Column, ReadError> {
        self.header
            .iter()
            .position(|column| column == name)
            .map(|index| Column {
                index,
                name: name.to_owned(),
            })
            .ok_or_else(|| ReadError::MissingColumn {
                file: self.file.clone(),
                column: name.to_owned(),
            })
    }

    /// All columns in their order.
    pub fn columns(&self) -> Vec<Column> {
        self.header
            .iter()
            .enumerate()
            .map(|(index, name)| Column {
                index,
                name: name.to_owned(),
            })
            .collect()
    }

    /// The next row, or none at the end.
    ///
    /// # Errors
    /// When the file cannot be read on, or the row has more or fewer fields than the header.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, ReadError> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => Ok(Some(Row {
                file: &self.file,
                record: &self.record,
            })),
            Ok(false) => Ok(None),
            Err(source) => Err(ReadError::Csv {
                file: self.file.clone(),
                source,
            }),
        }
    }

    /// An error about the file as a whole.
    pub fn incomplete(&self, problem: impl Into<String>) -> ReadError {
        ReadError::Incomplete {
            file: self.file.clone(),
            problem: problem.into(),
        }
    }
}

/// One row of a file.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    file: &'a str,
    record: &'a csv::StringRecord,
}

impl<'a> Row<'a> {
    /// The text of a field.
    pub fn text(&self, column: &Column) -> &'a str {
        self.record.get(column.index).unwrap_or_default()
    }

    /// A field as a value; `expected` says in an error what should stand there.
    ///
    /// # Errors
    /// When it is not one.
    pub fn get<T: FromStr>(&self, column: &Column, expected: &str) -> Result<T, ReadError> {
        self.text(column)
            .parse()
            .map_err(|_| self.refuse(column, expected))
    }

    /// As [`Row::get`], but none for an empty field.
    ///
    /// # Errors
    /// When it is neither empty nor a value.
    pub fn get_or_empty<T: FromStr>(
        &self,
        column: &Column,
        expected: &str,
    ) -> Result<Option<T>, ReadError> {
        if self.text(column).is_empty() {
            Ok(None)
        } else {
            self.get(column, expected).map(Some)
        }
    }

    /// Two fields of degrees as a point.
    ///
    /// # Errors
    /// When they are no numbers or off the earth.
    pub fn point(&self, lat: &Column, lon: &Column) -> Result<hexcab_types::Point, ReadError> {
        let (lat_degrees, lon_degrees) = (
            self.get(lat, "latitude in degrees")?,
            self.get(lon, "longitude in degrees")?,
        );
        hexcab_types::Point::from_degrees(lat_degrees, lon_degrees).map_err(|error| {
            let column = if matches!(error, hexcab_types::PlaceError::Longitude(_)) {
                lon
            } else {
                lat
            };
            self.refuse(column, &error.to_string())
        })
    }

    /// An error about a field of this row.
    pub fn refuse(&self, column: &Column, expected: &str) -> ReadError {
        ReadError::Field {
            file: self.file.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            field: column.name.clone(),
            given: self.text(column).to_owned(),
            expected: expected.to_owned(),
        }
    }
}

impl Column {
    /// The column's name in the header.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_error_names_file_line_and_field() {
        let mut rows = Rows::from_text("a.csv", "x,y\n1,2\n3,four\n").unwrap();
        let y = rows.column("y").unwrap();
        assert_eq!(
            rows.next_row()
                .unwrap()
                .unwrap()
                .get::<u32>(&y, "number")
                .unwrap(),
            2
        );
        let error = rows
            .next_row()
            .unwrap()
            .unwrap()
            .get::<u32>(&y, "number")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"a.csv:3: field "y" is "four", expected number"#
        );
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = Rows::from_text("a.csv", "x\n1\n")
            .unwrap()
            .column("y")
            .unwrap_err();
        assert_eq!(error.to_string(), r#"a.csv: no column "y" in the header"#);
    }

    #[test]
    fn a_row_too_short_is_refused() {
        let mut rows = Rows::from_text("a.csv", "x,y\n1\n").unwrap();
        assert!(rows.next_row().is_err());
    }

    #[test]
    fn a_point_off_the_earth_is_refused_by_its_field() {
        let mut rows = Rows::from_text("a.csv", "lat,lon\n37,-222\n").unwrap();
        let (lat, lon) = (rows.column("lat").unwrap(), rows.column("lon").unwrap());
        let error = rows
            .next_row()
            .unwrap()
            .unwrap()
            .point(&lat, &lon)
            .unwrap_err();
        assert!(
            error.to_string().contains(r#"field "lon" is "-222""#),
            "{error}"
        );
    }

    #[test]
    fn gzip_is_read_by_the_name_and_a_cut_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let text: String = (0..5_000)
            .map(|i| format!("{i},{}\n", i * 7919 % 1000))
            .collect();
        gz.write_all(format!("x,y\n{text}").as_bytes()).unwrap();
        let bytes = gz.finish().unwrap();
        let path = dir.path().join("a.csv.gz");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(count(&path).unwrap(), 5_000);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(count(&path).is_err());
    }

    fn count(path: &Path) -> Result<usize, ReadError> {
        let mut rows = Rows::open(path)?;
        let mut count = 0;
        while rows.next_row()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
