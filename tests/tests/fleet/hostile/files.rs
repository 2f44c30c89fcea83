//! Files that are made to hurt.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [kind, data].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

fn header(width: u32, height: u32, colour: u8, depth: u8) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&sides[..], &[depth, colour, 0, 0, 0]].concat())
}

/// So many zeros, packed.
fn packed(length: usize) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        packer.write_all(&block).unwrap();
    }
    packer.write_all(&block[..length & ((1 << 20) - 1)]).unwrap();
    packer.finish().unwrap()
}

/// A PNG whose header says this, with these bytes as its rows, right or wrong.
pub(crate) fn png(width: u32, height: u32, colour: u8, depth: u8, rows: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(rows).unwrap();
    let rows = chunk(b"IDAT", &packer.finish().unwrap());
    [SIGNATURE, &header(width, height, colour, depth), &rows, &chunk(b"IEND", b"")].concat()
}

/// A whole black PNG.
pub(crate) fn zeros(width: u32, height: u32) -> Vec<u8> {
    let rows = chunk(b"IDAT", &packed((width as usize + 1) * height as usize));
    [SIGNATURE, &header(width, height, 0, 8), &rows, &chunk(b"IEND", b"")].concat()
}

/// A name and so many zeros, packed: the inside of a colour profile or of a text.
pub(crate) fn profile(length: usize) -> Vec<u8> {
    [b"name\0\0", packed(length).as_slice()].concat()
}

/// A whole 28x28 PNG with one more chunk.
pub(crate) fn png_with_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let whole = png(28, 28, 0, 8, &[0; 29 * 28]);
    let (front, back) = whole.split_at(SIGNATURE.len() + 25);
    [front, &chunk(kind, data), back].concat()
}

/// A PNG with a chunk that is longer than the file.
pub(crate) fn long_chunk() -> Vec<u8> {
    [SIGNATURE, &header(28, 28, 0, 8), &0x7fff_ffff_u32.to_be_bytes(), b"IDAT", &[0; 100]].concat()
}

/// The start of a grey JPEG of this size.
pub(crate) fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let ([h0, h1], [w0, w1]) = (height.to_be_bytes(), width.to_be_bytes());
    let quantization = [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let frame = [0xff, 0xc0, 0, 11, 8, h0, h1, w0, w1, 1, 1, 0x11, 0];
    [&[0xff, 0xd8][..], &quantization, &frame, &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0, 0, 0xff, 0xd9]]
        .concat()
}
