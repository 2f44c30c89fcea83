//! Images, messages and bytes that mean harm. After each the fleet still serves.

mod files;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use atelier_proto::codec::v1::waypoint::Point;
use atelier_proto::codec::v1::{
    DenoiseRequest, EncodeRequest, Fit, Image, InterpolateRequest, ReconstructRequest, SampleRequest,
    Waypoint,
};
use atelier_proto::text::v1::GenerateRequest;
use atelier_tests::client::{blamed, transport};
use atelier_tests::pictures::{clothes, encode, message, png};
use atelier_tests::{Fleet, Start, shipped};
use image::DynamicImage;
use tonic::{Code, Request};

/// A request of each kind that the fleet must go on answering.
async fn still_serves(fleet: &Fleet) {
    let request = DenoiseRequest { image: message(&clothes()[0]), ..Default::default() };
    fleet.codec().denoise(request).await.unwrap();
    let request = GenerateRequest { max_chars: Some(5), ..Default::default() };
    assert_eq!(fleet.write(request).await.unwrap().finished.chars, 5);
}

/// The most memory that a process has had, in bytes.
fn peak_memory(fleet: &Fleet) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", fleet.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What every method that takes an image blames.
async fn all_blame(fleet: &Fleet, image: &Option<Image>, fit: i32) -> Vec<String> {
    let mut codec = fleet.codec();
    let image = image.clone();
    let request = DenoiseRequest { image: image.clone(), fit, ..Default::default() };
    let mut fields = vec![blamed(&codec.denoise(request).await.unwrap_err())];
    let request = EncodeRequest { image: image.clone(), fit, ..Default::default() };
    fields.push(blamed(&codec.encode(request).await.unwrap_err()));
    let request = ReconstructRequest { image: image.clone(), fit, ..Default::default() };
    fields.push(blamed(&codec.reconstruct(request).await.unwrap_err()));
    let good = Some(Waypoint { point: message(&clothes()[0]).map(Point::Image) });
    let request = InterpolateRequest {
        start: good,
        end: image.map(|image| Waypoint { point: Some(Point::Image(image)) }),
        fit,
        ..Default::default()
    };
    let field = blamed(&codec.interpolate(request).await.unwrap_err());
    fields.push(field.strip_prefix("end.").map_or(field.clone(), str::to_owned));
    fields
}

#[tokio::test]
async fn an_image_that_is_none_is_refused_at_every_door_and_the_service_goes_on() {
    let fleet = Fleet::shared();
    let grey = &clothes()[0];
    let whole = png(grey.clone());
    let data = |data: Vec<u8>| Some(Image { data: data.into(), format: 0 });
    let named = |data: Vec<u8>, format| Some(Image { data: data.into(), format });
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    let jpeg = encode(DynamicImage::from(grey.clone()).to_rgb8(), image::ImageFormat::Jpeg);
    for (name, image, field) in [
        ("no bytes", data(vec![]), "image.data"),
        ("text", data(b"hello".to_vec()), "image.data"),
        ("a GIF", data(b"GIF89a\x01\0\x01\0".to_vec()), "image.data"),
        ("SVG", data(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()), "image.data"),
        ("a PNG's first bytes", data(whole[..8].to_vec()), "image.data"),
        ("half a PNG", data(whole[..middle].to_vec()), "image.data"),
        ("a PNG without its last pixels", data(files::png(28, 28, 0, 8, &[0; 29 * 20])), "image.data"),
        ("a flipped bit", data(flipped), "image.data"),
        ("no pixels", data(files::png(0, 28, 0, 8, &[])), "image.data"),
        ("a depth that there is not", data(files::png(28, 28, 2, 1, &[0; 29 * 28])), "image.data"),
        ("half a JPEG", data(jpeg[..jpeg.len() / 2].to_vec()), "image.data"),
        ("a PNG that says JPEG", named(whole.clone(), 2), "image.format"),
        ("a JPEG that says PNG", named(jpeg, 1), "image.format"),
        ("a format that there is not", named(whole.clone(), 77), "image.format"),
    ] {
        assert_eq!(all_blame(&fleet, &image, 0).await, [field; 4], "{name}");
    }
    assert_eq!(all_blame(&fleet, &None, 0).await[..3], ["image"; 3]);
    assert_eq!(all_blame(&fleet, &data(whole), 5).await, ["fit"; 4]);
    still_serves(&fleet).await;
}

#[tokio::test]
async fn an_image_of_another_size_or_colour_is_refused_where_it_must_be_exact() {
    let fleet = Fleet::shared();
    let grey = DynamicImage::from(clothes()[0].clone());
    for (image, is) in [
        (grey.to_rgb8().into(), "colour"),
        (grey.to_luma_alpha8().into(), "alpha"),
        (grey.crop_imm(0, 0, 27, 28), "27x28"),
        (grey.resize_exact(56, 56, image::imageops::FilterType::Nearest), "56x56"),
    ] {
        let image: DynamicImage = image;
        let image = Some(Image { data: png(image).into(), format: 0 });
        assert_eq!(all_blame(&fleet, &image, Fit::Exact.into()).await, ["image.data"; 4], "{is}");
        let request = DenoiseRequest { image, fit: Fit::Exact.into(), ..Default::default() };
        let status = fleet.codec().denoise(request).await.unwrap_err();
        assert!(status.message().contains(is), "{}", status.message());
    }
}

