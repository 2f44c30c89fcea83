//! `atelier codec cluster`.

use std::path::PathBuf;

use atelier_proto::codec::v1::EncodeRequest;
use atelier_proto::models::v1::ListModelsRequest;
use atelier_proto::models::v1::model_service_client::ModelServiceClient;
use atelier_transforms::clusters::{Place, k_means, spectral};
use image::{DynamicImage, Rgb, RgbImage, imageops};
use serde_json::json;

use super::images::{ImagesArgs, image, stopped};
use super::{Connection, ServerArgs, service};
use crate::cli::failure::Failure;
use crate::client::model_arg::ModelArgs;
use crate::files::destination::Destination;
use crate::files::input;
use crate::files::stdout::Remarks;
use crate::picture::{GridArgs, decode, draw, encode, flatten};

/// The kind of model by whose codes images sort best.
const KIND: &str = "autoencoder";
/// The longest side of a picture in the grid, before scaling.
const THUMBNAIL: u32 = 96;

/// Sort images into clusters that look alike to a model, drawn as a grid with a row for each.
///
/// The images are encoded by the server, and the clusters of their codes are found here. The largest stands first, and
/// in each those images that are nearest to its centre. Without --model the first autoencoder encodes them, and the
/// server's default where there is none.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Cluster {
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// How many clusters [default: half as many as there are images, at least 2 and at most 10]
    #[arg(long, short = 'k', value_name = "K", value_parser = clap::value_parser!(u32).range(2..=256))]
    clusters: Option<u32>,
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
        self.clusters(images.images.len())?;
        let destination = Destination::of(&self.output, 1)?;
        if self.json && destination == Destination::Stdout {
            return Err(Failure::usage("--json needs stdout for itself: name a file with --output"));
        }
        destination.prepare(&[GRID_NAME.to_owned()], &images.images)?;
        let connection = Connection::open(server).await?;
        let calls = images.names();
        let (named, version) = self.model.split();
        let model = if named.is_empty() { suited(&connection).await } else { named };
        let work = async |index| {
            let bytes = images.read(index)?;
            let request = EncodeRequest {
                model: model.clone(),
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
        if stopped(&ended) {
            return ended;
        }
        let count = self.clusters(coded.len()).map_err(|few| match &ended {
            // Not the command line left too few: as many were named as are needed.
            Err(refused) => Failure::new(refused.exit(), few.to_string()),
            Ok(()) => few,
        })?;
        let codes: Vec<Vec<f32>> = coded.iter().map(|image| image.code.clone()).collect();
        let places = match self.method {
            Method::Spectral => spectral(&codes, count, self.seed),
            Method::KMeans => k_means(&codes, count, self.seed),
        };
        if self.json {
            let mut remarks = Remarks::new(true);
            for (image, place) in coded.iter().zip(&places) {
                let line =
                    json!({ "image": image.name, "cluster": place.cluster, "distance": place.distance });
                remarks.line(&line.to_string())?;
            }
        }
        destination.write(GRID_NAME, &encode(&self.grid(&coded, &places, count)?)?)?;
        ended
    }

    /// How many clusters so many images make.
    fn clusters(&self, images: usize) -> Result<usize, Failure> {
        let count = self.clusters.map_or(images.div_ceil(2).clamp(2, 10), |count| count as usize);
        match images < count {
            true => Err(Failure::usage(format!(
                "--clusters: {count} clusters need as many images, and there are {images}"
            ))),
            false => Ok(count),
        }
    }

    fn grid(&self, coded: &[Coded], places: &[Place], clusters: usize) -> Result<DynamicImage, Failure> {
        let mut rows = Vec::new();
        for cluster in 0..clusters {
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

/// The first model of the kind; empty, for the server's default, where there is none. A caller who may not ask what
/// there is has the default, and is told so.
async fn suited(connection: &Connection) -> String {
    let request = ListModelsRequest { kind: KIND.to_owned(), ..ListModelsRequest::default() };
    let call = async |c, r| ModelServiceClient::new(c).list_models(r).await;
    let models = match connection.unary(request, call).await {
        Ok(answer) => answer.models,
        Err(failure) => {
            eprintln!("the server does not say what models there are, so its default encodes: {failure}");
            Vec::new()
        }
    };
    models.into_iter().next().map(|model| model.name).unwrap_or_default()
}

/// The name of the grid in a directory.
const GRID_NAME: &str = "clusters.png";

fn thumbnail(name: &str, bytes: &[u8]) -> Result<RgbImage, Failure> {
    let picture = flatten(&decode(name, bytes)?);
    let large = picture.width().max(picture.height()) > THUMBNAIL;
    let picture = if large { picture.thumbnail(THUMBNAIL, THUMBNAIL) } else { picture };
    Ok(picture.into_rgb8())
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::failure::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cluster: Cluster,
    }

    fn clusters(line: &[&str], images: usize) -> Result<usize, Failure> {
        Line::try_parse_from([&["cluster", "a.png"][..], line].concat()).unwrap().cluster.clusters(images)
    }

    #[test]
    fn what_is_clear_is_black_in_a_thumbnail_too() {
        let clear = image::RgbaImage::from_pixel(2, 2, [200, 100, 50, 0].into());
        let thumbnail = thumbnail("a.png", &encode(&clear.into()).unwrap()).unwrap();
        assert_eq!(thumbnail, RgbImage::new(2, 2));
    }

    #[test]
    fn there_are_as_many_clusters_as_are_asked_for_or_else_as_suit_the_images() {
        for (images, count) in [(2, 2), (3, 2), (9, 5), (19, 10), (20, 10), (1000, 10)] {
            assert_eq!(clusters(&[], images), Ok(count), "{images} images");
        }
        assert_eq!(clusters(&["-k", "7"], 7), Ok(7));
        for (line, images, words) in [(&["-k", "7"][..], 6, "7 clusters"), (&[], 1, "2 clusters")] {
            let refused = clusters(line, images).unwrap_err();
            assert!(refused.to_string().contains(words) && refused.exit() == Exit::Usage, "{refused}");
        }
    }
}
