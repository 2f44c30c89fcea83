//! Nuclei under a fluorescence microscope: the 334 grey images of 256 x 256 pixels of the Data Science Bowl
//! 2018 (Caicedo et al. 2019, BBBC038), each with the union of the masks of its nuclei.

use std::path::Path;

use atelier_transforms::segmentation::{Mask, Plane};
use sha2::{Digest, Sha256};

use super::DataError;

/// The images that results are reported on: the first 67 of NumPy's `default_rng(0).permutation(334)`, the
/// split of the baselines that were published with the data.
const TEST: [usize; 67] = [
    0, 5, 10, 18, 31, 36, 38, 39, 44, 45, 47, 54, 55, 63, 70, 71, 75, 83, 84, 107, 114, 128, 133, 140, 141,
    144, 148, 150, 160, 166, 167, 181, 186, 195, 196, 197, 201, 203, 208, 212, 218, 222, 223, 225, 229, 244,
    248, 256, 259, 261, 262, 269, 271, 274, 276, 281, 290, 293, 296, 303, 306, 313, 319, 324, 325, 327, 329,
];

/// One image in this many of the rest is kept from training, to choose by.
const VALIDATION: u8 = 9;

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Networks learn from it.
    Training,
    /// What is not learned is chosen by it: the threshold, the recipe.
    Validation,
    /// Results are reported on it.
    Test,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Nucleus {
    /// Its number in the data set.
    pub id: usize,
    /// What it is for.
    pub part: Part,
    /// Grey levels, 0 to 255.
    pub image: Plane,
    /// Where nuclei are.
    pub mask: Mask,
    /// How many nuclei there are, those that touch counted one by one.
    pub count: usize,
}

/// All images, of one size.
#[derive(Debug)]
pub struct Nuclei {
    /// In the order of the index.
    pub all: Vec<Nucleus>,
}

impl Nuclei {
    /// Reads `dir/nuclei` or `dir` itself: `index.csv` with the columns `id`, `source_id` and `nuclei`, and
    /// `images/ID.png` and `masks/ID.png`, ID of three digits.
    ///
    /// # Errors
    /// Names the file that is missing or malformed, or has another size than the first.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let inner = dir.join("nuclei");
        let dir = if inner.is_dir() { inner } else { dir.to_owned() };
        let path = dir.join("index.csv");
        let wrong = |message: String| DataError::malformed(&path, message);
        let text = String::from_utf8(super::read(&path)?).map_err(|e| wrong(format!("not UTF-8: {e}")))?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let column = |name: &str| {
            let at = header.iter().position(|h| *h == name);
            at.ok_or_else(|| wrong(format!("has no column {name}")))
        };
        let (id, source, nuclei) = (column("id")?, column("source_id")?, column("nuclei")?);
        let mut all: Vec<Nucleus> = Vec::new();
        for (number, line) in (2..).zip(lines) {
            let cells: Vec<&str> = line.split(',').collect();
            let whole = |at: usize| {
                let cell = cells.get(at).copied().unwrap_or_default();
                cell.parse::<usize>()
                    .map_err(|_| wrong(format!("line {number}: `{cell}` is no whole number")))
            };
            let (id, count) = (whole(id)?, whole(nuclei)?);
            let name = cells.get(source).copied().unwrap_or_default();
            let (image, mask) = (
                read(&dir.join(format!("images/{id:03}.png")))?,
                read(&dir.join(format!("masks/{id:03}.png")))?,
            );
            let first = all.first().map_or(&image, |first| &first.image);
            if !same_size(&image, first) || !same_size(&mask, first) {
                let (h, w) = (first.height(), first.width());
                return Err(wrong(format!("image {id} or its mask is not {w}x{h}, the size of the first")));
            }
            all.push(Nucleus { id, part: part(id, name), image, mask: Mask::of(&mask, 1.0), count });
        }
        let nuclei = Self { all };
        for part in [Part::Training, Part::Validation, Part::Test] {
            if nuclei.part(part).next().is_none() {
                return Err(wrong(format!(
                    "lists {} images, of which none is for {part:?}",
                    nuclei.all.len()
                )));
            }
        }
        Ok(nuclei)
    }

    /// The images of one part, in order.
    pub fn part(&self, part: Part) -> impl Iterator<Item = &Nucleus> {
        self.all.iter().filter(move |n| n.part == part)
    }
}

fn same_size(a: &Plane, b: &Plane) -> bool {
    (a.height(), a.width()) == (b.height(), b.width())
}

/// By number for the test part, by the hash of the name that the image's authors gave it for the validation
/// part: neither depends on what else is in the index.
fn part(id: usize, name: &str) -> Part {
    if TEST.contains(&id) {
        return Part::Test;
    }
    match Sha256::digest(name.as_bytes()).first() {
        Some(byte) if byte % VALIDATION == 0 => Part::Validation,
        _ => Part::Training,
    }
}

fn read(path: &Path) -> Result<Plane, DataError> {
    let bytes = super::read(path)?;
    let grey = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png)
        .map_err(|e| DataError::malformed(path, format!("no PNG: {e}")))?
        .into_luma8();
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    Plane::new(height, width, grey.into_raw().into_iter().map(f32::from).collect())
        .ok_or_else(|| DataError::malformed(path, "has no pixels"))
}
