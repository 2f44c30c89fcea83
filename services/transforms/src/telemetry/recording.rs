//! Recordings of telemetry as files: NPY (NumPy's format 1.0 to 3.0) and CSV.

use std::fmt::Write as _;

/// Numbers in rows, one row for each moment; in every row the same columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    columns: usize,
    values: Vec<f32>,
}

/// A file that is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordingError(String);

fn error<T>(message: impl Into<String>) -> Result<T, RecordingError> {
    Err(RecordingError(message.into()))
}

impl Recording {
    /// A recording of `values`, row after row.
    ///
    /// # Errors
    /// There are no columns, or the values do not fill whole rows.
    pub fn new(columns: usize, values: Vec<f32>) -> Result<Self, RecordingError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return error(format!("{} values do not fill rows of {columns}", values.len()));
        }
        Ok(Self { columns, values })
    }

    /// Reads a file's bytes: NPY where they begin as such a file does, and else CSV.
    ///
    /// # Errors
    /// See [`Recording::from_npy`] and [`Recording::from_csv`].
    pub fn read(bytes: &[u8]) -> Result<Self, RecordingError> {
        if bytes.starts_with(MAGIC) {
            return Self::from_npy(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::from_csv(text),
            Err(_) => {
                error("is neither NPY (it does not begin as such a file) nor CSV (it is no UTF-8 text)")
            }
        }
    }

    /// Reads an array of one dimension (one column) or two (rows, columns), of little-endian 4- or 8-byte
    /// floats in C order. Eight-byte floats are rounded.
    ///
    /// # Errors
    /// Says what is wrong with the file and what would be right.
    pub fn from_npy(bytes: &[u8]) -> Result<Self, RecordingError> {
        let (header, data) = npy_parts(bytes)?;
        let wide = match field(header, "descr") {
            Some("'<f4'") => false,
            Some("'<f8'") => true,
            other => {
                let found = other.unwrap_or("not said");
                return error(format!("NPY: the type is {found}, but '<f4' and '<f8' are right"));
            }
        };
        if field(header, "fortran_order") != Some("False") {
            return error("NPY: is in Fortran order, but C order is right");
        }
        let shape = field(header, "shape").unwrap_or_default();
        let sizes: Option<Vec<usize>> = shape
            .trim_matches(['(', ')'])
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().ok())
            .collect();
        let (rows, columns) = match sizes.as_deref() {
            Some([rows]) => (*rows, 1),
            Some([rows, columns]) if *columns > 0 => (*rows, *columns),
            _ => return error(format!("NPY: the shape is {shape}, but (rows, columns) is right")),
        };
        let size = if wide { 8 } else { 4 };
        let expected = rows.checked_mul(columns).and_then(|n| n.checked_mul(size));
        if expected != Some(data.len()) {
            let found = data.len();
            return error(format!(
                "NPY: {found} bytes of data do not make the shape {shape}: it is cut or damaged"
            ));
        }
        let values = match wide {
            false => data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            true => data.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x) as f32).collect(),
        };
        Ok(Self { columns, values })
    }

    /// Reads lines of numbers with commas between them. Empty lines are left out, and so is a first line that begins
    /// with a name: it has the columns' names.
    ///
    /// # Errors
    /// Names line and column of what is no number, and a line of another length than the first.
    pub fn from_csv(text: &str) -> Result<Self, RecordingError> {
        let mut columns = 0;
        let mut values = Vec::new();
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        for (at, (number, line)) in lines.filter(|(_, line)| !line.trim().is_empty()).enumerate() {
            if at == 0 && is_header(line) {
                continue;
            }
            let before = values.len();
            for (column, cell) in line.split(',').map(str::trim).enumerate() {
                match cell.parse::<f32>() {
                    Ok(value) => values.push(value),
                    Err(_) => {
                        let cell: String = cell.chars().take(20).collect();
                        let (line, column) = (number + 1, column + 1);
                        return error(format!("CSV: line {line}, column {column}: {cell:?} is no number"));
                    }
                }
            }
            let found = values.len() - before;
            if columns == 0 {
                columns = found;
            } else if found != columns {
                let line = number + 1;
                return error(format!("CSV: line {line} has {found} columns, but the first has {columns}"));
            }
        }
        if columns == 0 {
            return error("CSV: there are no numbers in it");
        }
        Ok(Self { columns, values })
    }

    /// Columns of every row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows, in order.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.columns)
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One column from the first row to the last; empty where there is no such column.
    pub fn column(&self, column: usize) -> Vec<f32> {
        self.rows().filter_map(|row| row.get(column).copied()).collect()
    }

    /// The file's bytes as NPY, which [`Recording::from_npy`] reads back.
    pub fn to_npy(&self) -> Vec<u8> {
        let mut header = String::new();
        // Writing to a String does not fail.
        let _ = write!(
            header,
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
            self.len(),
            self.columns
        );
        let before = MAGIC.len() + 4;
        // The data begins at a multiple of 64 bytes, after a line break.
        let padding = 63 - (before + header.len()) % 64;
        header.extend(std::iter::repeat_n(' ', padding));
        header.push('\n');
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }
}

