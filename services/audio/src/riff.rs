//! The head of a WAV file.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the head.
pub(crate) const HEAD: usize = 44;

/// What comes before the samples of a WAV file: one channel of signed 16-bit samples, little-endian (Microsoft
/// and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991). `samples` must be less than
/// 2^31 - 18, for the file says its length in 32 bits.
pub(crate) fn head(sample_rate: u32, samples: usize) -> Bytes {
    let bytes = u32::try_from(samples.saturating_mul(2)).unwrap_or(u32::MAX - 36);
    let mut head = BytesMut::with_capacity(HEAD);
    head.put_slice(b"RIFF");
    head.put_u32_le(bytes.saturating_add(36));
    head.put_slice(b"WAVEfmt ");
    head.put_u32_le(16);
    // PCM, one channel.
    head.put_u16_le(1);
    head.put_u16_le(1);
    head.put_u32_le(sample_rate);
    // Bytes a second, bytes a sample, bits a sample.
    head.put_u32_le(sample_rate.saturating_mul(2));
    head.put_u16_le(2);
    head.put_u16_le(16);
    head.put_slice(b"data");
    head.put_u32_le(bytes);
    head.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_that_of_a_file_of_this_length() {
        let expected =
            b"RIFF\x2a\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x06\0\0\0";
        assert_eq!(head(8000, 3), &expected[..]);
        assert_eq!(expected.len(), HEAD);
    }
}
