//! The IDX format of MNIST and its relatives, gzipped: <http://yann.lecun.com/exdb/mnist/>.

use std::io::Read;
use std::path::Path;

use super::DataError;

/// An array of bytes with its shape.
#[derive(Debug, PartialEq)]
pub struct Idx {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The elements, innermost axis fastest.
    pub data: Vec<u8>,
}

/// Files that claim to unpack to more than this are refused.
const LIMIT: u64 = 1 << 30;

/// Reads a gzipped IDX file of unsigned bytes with `rank` axes.
///
/// # Errors
/// Names the file and what is wrong: not gzip, not IDX, other elements, another rank, cut short, or longer
/// than its header says.
pub fn read(path: &Path, rank: usize) -> Result<Idx, DataError> {
    let packed = super::read(path)?;
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed.as_slice())
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::malformed(path, format!("not a complete gzip file: {e}")))?;
    parse(&bytes, rank).map_err(|message| DataError::malformed(path, message))
}

fn parse(bytes: &[u8], rank: usize) -> Result<Idx, String> {
    let header = 4 + 4 * rank;
    let head = bytes.get(..header).ok_or("too short for an IDX header")?;
    if head[..3] != [0, 0, 8] || usize::from(head[3]) != rank {
        return Err(format!(
            "starts with {:02x?}, an IDX file of bytes with {rank} axes starts with [00, 00, 08, {rank:02x}]",
            &head[..4]
        ));
    }
    let shape: Vec<usize> =
        head[4..].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let count = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
    let data = &bytes[header..];
    if count != Some(data.len()) {
        return Err(format!("the header says shape {shape:?}, but {} bytes follow", data.len()));
    }
    Ok(Idx { shape, data: data.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_array_is_read() {
        let bytes = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 1, 7, 9];
        assert_eq!(parse(&bytes, 2).unwrap(), Idx { shape: vec![2, 1], data: vec![7, 9] });
    }

    #[test]
    fn what_is_wrong_with_an_array_is_said() {
        let cases: [(&[u8], &str); 4] = [
            (&[0, 0, 8], "too short"),
            (&[0, 0, 9, 1, 0, 0, 0, 1, 1], "starts with"),
            (&[0, 0, 8, 1, 0, 0, 0, 2, 1], "1 bytes follow"),
            (&[0, 0, 8, 1, 255, 255, 255, 255, 1], "[4294967295]"),
        ];
        for (bytes, expected) in cases {
            let message = parse(bytes, 1).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_file_of_several_gzip_members_is_read_whole() {
        let pack = |bytes: &[u8]| {
            let mut packed = Vec::new();
            flate2::read::GzEncoder::new(bytes, flate2::Compression::fast())
                .read_to_end(&mut packed)
                .unwrap();
            packed
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.gz");
        std::fs::write(&path, [pack(&[0, 0, 8, 1, 0, 0, 0]), pack(&[2, 7, 9])].concat()).unwrap();
        assert_eq!(read(&path, 1).unwrap().data, [7, 9]);
    }

    #[test]
    fn a_file_that_is_not_gzip_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-images-idx3-ubyte.gz");
        std::fs::write(&path, b"plain").unwrap();
        let message = read(&path, 3).unwrap_err().to_string();
        assert!(message.contains("train-images-idx3-ubyte.gz: not a complete gzip file"), "{message}");
    }
}
