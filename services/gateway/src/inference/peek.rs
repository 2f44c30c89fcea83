//! The name of the model, read off the front of a message.

/// The field of every request for a model that holds its name.
const NAME: u64 = 1;

/// The longest name that is looked for. Those of packages and graphs are shorter.
const MAX_NAME: u64 = 256;

/// What the beginning of a message tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peeked {
    /// The name; empty where the whole message has none.
    Name(String),
    /// It comes later.
    More,
    /// It is no message, or no name.
    Malformed(&'static str),
}

/// Reads the name off the first bytes of a message; `whole` says that there are no others.
///
/// Whoever serialises a message writes the first field first, as a rule; where not, more bytes are asked for.
pub(super) fn name(message: &[u8], whole: bool) -> Peeked {
    let mut rest = Cursor(message);
    loop {
        if rest.0.is_empty() {
            return if whole { Peeked::Name(String::new()) } else { Peeked::More };
        }
        match rest.field() {
            Some(Ok(Some(name))) => return name,
            Some(Ok(None)) => {}
            Some(Err(why)) => return Peeked::Malformed(why),
            None if whole => return Peeked::Malformed("breaks off"),
            None => return Peeked::More,
        }
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Reads one field: the name, if it is that one. `None` where the bytes do not reach.
    fn field(&mut self) -> Option<Result<Option<Peeked>, &'static str>> {
        let tag = match self.varint()? {
            Ok(tag) => tag,
            Err(why) => return Some(Err(why)),
        };
        let skipped = match (tag >> 3, tag & 7) {
            (NAME, 2) => return self.name(),
            (_, 0) => match self.varint()? {
                Ok(_) => Some(()),
                Err(why) => return Some(Err(why)),
            },
            (_, 1) => self.skip(8),
            (_, 2) => match self.varint()? {
                Ok(length) => self.skip(length),
                Err(why) => return Some(Err(why)),
            },
            (_, 5) => self.skip(4),
            _ => return Some(Err("has a field of a type that there is not")),
        };
        skipped.map(|()| Ok(None))
    }

    fn name(&mut self) -> Option<Result<Option<Peeked>, &'static str>> {
        let length = match self.varint()? {
            Ok(length) if length <= MAX_NAME => usize::try_from(length).ok()?,
            Ok(_) => return Some(Err("has a model's name of more than 256 bytes")),
            Err(why) => return Some(Err(why)),
        };
        let name = self.0.get(..length)?;
        Some(match std::str::from_utf8(name) {
            Ok(name) => Ok(Some(Peeked::Name(name.to_owned()))),
            Err(_) => Err("has a model's name that is not UTF-8"),
        })
    }

    fn varint(&mut self) -> Option<Result<u64, &'static str>> {
        let mut value = 0_u64;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * at).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Some(Ok(value));
            }
        }
        Some(Err("has a number of more than 64 bits"))
    }

    fn skip(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use atelier_proto::inference::model_infer_request::InferInputTensor;
    use atelier_proto::inference::{ModelInferRequest, ModelReadyRequest};
    use prost::Message;

    use super::*;

    fn found(name: &str) -> Peeked {
        Peeked::Name(name.to_owned())
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
            let expected = if length < needed { Peeked::More } else { found("fashion-vae.decoder") };
            assert_eq!(name(&bytes[..length], false), expected, "of {length} bytes");
        }
    }

    #[test]
    fn a_name_behind_other_fields_is_found_too() {
        let tensor = InferInputTensor { name: "x".into(), shape: vec![1, 2], ..Default::default() };
        let others = ModelInferRequest {
            id: "7".into(),
            inputs: vec![tensor],
            raw_input_contents: vec![vec![1; 300].into()],
            ..Default::default()
        };
        let mut bytes = others.encode_to_vec();
        // A number, and the two of fixed length, of fields that nobody knows.
        bytes.extend([0xf8, 0x7f, 0x96, 0x01]);
        bytes.extend([0xf9, 0x7f, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0xfd, 0x7f, 1, 2, 3, 4]);
        let front = bytes.len();
        bytes.extend(ModelReadyRequest { name: "bard".into(), ..Default::default() }.encode_to_vec());
        assert_eq!(name(&bytes, true), found("bard"));
        for length in 0..front + 5 {
            assert_eq!(name(&bytes[..length], false), Peeked::More, "of {length} bytes");
        }
    }

    #[test]
    fn a_message_without_a_name_has_an_empty_one() {
        assert_eq!(name(&[], true), found(""));
        assert_eq!(name(&[], false), Peeked::More);
        let version = ModelReadyRequest { version: "3".into(), ..Default::default() }.encode_to_vec();
        assert_eq!(name(&version, true), found(""));
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
            assert!(matches!(name(bytes, false), Peeked::Malformed(_)), "{bytes:?}");
        }
        assert_eq!(name(&[0x0a, 9, b'x'], true), Peeked::Malformed("breaks off"));
    }
}
