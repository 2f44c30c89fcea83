//! Something that a package made, to be shown on its card: made by the exported graphs on ONNX Runtime.

mod faces;
mod nuclei;
mod telemetry;

use std::path::Path;

use anyhow::Context;
use atelier_package::{Kind, Package, Tensor as Plain};
use atelier_transforms::speech::Said;
use tch::{Device, Tensor};

use crate::data::fashion::{CLASSES, Fashion};
use crate::data::holes::Hole;
use crate::evaluate::char_rnn::passages;
use crate::evaluate::gan::Sampler;
use crate::evaluate::inpaint::{holes, in_turn};
use crate::evaluate::wavenet::voice::{Manner, Voice};
use crate::evaluate::{face_sampler, plain, session, torch};
use crate::onnx_runtime::{GraphSession, OnnxRuntime};
use crate::picture::Grid;
use crate::random;
use crate::sound::spectrum;

/// What a card shows.
pub enum Exhibit {
    /// A picture in a file of its own beside the card.
    Picture {
        /// File name.
        file: &'static str,
        /// The file.
        png: Vec<u8>,
        /// What it shows.
        caption: String,
    },
    /// A text.
    Passage {
        /// The text.
        text: String,
        /// What it is.
        caption: String,
    },
}

/// Pictures in a row of a grid.
const COLUMNS: i64 = 12;

/// Lets a package make something that can be shown; nothing for kinds that make nothing to look at.
///
/// # Errors
/// Data that is missing, or graphs that fail.
pub fn make(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Option<Exhibit>> {
    Ok(match package.manifest().kind {
        Kind::Autoencoder => Some(restored(package, data, runtime)?),
        Kind::DenoisingAutoencoder => Some(denoised(package, data, runtime)?),
        Kind::Inpainter => Some(filled(package, data, runtime)?),
        Kind::VariationalAutoencoder => Some(sampled(package, data, runtime)?),
        Kind::Ager => faces::aged(package, runtime)?,
        Kind::Gan if face_sampler::fits(package) => Some(faces::sampled(package, runtime)?),
        Kind::Gan => Some(generated(package, runtime)?),
        Kind::Segmentation => Some(nuclei::outlined(package, data, runtime)?),
        Kind::Anomaly => Some(telemetry::marked(package, data, runtime)?),
        Kind::CharRnn => Some(written(package, runtime)?),
        Kind::Wavenet => Some(spoken(package, runtime)?),
        _ => None,
    })
}

fn run(graph: &mut GraphSession, inputs: &[&Tensor]) -> anyhow::Result<Tensor> {
    let inputs = inputs.iter().map(|x| plain(x)).collect::<anyhow::Result<Vec<Plain>>>()?;
    torch(graph.run(&inputs)?.first().context("a graph gave nothing")?)
}

fn clothes(data: &Path) -> anyhow::Result<Tensor> {
    Ok(Fashion::read(data, "t10k")?.range(0, COLUMNS, Device::Cpu))
}

fn picture(grid: &Grid, caption: &str) -> anyhow::Result<Exhibit> {
    Ok(Exhibit::Picture { file: "sample.png", png: grid.png()?, caption: caption.to_owned() })
}

fn restored(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let images = clothes(data)?;
    let code = run(&mut session(package, runtime, "encoder")?, &[&images])?;
    let mut grid = Grid::new(COLUMNS as usize);
    grid.row(&images);
    grid.row(&run(&mut session(package, runtime, "decoder")?, &[&code])?);
    picture(&grid, "Test images of Fashion-MNIST, and what is restored from their codes")
}

fn denoised(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let images = clothes(data)?;
    let mut rng = random::generator(&[random::VALIDATION]);
    let noise: Vec<f32> = random::normals(&mut rng, images.numel()).map(|x| (x * 0.3) as f32).collect();
    let noisy = (&images + Tensor::from_slice(&noise).reshape(images.size())).clamp(0.0, 1.0);
    let mut grid = Grid::new(COLUMNS as usize);
    grid.row(&images);
    grid.row(&noisy);
    grid.row(&run(&mut session(package, runtime, "blind")?, &[&noisy])?);
    picture(
        &grid,
        "Test images of Fashion-MNIST, the same with noise of standard deviation 0.3, and what is made of them",
    )
}

fn filled(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let images = clothes(data)?;
    let mut inpainter = session(package, runtime, "inpainter")?;
    let mut grid = Grid::new(COLUMNS as usize);
    grid.row(&images);
    for kind in Hole::ALL {
        let (filled, masks) = in_turn(&images, &holes(kind, images.size()[3] as usize), |image, hole| {
            run(&mut inpainter, &[&image.contiguous(), &hole.expand_as(image).contiguous()])
        })?;
        // The hole in grey: black would look like part of the picture.
        grid.row(&(&images * (&masks * -1.0 + 1.0) + &masks * 0.5));
        grid.row(&filled);
    }
    picture(
        &grid,
        "Test images of Fashion-MNIST; the same with holes of three kinds, each above how it is filled",
    )
}

fn sampled(package: &Package, data: &Path, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let images = clothes(data)?;
    let mean = run(&mut session(package, runtime, "encoder")?, &[&images])?;
    let mut decoder = session(package, runtime, "decoder")?;
    let mut grid = Grid::new(COLUMNS as usize);
    grid.row(&images);
    grid.row(&run(&mut decoder, &[&mean])?);
    let mut rng = random::generator(&[random::VALIDATION]);
    for _ in 0..3 {
        let z: Vec<f32> = random::normals(&mut rng, mean.numel()).map(|x| x as f32).collect();
        grid.row(&run(&mut decoder, &[&Tensor::from_slice(&z).reshape(mean.size())])?);
    }
    picture(
        &grid,
        "Test images of Fashion-MNIST, the same from the means of their codes, and images drawn anew",
    )
}

fn generated(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let pictures = Sampler::new(package, runtime)?.sample(random::VALIDATION, CLASSES * COLUMNS as usize)?;
    let mut grid = Grid::new(COLUMNS as usize);
    for class in 0..CLASSES as i64 {
        let own = pictures.classes.eq(class).nonzero().flatten(0, -1);
        grid.row(&pictures.images.index_select(0, &own));
    }
    picture(&grid, "Drawn anew, a class a row; none of them was chosen")
}

fn spoken(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let audio = package.manifest().audio.as_ref().context("no [audio]")?;
    let said: Vec<Said> =
        (0..audio.digits.len()).map(|digit| Said { digit, speaker: digit % audio.speakers.len() }).collect();
    let pause = vec![0.0; audio.sample_rate as usize / 10];
    let takes = Voice::open(package, runtime)?.speak(&said, Manner::USUAL)?;
    let samples: Vec<f32> = takes.takes.into_iter().flat_map(|(_, x)| [x, pause.clone()].concat()).collect();
    let digits: String = audio.digits.iter().collect();
    let caption = format!(
        "Spectrogram of {digits} as the model says them, each digit by the next of its {} voices; 0 to {} Hz, \
         {:.1} seconds",
        audio.speakers.len(),
        audio.sample_rate / 2,
        samples.len() as f64 / f64::from(audio.sample_rate)
    );
    Ok(Exhibit::Picture { file: "sample.png", png: spectrum::png(&samples, 40)?, caption })
}

fn written(package: &Package, runtime: &OnnxRuntime) -> anyhow::Result<Exhibit> {
    let text = passages::draw(package, runtime, 1, 600)?.concat();
    Ok(Exhibit::Passage { text, caption: format!("Drawn at temperature {}", passages::TEMPERATURE) })
}