/// Whether a first line of CSV has the columns' names: the first that is not empty is one. Others may be numbers.
pub fn is_header(line: &str) -> bool {
    let mut cells = line.trim_start_matches('\u{feff}').split(',').map(str::trim);
    cells.find(|cell| !cell.is_empty()).is_some_and(|cell| cell.parse::<f32>().is_err())
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// The header's text and what comes after it.
fn npy_parts(bytes: &[u8]) -> Result<(&str, &[u8]), RecordingError> {
    let cut = || RecordingError("NPY: the header is cut or damaged".into());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(cut)?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [version, ..] if *version > 3 || *version == 0 => {
            return error(format!("NPY: is of version {version}, but 1 to 3 are right"));
        }
        _ => return Err(cut()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    Ok((std::str::from_utf8(header).map_err(|_| cut())?, data))
}

/// What the header's dictionary says of a key.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = header.split_once(&format!("'{key}':"))?;
    let after = after.trim_start();
    let end = match after.starts_with('(') {
        true => after.find(')')? + 1,
        false => after.find([',', '}'])?,
    };
    Some(after.get(..end)?.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(bytes: &[u8], says: &str) {
        let message = Recording::read(bytes).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }

    /// As numpy 2 writes it.
    fn npy(dictionary: &str, data: &[u8]) -> Vec<u8> {
        let length = (dictionary.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, dictionary.as_bytes(), data].concat()
    }

    proptest! {
        #[test]
        fn what_is_written_as_npy_is_read_back(columns in 1_usize..5, rows in 0_usize..30, seed in any::<u32>()) {
            let values = (0..rows * columns).map(|i| (i as f32 + 0.5) * seed as f32).collect();
            let recording = Recording::new(columns, values).unwrap();
            let bytes = recording.to_npy();
            prop_assert_eq!((bytes.len() - 4 * rows * columns) % 64, 0);
            prop_assert_eq!(Recording::read(&bytes).unwrap(), recording);
        }

        #[test]
        fn any_bytes_are_a_recording_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80), npy in any::<bool>()) {
            let prefix = if npy { MAGIC } else { b"" };
            if let Ok(recording) = Recording::read(&[prefix, &bytes].concat()) {
                prop_assert_eq!(recording.rows().count(), recording.len());
            }
        }
    }

    #[test]
    fn wide_floats_and_one_dimension_are_taken() {
        let data: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let bytes = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }  \n", &data);
        assert_eq!(Recording::read(&bytes), Recording::new(1, vec![1.5, -2.0]));
    }

    #[test]
    fn an_array_that_is_no_recording_says_why() {
        let case = |dictionary, says| refused(&npy(dictionary, &[0; 8]), says);
        case("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", "the type is '<i8', but '<f4'");
        case("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }", "Fortran order");
        case("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 1), }", "the shape is (2, 1, 1)");
        case("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1), }", "8 bytes of data do not make");
        case("{'fortran_order': False}", "the type is not said");
        refused(b"\x93NUMPY\x01", "the header is cut");
        refused(b"\x93NUMPY\x07\x00\x00\x00", "is of version 7");
        let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }";
        case(huge, "do not make the shape");
    }

    #[test]
    fn csv_may_have_names_and_empty_lines() {
        let expected = Recording::new(2, vec![1.0, 0.0, 0.25, 1.0]).unwrap();
        for text in [
            "1,0\n0.25,1\n",
            "\u{feff}value,command\r\n1,0\r\n\r\n 0.25 , 1",
            ",x\n1,0\n.25,1e0",
            "value,0\n1,0\n.25,1",
        ] {
            assert_eq!(Recording::read(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
        assert_eq!(expected.column(1), [0.0, 1.0]);
        assert_eq!(expected.column(2), [0.0; 0]);
        assert!(expected.column(2).is_empty());
    }

    #[test]
    fn csv_that_is_no_recording_says_where() {
        refused(b"1,2\n3\n", "line 2 has 1 columns, but the first has 2");
        refused(b"1,2\n3,x\n", "line 2, column 2: \"x\" is no number");
        // What begins with a number, or with nothing and then a number, is a row.
        refused(b"0.5,x,1\n0.5,0,1\n", "line 1, column 2: \"x\" is no number");
        refused(b",0.5,1\n0.5,0,1\n", "line 1, column 1: \"\" is no number");
        refused(b"0.5,,1\n0.5,0,1\n", "line 1, column 2: \"\" is no number");
        refused(b"a,b\n", "there are no numbers");
        refused(b"", "there are no numbers");
        refused(&[0xff, 0xfe, 0], "neither NPY");
    }
}
