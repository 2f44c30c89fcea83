//! People who belong to nobody, each at several ages: what a sampler of faces makes of the same random numbers.
//! Photographs of one person over a life are not in the data; these are what an ager learns from in their place.

use std::path::{Path, PathBuf};

use anyhow::Context;
use atelier_package::{Dim, Package};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::data::DataError;
use crate::evaluate::{plain, session, torch};
use crate::nets::age_code::AGES;
use crate::nets::face_trunk::face_input;
use crate::onnx_runtime::OnnxRuntime;
use crate::random;

/// Faces that are made at a time.
const CHUNK: usize = 64;
/// Of so many people one is kept for validation.
const HELD_OUT: i64 = 20;
/// Threads that make them.
const THREADS: usize = 2;
/// The square of a face of 64x64 that is mostly skin: first row, first column, side.
const SKIN: [i64; 3] = [20, 16, 32];

/// `[family.lessons]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LessonsConfig {
    /// Package whose graph `generator` makes a face of random numbers `z` and an `age`.
    pub sampler: PathBuf,
    /// How many people.
    pub people: usize,
    /// At how many ages each, one drawn in each of so many equal parts of the range.
    pub ages: usize,
}

impl LessonsConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.ages < 2 {
            return Err(format!(
                "family.lessons.ages is {}, it must be at least 2: a pair has two",
                self.ages
            ));
        }
        if self.people < HELD_OUT as usize {
            return Err(format!(
                "family.lessons.people is {}, it must be at least {HELD_OUT}: one in {HELD_OUT} validates",
                self.people
            ));
        }
        Ok(())
    }
}

/// Who makes the faces.
pub(super) struct Teacher {
    package: Package,
    /// Random numbers of a face.
    latent: usize,
}

impl Teacher {
    /// Opens the package in `path`.
    ///
    /// # Errors
    /// It cannot be read, or makes no faces by age.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let package = Package::open(path).map_err(|e| DataError::malformed(path, e.to_string()))?;
        let latent = package.manifest().graph("generator").and_then(|graph| {
            let ([z, age], [face]) = (graph.inputs.as_slice(), graph.outputs.as_slice()) else { return None };
            let [_, Dim::Fixed(latent)] = z.shape.as_slice() else { return None };
            let named = z.name == "z" && age.name == "age";
            (named && face.shape.get(1..) == face_input().shape.get(1..)).then_some(*latent)
        });
        match latent {
            Some(latent) => Ok(Self { package, latent }),
            None => Err(DataError::malformed(
                path,
                "has no graph generator that makes faces of 64x64 of z and age",
            )),
        }
    }

    /// Which weights these are.
    pub(super) fn state(&self) -> &str {
        self.package.manifest().graph("generator").map_or("", |graph| &graph.sha256)
    }

    /// Makes all faces. They follow from `seed` alone.
    ///
    /// # Errors
    /// ONNX Runtime cannot be loaded or does not run the graph.
    pub(super) fn teach(&self, config: &LessonsConfig, seed: u64) -> anyhow::Result<Lessons> {
        let runtime = OnnxRuntime::load(THREADS)?;
        let mut generator = session(&self.package, &runtime, "generator")?;
        let mut rng = random::generator(&[seed, random::LESSONS]);
        let (mut images, mut all_ages) = (Vec::new(), Vec::new());
        let (k, span) = (config.ages, (AGES[1] - AGES[0]) / config.ages as f64);
        for start in (0..config.people).step_by(CHUNK) {
            let n = CHUNK.min(config.people - start);
            let z: Vec<f32> = random::normals(&mut rng, n * self.latent).map(|x| x as f32).collect();
            let z = Tensor::from_slice(&z).reshape([n as i64, self.latent as i64]);
            let ages: Vec<f32> = (0..n * k)
                .map(|i| (AGES[0] + span * ((i % k) as f64 + random::unit(&mut rng))) as f32)
                .collect();
            let ages = Tensor::from_slice(&ages).reshape([n as i64, k as i64]);
            let mut life = Vec::with_capacity(k);
            for column in 0..k as i64 {
                let made = generator.run(&[plain(&z)?, plain(&ages.select(1, column))?])?;
                let faces = torch(made.first().context("the sampler's graph gives nothing")?)?;
                life.push((faces * 255.0).round().to_kind(Kind::Uint8));
            }
            images.push(Tensor::stack(&life, 1));
            all_ages.push(ages);
        }
        Ok(Lessons { images: Tensor::cat(&images, 0), ages: Tensor::cat(&all_ages, 0) })
    }
}

