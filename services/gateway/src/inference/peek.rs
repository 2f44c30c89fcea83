//! The name of the model, read off the front of a message.

/// The field of every request for a model that holds its name.
const NAME: u64 = 1;

/// The longest name that is looked for. Those of packages and graphs are shorter.
const MAX_NAME: usize = 256;

/// The name in a whole message; empty where it has none.
///
/// # Errors
/// Why it is no message, or no name.
pub(super) fn name(message: &[u8]) -> Result<String, &'static str> {
    let mut search = Search::default();
    match search.read(message)? {
        Some(name) => Ok(name),
        None => search.end(),
    }
}

/// Looks for the name in a message that comes in pieces. Each byte is looked at once, and only those of the name are
/// kept: how finely it is cut makes no difference.
#[derive(Debug, Default)]
pub(super) struct Search {
    place: Place,
    number: Number,
    name: Vec<u8>,
}

/// Where in the message the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In what a field begins with.
    #[default]
    Tag,
    /// In a number that is passed over.
    Number,
    /// In the length of what is passed over.
    Length,
    /// In what is passed over, of which so much is left.
    Other(u64),
    /// In the length of the name.
    NameLength,
    /// In the name, of which so much is left.
    Name(usize),
}

impl Search {
    /// Reads the next piece; the name, once its bytes are there.
    ///
    /// # Errors
    /// Why it is no message, or no name.
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Result<Option<String>, &'static str> {
        while let Some((&byte, after)) = piece.split_first() {
            match self.place {
                Place::Other(left) => {
                    let passed = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    piece = piece.get(passed..).unwrap_or_default();
                    self.place = Place::other(left - passed as u64);
                }
                Place::Name(left) => {
                    let (name, after) = piece.split_at(piece.len().min(left));
                    self.name.extend_from_slice(name);
                    piece = after;
                    self.place = Place::Name(left - name.len());
                }
                place => {
                    piece = after;
                    if let Some(number) = self.number.read(byte)? {
                        self.place = place.after(number)?;
                    }
                }
            }
            if self.place == Place::Name(0) {
                let name = String::from_utf8(std::mem::take(&mut self.name));
                return name.map(Some).map_err(|_| "has a model's name that is not UTF-8");
            }
        }
        Ok(None)
    }

    /// The message is over: it has no name, which is the empty one.
    ///
    /// # Errors
    /// It is over in the midst of a field.
    pub(super) fn end(&self) -> Result<String, &'static str> {
        match self.place {
            Place::Tag if self.number.bytes == 0 => Ok(String::new()),
            _ => Err("breaks off"),
        }
    }
}

impl Place {
    /// Behind a number that was read here.
    fn after(self, number: u64) -> Result<Self, &'static str> {
        match self {
            Self::Tag => match (number >> 3, number & 7) {
                (NAME, 2) => Ok(Self::NameLength),
                (_, 0) => Ok(Self::Number),
                (_, 1) => Ok(Self::Other(8)),
                (_, 2) => Ok(Self::Length),
                (_, 5) => Ok(Self::Other(4)),
                _ => Err("has a field of a type that there is not"),
            },
            Self::NameLength => match usize::try_from(number) {
                Ok(length) if length <= MAX_NAME => Ok(Self::Name(length)),
                _ => Err("has a model's name of more than 256 bytes"),
            },
            Self::Length => Ok(Self::other(number)),
            Self::Number | Self::Other(_) | Self::Name(_) => Ok(Self::Tag),
        }
    }

    /// Before so many bytes that are passed over.
    fn other(left: u64) -> Self {
        if left == 0 { Self::Tag } else { Self::Other(left) }
    }
}

/// A number, as far as it was read.
#[derive(Debug, Default)]
struct Number {
    value: u64,
    bytes: u32,
}

