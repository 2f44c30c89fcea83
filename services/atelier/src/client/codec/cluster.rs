//! `atelier codec cluster`.

use std::path::PathBuf;

use atelier_proto::codec::v1::EncodeRequest;
use atelier_transforms::clusters::{Place, k_means, spectral};
use image::{DynamicImage, Rgb, RgbImage, imageops};
use serde_json::json;

use super::images::{ImagesArgs, image};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::{Exit, Failure};
use crate::client::model_arg::ModelArgs;
use crate::files::destination::Destination;
use crate::files::{input, stdout};
use crate::picture::{GridArgs, decode, draw, encode};

/// The longest side of a picture in the grid, before scaling.
const THUMBNAIL: u32 = 96;

/// Sort images into clusters that look alike to a model, drawn as a grid with a row for each.
///
/// The images are encoded by the server; the clusters of their codes are found here. The largest stands first, and in
/// each those images that are nearest to its centre.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Cluster {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// How many clusters
    #[arg(long, short = 'k', value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=256))]
    clusters: u32,
    /// How clusters are found
    #[arg(long, value_enum, default_value_t = Method::Spectral)]
    method: Method,
    /// The seed of the centres that are started from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A PNG file for the grid, or `-` for stdout
    #[arg(long, short, value_name = "PATH", default_value = "-")]
    output: PathBuf,
    /// The most images of a cluster that are drawn
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    columns: u32,
    /// How many times larger each pixel is drawn
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Print the cluster of each image on stdout, from 0, and how far from its centre it is, as JSON lines
    #[arg(long)]
    json: bool,
}

/// How clusters are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// By who is near whom: spectral clustering
    Spectral,
    /// By how far an image is from the middle of its cluster
    KMeans,
}

/// An image with its code.
struct Coded {
    name: String,
    bytes: Vec<u8>,
    code: Vec<f32>,
}

impl Cluster {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let images = &self.images;
        input::stdin_once(&images.images)?;
        self.enough(images.images.len())?;
        let destination = Destination::of(&self.output, 1)?;
        if self.json && destination == Destination::Stdout {
            return Err(Failure::usage("--json needs stdout for itself: name a file with --output"));
        }
        destination.prepare(&[GRID_NAME.to_owned()], &images.images)?;
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let work = async |index| {
            let bytes = images.read(index)?;
            let (model, version) = self.model.split();
            let request = EncodeRequest {
                model,
                version,
                image: Some(image(bytes.clone())),
                fit: images.fit.number(),
                ..EncodeRequest::default()
            };
            Ok((bytes, connection.unary(request, async |c, r| service(c).encode(r).await).await?))
        };
        let mut coded = Vec::new();
        let done = |index: usize, (bytes, answer): (Vec<u8>, atelier_proto::codec::v1::EncodeResponse)| {
            let name = calls.get(index).cloned().unwrap_or_default();
            let code = answer.mean.map(|code| code.values).unwrap_or_default();
            coded.push(Coded { name, bytes, code });
            Ok(())
        };
        let ended = images.jobs.each(&calls, "encoded", work, done).await;
        // What was refused does not stop the others.
        if ended.as_ref().is_err_and(|failure| failure.exit() != Exit::BadInput) {
            return ended;
        }
        self.enough(coded.len())?;
        let codes: Vec<Vec<f32>> = coded.iter().map(|image| image.code.clone()).collect();
        let places = match self.method {
            Method::Spectral => spectral(&codes, self.clusters as usize, self.seed),
            Method::KMeans => k_means(&codes, self.clusters as usize, self.seed),
        };
        if self.json {
            for (image, place) in coded.iter().zip(&places) {
                let line =
                    json!({ "image": image.name, "cluster": place.cluster, "distance": place.distance });
                stdout::line(&line.to_string())?;
            }
        }
        destination.write(GRID_NAME, &encode(&self.grid(&coded, &places)?)?)?;
        ended
    }

    fn enough(&self, images: usize) -> Result<(), Failure> {
        match images < self.clusters as usize {
            true => Err(Failure::usage(format!(
                "--clusters: {} clusters need as many images, and there are {images}",
                self.clusters
            ))),
            false => Ok(()),
        }
    }

    fn grid(&self, coded: &[Coded], places: &[Place]) -> Result<DynamicImage, Failure> {
        let mut rows = Vec::new();
        for cluster in 0..self.clusters as usize {
            let mut members: Vec<(&Coded, &Place)> =
                coded.iter().zip(places).filter(|(_, place)| place.cluster == cluster).collect();
            members.sort_by(|(_, a), (_, b)| a.distance.total_cmp(&b.distance));
            members.truncate(self.columns as usize);
            let pictures = members.iter().map(|(image, _)| thumbnail(&image.name, &image.bytes));
            rows.push(pictures.collect::<Result<Vec<_>, _>>()?);
        }
        let sides = || rows.iter().flatten();
        let cell = (
            sides().map(RgbImage::width).max().unwrap_or(1),
            sides().map(RgbImage::height).max().unwrap_or(1),
        );
        let columns = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut groups = Vec::new();
        for row in &rows {
            for column in 0..columns {
                groups.push(vec![framed(row.get(column), cell)]);
            }
        }
        let args = GridArgs { grid: true, columns: u32::try_from(columns).ok(), scale: Some(self.scale) };
        draw(&groups, &args)
    }
}

/// The name of the grid in a directory.
const GRID_NAME: &str = "clusters.png";

fn thumbnail(name: &str, bytes: &[u8]) -> Result<RgbImage, Failure> {
    let picture = decode(name, bytes)?;
    let large = picture.width().max(picture.height()) > THUMBNAIL;
    let picture = if large { picture.thumbnail(THUMBNAIL, THUMBNAIL) } else { picture };
    Ok(picture.to_rgb8())
}

/// The picture in the middle of a white cell.
fn framed(picture: Option<&RgbImage>, cell: (u32, u32)) -> DynamicImage {
    let mut frame = RgbImage::from_pixel(cell.0, cell.1, Rgb([255; 3]));
    if let Some(picture) = picture {
        let (left, top) = ((cell.0 - picture.width()) / 2, (cell.1 - picture.height()) / 2);
        imageops::replace(&mut frame, picture, i64::from(left), i64::from(top));
    }
    DynamicImage::ImageRgb8(frame)
}