#[tokio::test]
async fn an_image_bomb_is_refused_and_costs_no_memory() {
    // Its own, since what others send costs memory too.
    let fleet = Start::up(&shipped()).start();
    still_serves(&fleet).await;
    let before = peak_memory(&fleet);
    for (name, data) in [
        ("a header that says 60000x60000", files::png(60_000, 60_000, 0, 8, &[0; 64])),
        ("a header with the greatest sides", files::png(i32::MAX as u32, i32::MAX as u32, 6, 16, &[0; 64])),
        ("a JPEG that says 65500x65500", files::jpeg_header(65_500, 65_500)),
        ("400 megapixels of nothing in a small file", files::zeros(20_000, 20_000)),
        ("a colour profile of a gigabyte", files::png_with_chunk(b"iCCP", &files::profile(1 << 30))),
        ("a text of a gigabyte", files::png_with_chunk(b"zTXt", &files::profile(1 << 30))),
        ("a chunk that says it is two gigabytes long", files::long_chunk()),
    ] {
        assert!(data.len() < 2 << 20, "{name}: {} bytes", data.len());
        let image = Some(Image { data: data.into(), format: 0 });
        let request = DenoiseRequest { image, ..Default::default() };
        match fleet.codec().denoise(request).await {
            Err(status) => assert_eq!(blamed(&status), "image.data", "{name}"),
            // Whoever does not read a chunk needs not refuse it.
            Ok(_) => assert!(name.contains("text") || name.contains("profile"), "{name} was taken"),
        }
    }
    still_serves(&fleet).await;
    let more = peak_memory(&fleet).saturating_sub(before);
    assert!(more < 300 << 20, "{} MiB more at the peak", more >> 20);
}

#[tokio::test]
async fn a_message_of_100_megabytes_is_refused_at_every_door() {
    let fleet = Fleet::shared();
    let image = Some(Image { data: vec![0; 100 << 20].into(), format: 0 });
    let request = DenoiseRequest { image, ..Default::default() };
    assert_eq!(blamed(&fleet.codec().denoise(request).await.unwrap_err()), "message");
    let request = GenerateRequest { prompt: "a".repeat(100 << 20), ..Default::default() };
    assert_eq!(blamed(&fleet.write(request).await.unwrap_err()), "message");
    still_serves(&fleet).await;
}

/// Bytes as they are, in the place of a message.
#[derive(Clone, Default)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, tonic::Status> {
        bytes::Buf::advance(from, bytes::Buf::remaining(from));
        Ok(Some(()))
    }
}

async fn raw(fleet: &Fleet, path: &'static str, message: &[u8], compress: bool) -> Result<(), tonic::Status> {
    let mut grpc = tonic::client::Grpc::with_origin(transport(), fleet.origin());
    if compress {
        grpc = grpc.send_compressed(tonic::codec::CompressionEncoding::Gzip);
    }
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(Request::new(message.to_vec()), path, Raw).await.map(|_| ())
}

const DENOISE: &str = "/atelier.codec.v1.CodecService/Denoise";

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_the_callers_fault() {
    let fleet = Fleet::shared();
    let score = "/atelier.text.v1.TextService/Score";
    let list = "/atelier.models.v1.ModelService/ListModels";
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\x1a\xff\xff\xff\x7f", b"\x0a\x03abc\x0a\x02\xff\xfe"] {
        for path in [DENOISE, score, list] {
            let status = raw(&fleet, path, garbage, false).await.unwrap_err();
            assert_eq!(blamed(&status), "message", "{path} {garbage:?}");
        }
    }
    still_serves(&fleet).await;
}

#[tokio::test]
async fn a_compressed_bomb_is_not_unpacked() {
    let fleet = Start::up(&shipped()).start();
    still_serves(&fleet).await;
    let before = peak_memory(&fleet);
    let status = raw(&fleet, DENOISE, &vec![0; 512 << 20], true).await.unwrap_err();
    assert!(matches!(status.code(), Code::Unimplemented | Code::InvalidArgument), "{status:?}");
    let more = peak_memory(&fleet).saturating_sub(before);
    assert!(more < 100 << 20, "{} MiB more at the peak", more >> 20);
    still_serves(&fleet).await;
}

#[tokio::test]
async fn a_method_that_there_is_not_is_unimplemented() {
    let fleet = Fleet::shared();
    for path in [
        "/atelier.codec.v1.CodecService/Paint",
        "/atelier.image.v9.ImageService/Generate",
        "/atelier.codec.v1.CodecService",
        "/../../etc/passwd",
        "/",
    ] {
        let status = raw(&fleet, path, b"", false).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
    still_serves(&fleet).await;
}

#[tokio::test]
async fn bytes_that_are_no_http_2_do_not_disturb_the_service() {
    let fleet = Fleet::shared();
    let mut noise = Vec::new();
    for byte in 0..=255_u8 {
        noise.extend([byte, byte.wrapping_mul(31), byte.rotate_left(3)]);
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut open = Vec::new();
    for bytes in [
        noise.as_slice(),
        b"GET / HTTP/1.1\r\nHost: fleet\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        &preface[..10],
        &[&preface[..], &noise].concat(),
        // Settings, and a frame that says it is 16 MiB long.
        &[&preface[..], b"\0\0\0\x04\0\0\0\0\0", b"\xff\xff\xff\0\0\0\0\0\x01"].concat(),
        b"",
    ] {
        let mut socket = TcpStream::connect(fleet.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.write_all(bytes).unwrap();
        // Whether it is closed or waits for more, it must not answer as if that were a request.
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(!answer.windows(11).any(|w| w == b"grpc-status"), "{answer:?}");
        open.push(socket);
        still_serves(&fleet).await;
    }
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let fleet = Fleet::shared();
    let mut request = Request::new(SampleRequest::default());
    request.metadata_mut().insert("x-long", "y".repeat(200_000).parse().unwrap());
    assert!(fleet.codec().sample(request).await.is_err());
    still_serves(&fleet).await;
}