/// The people.
pub(super) struct Lessons {
    /// u8 `[people, ages, 3, 64, 64]`.
    images: Tensor,
    /// Years, f32 `[people, ages]`.
    ages: Tensor,
}

/// A face, and the same one at another age.
pub(super) struct Pairs {
    /// f32 `[n, 3, 64, 64]` in [0, 1].
    pub(super) from: Tensor,
    /// As `from`, in the same light.
    pub(super) to: Tensor,
    /// Years of `to`, f32 `[n]`.
    pub(super) age: Tensor,
}

impl Lessons {
    /// `n` pairs of people who are trained on, at any two of their ages, each mirrored or not, by libtorch's
    /// generator.
    pub(super) fn pairs(&self, n: i64, device: Device) -> Pairs {
        let people = self.people() - self.held_out();
        let long = (Kind::Int64, Device::Cpu);
        let who = Tensor::randint(people, [n], long);
        let ages = self.ages.size()[1];
        let from = Tensor::randint(ages, [n], long);
        let to = (&from + Tensor::randint_low(1, ages, [n], long)).remainder(ages);
        let pairs = self.at(&who, &from, &to, device);
        let side = pairs.age.rand_like().lt(0.5).reshape([-1, 1, 1, 1]);
        let mirror = |x: &Tensor| x.flip([3]).where_self(&side, x);
        Pairs { from: mirror(&pairs.from), to: mirror(&pairs.to), age: pairs.age }
    }

    /// Those who are not trained on, each from every age to the next, and from the last to the first.
    pub(super) fn validation(&self, device: Device) -> Pairs {
        let (held_out, ages) = (self.held_out(), self.ages.size()[1]);
        let row = Tensor::arange(held_out * ages, (Kind::Int64, Device::Cpu));
        let who = row.divide_scalar_mode(ages, "floor") + (self.people() - held_out);
        let from = row.remainder(ages);
        self.at(&who, &from, &(&from + 1i64).remainder(ages), device)
    }

    fn at(&self, who: &Tensor, from: &Tensor, to: &Tensor, device: Device) -> Pairs {
        let row = |age: &Tensor| who * self.ages.size()[1] + age;
        let faces = |rows: &Tensor| {
            let faces = self.images.flatten(0, 1).index_select(0, rows);
            faces.to_device(device).to_kind(Kind::Float) / 255.0
        };
        let (from, to) = (row(from), row(to));
        let age = self.ages.flatten(0, 1).index_select(0, &to).to_device(device);
        let (from, to) = (faces(&from), faces(&to));
        Pairs { to: in_light_of(&to, &from), from, age }
    }

    fn people(&self) -> i64 {
        self.ages.size()[0]
    }

    fn held_out(&self) -> i64 {
        self.people() / HELD_OUT
    }
}