impl Number {
    /// Reads its next byte; the number, if that is the last.
    fn read(&mut self, byte: u8) -> Result<Option<u64>, &'static str> {
        self.value |= u64::from(byte & 0x7f).checked_shl(7 * self.bytes).unwrap_or_default();
        self.bytes += 1;
        if byte & 0x80 == 0 {
            return Ok(Some(std::mem::take(self).value));
        }
        if self.bytes == 10 { Err("has a number of more than 64 bits") } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use atelier_proto::inference::model_infer_request::InferInputTensor;
    use atelier_proto::inference::{ModelInferRequest, ModelReadyRequest};
    use prost::Message;

    use super::*;

    /// What the beginning of a message tells.
    fn begin(message: &[u8]) -> Result<Option<String>, &'static str> {
        Search::default().read(message)
    }

    fn found(name: &str) -> Result<Option<String>, &'static str> {
        Ok(Some(name.to_owned()))
    }

    /// Fields of every type before the name "bard".
    fn name_behind_others() -> Vec<u8> {
        let tensor = InferInputTensor { name: "x".into(), shape: vec![1, 2], ..Default::default() };
        let others = ModelInferRequest {
            id: "7".into(),
            inputs: vec![tensor],
            raw_input_contents: vec![vec![1; 300].into(), Default::default()],
            ..Default::default()
        };
        let mut bytes = others.encode_to_vec();
        // A number, and the two of fixed length, of fields that nobody knows.
        bytes.extend([0xf8, 0x7f, 0x96, 0x01]);
        bytes.extend([0xf9, 0x7f, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0xfd, 0x7f, 1, 2, 3, 4]);
        bytes.extend(ModelReadyRequest { name: "bard".into(), ..Default::default() }.encode_to_vec());
        bytes
    }

    #[test]
    fn the_name_is_found_as_soon_as_its_bytes_are_there() {
        let request = ModelInferRequest {
            model_name: "fashion-vae.decoder".into(),
            id: "7".into(),
            raw_input_contents: vec![vec![1; 1000].into()],
            ..Default::default()
        };
        let bytes = request.encode_to_vec();
        let needed = 2 + "fashion-vae.decoder".len();
        for length in 0..bytes.len() {
            let expected = if length < needed { Ok(None) } else { found("fashion-vae.decoder") };
            assert_eq!(begin(&bytes[..length]), expected, "of {length} bytes");
        }
    }

    #[test]
    fn a_name_behind_other_fields_is_found_too() {
        let bytes = name_behind_others();
        assert_eq!(name(&bytes), Ok("bard".to_owned()));
        for length in 0..bytes.len() {
            assert_eq!(begin(&bytes[..length]), Ok(None), "of {length} bytes");
        }
    }

    #[test]
    fn a_message_is_the_same_however_it_is_cut_and_what_was_read_is_not_kept() {
        let bytes = name_behind_others();
        for size in 1..bytes.len() {
            let mut search = Search::default();
            let mut pieces = bytes.chunks(size).map(|piece| {
                assert!(search.name.len() < 4, "all that is kept");
                search.read(piece)
            });
            let told = pieces.find(|told| *told != Ok(None));
            assert_eq!((told, pieces.next()), (Some(found("bard")), None), "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_without_a_name_has_an_empty_one() {
        assert_eq!(name(&[]), Ok(String::new()));
        assert_eq!(begin(&[]), Ok(None));
        assert_eq!(begin(&[0x0a, 0]), found(""));
        let version = ModelReadyRequest { version: "3".into(), ..Default::default() }.encode_to_vec();
        assert_eq!(name(&version), Ok(String::new()));
    }

    #[test]
    fn what_is_no_message_is_said_and_never_waited_for() {
        for bytes in [
            &[0x0a, 0x02, 0xff, 0xfe][..],
            &[0x0a, 0xff, 0xff, 0x03],
            &[0x0f],
            &[0xff; 11],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(begin(bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&[0x0a, 9, b'x'][..], &[0x0a], &[0x80], &[0x12, 1], &[0x10], &[0x11, 1]] {
            assert_eq!(name(bytes), Err("breaks off"), "{bytes:?}");
        }
    }
}
