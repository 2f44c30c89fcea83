//! Reading tar archives (POSIX ustar) as a stream: their plain files, one after the other.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// A larger file than this in an archive of small pictures is a damaged header.
const LIMIT: u64 = 64 << 20;

/// A plain file of an archive.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Its path in the archive.
    pub name: String,
    /// Its content.
    pub data: Vec<u8>,
}

/// The plain files of an archive, in its order. Directories, links and extension headers are passed over.
/// After an error there is nothing more.
#[derive(Debug)]
pub struct Archive<R> {
    reader: R,
    ended: bool,
}

impl<R: Read> Archive<R> {
    /// An archive that is read from its start.
    pub fn new(reader: R) -> Self {
        Self { reader, ended: false }
    }

    fn entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let mut header = [0u8; BLOCK];
            self.reader.read_exact(&mut header).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => {
                    malformed("ends without the two blocks that close an archive")
                }
                _ => e,
            })?;
            if header.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            check(&header)?;
            let name = name(&header);
            let size = octal(&header[124..136])
                .filter(|&size| size <= LIMIT)
                .ok_or_else(|| malformed(&format!("{name}: has no size of at most {LIMIT} bytes")))?;
            let mut data = vec![0; (size as usize).next_multiple_of(BLOCK)];
            self.reader.read_exact(&mut data).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => malformed(&format!("{name}: is cut off")),
                _ => e,
            })?;
            data.truncate(size as usize);
            // '0', or NUL in archives from before POSIX.
            if matches!(header[156], b'0' | 0) {
                return Ok(Some(Entry { name, data }));
            }
        }
    }
}

impl<R: Read> Iterator for Archive<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

fn malformed(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a whole tar archive: {message}"))
}

/// The header's sum over its bytes, its own field taken as spaces.
fn check(header: &[u8; BLOCK]) -> io::Result<()> {
    let field = 148..156;
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(i, &byte)| u64::from(if field.contains(&i) { b' ' } else { byte }))
        .sum();
    if octal(&header[field]) == Some(sum) { Ok(()) } else { Err(malformed("a header's checksum is wrong")) }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = text(field);
    u64::from_str_radix(text.trim(), 8).ok()
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn name(header: &[u8; BLOCK]) -> String {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    let posix = header[257..].starts_with(b"ustar\0");
    if posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut header = [0u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        let sum: u64 = header.iter().map(|&b| u64::from(b)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        header[154] = 0;
        let mut out = header.to_vec();
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    fn archive() -> Vec<u8> {
        let parts = [file("d/", b'5', b""), file("d/a", b'0', &[7; 600]), file("d/b", b'0', b"")];
        [parts.concat(), vec![0; 2 * BLOCK]].concat()
    }

    #[test]
    fn plain_files_come_in_order_with_their_content() {
        let entries: Vec<Entry> = Archive::new(archive().as_slice()).map(Result::unwrap).collect();
        let a = Entry { name: "d/a".into(), data: vec![7; 600] };
        assert_eq!(entries, [a, Entry { name: "d/b".into(), data: vec![] }]);
    }

    #[test]
    fn an_archive_that_is_cut_off_or_damaged_is_an_error_and_not_an_end() {
        let whole = archive();
        for end in [100, 600, 1536, 2000] {
            let last = Archive::new(&whole[..end]).last().unwrap();
            let error = last.unwrap_err().to_string();
            assert!(error.contains("not a whole tar archive"), "{end}: {error}");
        }
        let mut damaged = whole;
        damaged[BLOCK] ^= 1;
        let error = Archive::new(damaged.as_slice()).last().unwrap().unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}