/// `faces` with the mean colour that the skin of `others` has. In the data children are photographed in brighter
/// light and are paler than the old; the sampler has learned that too, but nobody grows darker by growing older.
fn in_light_of(faces: &Tensor, others: &Tensor) -> Tensor {
    let [row, column, side] = SKIN;
    let colour = |x: &Tensor| {
        x.narrow(2, row, side).narrow(3, column, side).mean_dim([2i64, 3].as_slice(), true, Kind::Float)
    };
    (faces + colour(others) - colour(faces)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skin_keeps_its_colour_and_what_is_on_it_does_not() {
        let float = (Kind::Float, Device::Cpu);
        let young = Tensor::full([2, 3, 64, 64], 0.6, float);
        let old = Tensor::full([2, 3, 64, 64], 0.3, float);
        // A wrinkle over half the square.
        let _ = old.narrow(2, 30, 1).narrow(3, 16, 16).fill_(0.1);
        let lit = in_light_of(&old, &young);
        let at = |x: &Tensor, row: i64| x.double_value(&[1, 2, row, 20]);
        assert!((at(&lit, 40) - 0.6).abs() < 0.01, "{}", at(&lit, 40));
        assert!((at(&lit, 40) - at(&lit, 30) - 0.2).abs() < 1e-6);
    }

    /// 40 people at 3 ages: a face's grey is its person's number, and twice that person's age there lies in the
    /// first pixel.
    fn people() -> Lessons {
        let cpu = Device::Cpu;
        let (who, at) = (Tensor::arange(40, (Kind::Float, cpu)), Tensor::arange(3, (Kind::Float, cpu)));
        let ages = at.unsqueeze(0) * 20.0 + who.unsqueeze(1) + 1.0;
        let images = who.reshape([40, 1, 1, 1, 1]).repeat([1, 3, 3, 64, 64]).to_kind(Kind::Uint8);
        for side in [0, 63] {
            images.select(4, side).select(3, 0).select(2, 0).copy_(&(&ages * 2.0));
        }
        Lessons { images, ages }
    }

    fn whole(x: &Tensor) -> Vec<i64> {
        Vec::try_from(&x.round().to_kind(Kind::Int64)).unwrap()
    }

    /// Numbers of the people, and ages by their first pixels.
    fn seen(faces: &Tensor) -> (Vec<i64>, Vec<i64>) {
        let faces = faces * 255.0;
        let at = |row: i64, column: i64| faces.select(1, 0).select(1, row).select(1, column);
        (whole(&at(2, 1)), whole(&(at(0, 0) / 2.0)))
    }

    #[test]
    fn a_pair_is_one_person_at_the_age_that_is_said_and_the_held_out_are_in_none() {
        tch::manual_seed(2);
        let lessons = people();
        let pairs = lessons.pairs(500, Device::Cpu);
        let ((from, before), (to, after)) = (seen(&pairs.from), seen(&pairs.to));
        assert_eq!(from, to);
        assert_eq!(after, whole(&pairs.age));
        assert!(before.iter().zip(&after).all(|(before, after)| before != after));
        let drawn: std::collections::BTreeSet<i64> = from.into_iter().collect();
        assert_eq!(drawn, (0..38).collect());
    }

    #[test]
    fn the_held_out_are_validated_on_at_each_of_their_ages() {
        let pairs = people().validation(Device::Cpu);
        let ((from, _), (to, after)) = (seen(&pairs.from), seen(&pairs.to));
        assert_eq!((from, &after), (to.clone(), &whole(&pairs.age)));
        assert_eq!(to, [38, 38, 38, 39, 39, 39]);
        assert_eq!(after, [59, 79, 39, 60, 80, 40]);
    }

    #[test]
    fn the_shipped_sampler_shows_one_person_at_several_ages_and_the_same_people_again() {
        let sampler = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/utkface-gan/3");
        let config = LessonsConfig { sampler, people: 20, ages: 2 };
        let teacher = Teacher::open(&config.sampler).unwrap();
        let [one, again, other] = [1, 1, 2].map(|seed| teacher.teach(&config, seed).unwrap());
        assert!(one.images == again.images && one.ages == again.ages);
        assert!(one.images != other.images);
        for (column, years) in [(0, 1.0..45.5), (1, 45.5..90.0)] {
            let ages = Vec::<f32>::try_from(&one.ages.select(1, column)).unwrap();
            assert!(ages.iter().all(|age| years.contains(age)), "{ages:?}");
        }
        let [young, old] = [0, 1].map(|age| one.images.select(1, age).to_kind(Kind::Float));
        let apart = |other: &Tensor| (&young - other).abs().mean(Kind::Float).double_value(&[]);
        let (same, another) = (apart(&old), apart(&old.roll([1i64], [0i64])));
        assert!(0.0 < same && same < 0.6 * another, "{same} from oneself, {another} from the next");
    }
}
