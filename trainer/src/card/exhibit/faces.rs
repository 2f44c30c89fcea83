//! Faces to show: none of a person who lives, for photographs of people stay out of packages.

use std::path::Path;

use anyhow::Context;
use atelier_package::{Dim, Package, Repository};
use tch::{Device, Kind, Tensor};

use super::{COLUMNS, Exhibit, picture, run};
use crate::evaluate::session;
use crate::onnx_runtime::OnnxRuntime;
use crate::picture::Grid;
use crate::random;

/// Ages that are shown, in years.
const AGES: [f64; 6] = [5.0, 18.0, 30.0, 45.0, 60.0, 75.0];
/// The package that makes faces for an ager, in its newest version.
const SAMPLER: &str = "utkface-gan";

/// Faces of an age each `[12, 3, 64, 64]`, from the same random numbers whatever the age.
fn made(package: &Package, runtime: &OnnxRuntime, ages: &Tensor) -> anyhow::Result<Tensor> {
    let graph = package.manifest().graph("generator").context("there is no graph generator")?;
    let z = graph.input("z").context("the generator takes no z")?;
    let Some(Dim::Fixed(latent)) = z.shape.get(1) else { anyhow::bail!("z has no width") };
    let mut rng = random::generator(&[random::VALIDATION]);
    let z: Vec<f32> = random::normals(&mut rng, COLUMNS as usize * latent).map(|x| x as f32).collect();
    let z = Tensor::from_slice(&z).reshape([COLUMNS, -1]);
    run(&mut session(package, runtime, "generator")?, &[&z, ages])
}

fn all_of(age: f64) -> Tensor {
    Tensor::full([COLUMNS], age, (Kind::Float, Device::Cpu))
}

/// A sampler's faces, the same random numbers at every age.
pub(super) fn sampled(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let mut grid = Grid::new(COLUMNS as usize);
    for age in AGES {
        grid.row(&made(package, runtime, &all_of(age))?);
    }
    picture(&grid, "Faces made for 5, 18, 30, 45, 60 and 75 years, a column from the same random numbers")
}

/// Faces that the sampler beside the ager makes, and what the ager makes of them; nothing where there is none.
pub(super) fn aged(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Option<Exhibit>> {
    let models = package.directory().ancestors().nth(2).unwrap_or(Path::new(""));
    let Ok(repository) = Repository::scan(models) else { return Ok(None) };
    let Some(sampler) = repository.latest().find(|p| p.name().to_string() == SAMPLER) else {
        return Ok(None);
    };
    let ages = Tensor::linspace(15.0, 65.0, COLUMNS, (Kind::Float, Device::Cpu));
    let faces = made(sampler, runtime, &ages)?;
    let mut ager = session(package, runtime, "ager")?;
    let mut grid = Grid::new(COLUMNS as usize);
    grid.row(&faces);
    for age in AGES {
        grid.row(&run(&mut ager, &[&faces, &all_of(age)])?);
    }
    let caption = "Faces of nobody, made by utkface-gan, and the same at 5, 18, 30, 45, 60 and 75 years";
    Ok(Some(picture(&grid, caption)?))
}
