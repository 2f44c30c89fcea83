//! Whether a JPEG file is whole.
//!
//! The decoder fills what is missing at the end with grey, which is kind to a browser's user and wrong
//! here: half of an image would be denoised without a word. And it decodes every scan that a progressive
//! file has, of which a hostile one has thousands.

/// Encoders write about ten scans into a progressive file.
const MAX_SCANS: usize = 100;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Walks the segments from the start of the image to its end marker. What lies behind that is not looked
/// at; the content of the segments is for the decoder.
pub(crate) fn check_whole(data: &[u8]) -> Result<(), String> {
    let cut = || "it ends before its end marker, as if cut short".to_owned();
    let mut rest = data.strip_prefix(&[0xff, SOI]).ok_or("it has no start marker")?;
    let mut scans = 0;
    loop {
        // Any number of fill bytes may precede a marker.
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let (&marker, after) = rest.get(fill..).and_then(<[u8]>::split_first).ok_or_else(cut)?;
        if fill == 0 {
            return Err(format!("byte {} should begin a marker", data.len() - rest.len()));
        }
        rest = match marker {
            EOI => return Ok(()),
            // Markers that stand alone.
            0x01 | 0xd0..=0xd7 => after,
            _ => {
                let length = match after {
                    [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
                    _ => return Err(cut()),
                };
                let after = after.get(length.max(2)..).ok_or_else(cut)?;
                if marker == SOS {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(format!("it has more than {MAX_SCANS} scans"));
                    }
                    after_scan(after).ok_or_else(cut)?
                } else {
                    after
                }
            }
        };
    }
}

/// What follows the entropy-coded data: in it a marker is a restart, or 0xff followed by 0.
fn after_scan(data: &[u8]) -> Option<&[u8]> {
    let end = data.windows(2).position(|pair| match pair {
        [0xff, second] => !matches!(second, 0x00 | 0xd0..=0xd7 | 0xff),
        _ => false,
    })?;
    data.get(end..)
}
