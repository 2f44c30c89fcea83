//! Faces that are drawn: an ellipse before a textured ground, hair that greys and lines that deepen with age.

use std::path::PathBuf;
use std::sync::OnceLock;

use atelier_trainer::random;

/// Faces in the archive.
pub(crate) const COUNT: usize = 120;
/// Of these, so many are there twice.
pub(crate) const TWICE: usize = 6;

/// The age of the given face in years.
pub(crate) fn age(index: usize) -> f32 {
    (1 + which(index) * 37 % 95) as f32
}

/// The last faces are the first ones again.
fn which(index: usize) -> usize {
    if index >= COUNT - TWICE { index - (COUNT - TWICE) } else { index }
}

/// A directory with `utkface64/UTKFace.tar` in it.
pub(crate) fn data() -> PathBuf {
    static DATA: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DATA.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<(String, Vec<u8>)> = (0..COUNT)
            .map(|i| (format!("UTKFace/{}_0_0_{i:017}.jpg.chip.jpg", age(i)), jpeg(which(i) as u64, 64)))
            .collect();
        let inner = dir.path().join("utkface64");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("UTKFace.tar"), tar(&files)).unwrap();
        dir
    });
    dir.path().to_owned()
}

/// The drawn face of a number, as a JPEG file.
pub(crate) fn jpeg(number: u64, size: u32) -> Vec<u8> {
    let mut rng = random::generator(&[number, 77]);
    let draw: Vec<f32> = random::normals(&mut rng, 16).map(|x| (x * 0.3).clamp(-1.0, 1.0) as f32).collect();
    let years = age(number as usize) / 95.0;
    let picture = image::RgbImage::from_fn(size, size, |x, y| {
        let (x, y) = (x as f32 / size as f32 * 2.0 - 1.0, y as f32 / size as f32 * 2.0 - 1.0);
        let wave = ((x * (4.0 + 6.0 * draw[0]) + y * 5.0 * draw[1]) * 2.0 + draw[2] * 9.0).sin();
        let ground =
            [0.5 + 0.3 * wave + 0.3 * draw[3], 0.5 + 0.3 * draw[4] - 0.2 * wave, 0.5 + 0.4 * draw[5]];
        let skin = 0.65 + 0.25 * draw[6];
        let face = (x / (0.62 + 0.1 * draw[7])).powi(2) + (y / (0.85 + 0.1 * draw[8])).powi(2);
        let eye = |side: f32| {
            ((x - side * (0.27 + 0.05 * draw[9])) / 0.11).powi(2) + ((y + 0.2) / 0.07).powi(2) < 1.0
        };
        let mouth = (x / (0.28 + 0.1 * draw[10])).powi(2) + ((y - 0.5) / 0.07).powi(2) < 1.0;
        let lines = 0.25 * years * (y * 40.0).sin() * f32::from(!(-0.35..=0.62).contains(&y));
        let colour = if eye(-1.0) || eye(1.0) {
            [0.1, 0.1, 0.1 + 0.3 * draw[11].abs()]
        } else if mouth {
            [0.7, 0.25, 0.25]
        } else if face < 1.0 && y > -0.62 {
            [skin + lines, skin * 0.8 + lines, skin * 0.65 + lines]
        } else if face < 1.25 && y < -0.1 {
            [0.15 + 0.7 * years; 3]
        } else {
            ground
        };
        image::Rgb(colour.map(|c| (c.clamp(0.0, 1.0) * 255.0) as u8))
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// A tar archive of plain files.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, data) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
