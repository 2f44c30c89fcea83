//! The data sets that recipes read: files, official sources, hashes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// One file of a data set.
#[derive(Debug)]
pub struct DataFile {
    /// Where it lies below the data directory.
    pub path: &'static str,
    /// Where its authors publish it.
    pub url: &'static str,
    /// SHA-256 of the content, unpacked where the file is gzipped (mirrors pack differently), in lower-case
    /// hexadecimal digits.
    pub sha256: &'static str,
}

/// A data set.
#[derive(Debug)]
pub struct DataSet {
    /// What commands call it.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Its licence and authors.
    pub licence: &'static str,
    /// Its files that can be fetched.
    pub files: &'static [DataFile],
    /// For a set that is put there by hand: where it comes from, and how it has to lie below the data
    /// directory. What reads it checks it.
    pub by_hand: Option<&'static str>,
}

/// All data sets.
pub const SETS: &[DataSet] = &[
    DataSet {
        name: "fashion-mnist",
        summary: "60,000 + 10,000 grey 28x28 images of clothing in 10 classes",
        licence: "MIT, (c) 2017 Zalando SE; Xiao, Rasul and Vollgraf 2017",
        files: &[
            DataFile {
                path: "fashion-mnist/train-images-idx3-ubyte.gz",
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
                sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            },
            DataFile {
                path: "fashion-mnist/train-labels-idx1-ubyte.gz",
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
                sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            },
            DataFile {
                path: "fashion-mnist/t10k-images-idx3-ubyte.gz",
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
                sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            },
            DataFile {
                path: "fashion-mnist/t10k-labels-idx1-ubyte.gz",
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
                sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            },
        ],
        by_hand: None,
    },
    DataSet {
        name: "tinyshakespeare",
        summary: "1,115,394 characters of Shakespeare's plays, 65 distinct",
        licence: "public domain; collected by Karpathy 2015",
        files: &[DataFile {
            path: "text/tinyshakespeare.txt",
            url: "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        }],
        by_hand: None,
    },
    DataSet {
        name: "fsdd",
        summary: "3,000 recordings of spoken digits, 6 speakers, 8 kHz",
        licence: "CC BY-SA 4.0; Jackson et al.",
        files: &[],
        by_hand: Some(
            "the directory recordings/ of https://github.com/Jakobovski/free-spoken-digit-dataset as fsdd/recordings/, \
             with its names DIGIT_SPEAKER_INDEX.wav",
        ),
    },
    DataSet {
        name: "nasa",
        summary: "telemetry of two spacecraft, SMAP and MSL, with labelled anomalies: 81 channels",
        licence: "Hundman et al. 2018 (telemanom, Caltech/JPL)",
        files: &[],
        by_hand: Some(
            "the data of https://github.com/khundman/telemanom as nasa/train/CHANNEL.npy, nasa/test/CHANNEL.npy \
             (f32 or f64, time x columns) and nasa/labeled_anomalies.csv",
        ),
    },
    DataSet {
        name: "nuclei",
        summary: "334 grey microscope images of 256 x 256 pixels with the masks of their nuclei",
        licence: "CC0; Data Science Bowl 2018, Caicedo et al. 2019",
        files: &[],
        by_hand: Some(
            "the dark images of 256 x 256 pixels of stage1_train at https://bbbc.broadinstitute.org/BBBC038 as \
             nuclei/images/000.png to 333.png in the order of their names, for each the union of its masks as \
             nuclei/masks/NNN.png, 0 or 255, and nuclei/index.csv with a line for each: id (its number, 0 to 333), \
             source_id (its name there) and nuclei (how many masks it has), named so in the first line",
        ),
    },
    DataSet {
        name: "utkface",
        summary: "15,963 aligned faces of 64 x 64 pixels with their ages, at most 2,400 of each decade",
        licence: "non-commercial research only; Zhang, Song and Qi 2017",
        files: &[],
        by_hand: Some(
            "the aligned and cropped faces of https://susanqq.github.io/UTKFace, made 64 x 64, in colour, as JPEG files \
             in utkface64/UTKFace.tar under their own names, AGE_GENDER_RACE_TIME.jpg.chip.jpg, in any directory: at \
             most 2,400 of each decade of age, 15,963 in all. How those were chosen is not recorded; a face's part goes \
             by its name and place among all, so that another choice is measured on other faces",
        ),
    },
];

/// What was found of a file.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// It is what it should be.
    Right,
    /// It is not there.
    Missing,
    /// It has another content, whose hash this is, or none that can be unpacked.
    Wrong(String),
}

impl DataFile {
    /// Where it lies below `data`.
    #[must_use]
    pub fn below(&self, data: &Path) -> PathBuf {
        data.join(self.path)
    }

    /// Reads the file below `data` and compares its content.
    #[must_use]
    pub fn verify(&self, data: &Path) -> Found {
        self.verify_at(&self.below(data))
    }

    /// As [`DataFile::verify`], for a file that lies elsewhere.
    #[must_use]
    pub fn verify_at(&self, path: &Path) -> Found {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(e) => return Found::Wrong(e.to_string()),
        };
        let packed = self.path.ends_with(".gz");
        let hash = if packed { hash(MultiGzDecoder::new(file)) } else { hash(file) };
        match hash {
            Ok(hash) if hash == self.sha256 => Found::Right,
            Ok(hash) => Found::Wrong(format!("sha256 {hash}, it should be {}", self.sha256)),
            Err(e) => Found::Wrong(format!("cannot be read to its end: {e}")),
        }
    }
}

fn hash(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The hash of "abc", FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_set_can_be_had_one_way_or_the_other() {
        for set in SETS {
            assert!(set.files.is_empty() == set.by_hand.is_some(), "{}", set.name);
        }
    }

    #[test]
    fn a_file_is_known_by_what_it_holds_however_it_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile { path: "abc.gz", url: "", sha256: ABC };
        for level in [flate2::Compression::none(), flate2::Compression::best()] {
            let mut packer =
                flate2::write::GzEncoder::new(File::create(file.below(dir.path())).unwrap(), level);
            packer.write_all(b"abc").unwrap();
            packer.finish().unwrap();
            assert_eq!(file.verify(dir.path()), Found::Right);
        }
    }

    #[test]
    fn a_file_that_is_missing_damaged_or_another_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile { path: "abc.txt", url: "", sha256: ABC };
        assert_eq!(file.verify(dir.path()), Found::Missing);
        std::fs::write(file.below(dir.path()), "abd").unwrap();
        assert!(matches!(file.verify(dir.path()), Found::Wrong(why) if why.contains(ABC)));
        let packed = DataFile { path: "abc.gz", url: "", sha256: ABC };
        std::fs::write(packed.below(dir.path()), "abc").unwrap();
        assert!(matches!(packed.verify(dir.path()), Found::Wrong(why) if why.contains("cannot be read")));
    }
}
