use std::time::Duration;

use atelier_chassis::Deadline;
use atelier_proto::codec::v1::codec_service_server::CodecService;
use atelier_proto::codec::v1::waypoint::Point;
use atelier_proto::codec::v1::*;
use tonic::{Code as Grpc, Request, Response, Status};
use tonic_types::StatusExt;

use crate::*;

pub(crate) fn refused<T>(answer: Result<Response<T>, Status>) -> Status {
    match answer {
        Err(status) => status,
        Ok(_) => panic!("it was not refused"),
    }
}

/// INVALID_ARGUMENT that names `field` and says `right`.
pub(crate) fn invalid<T>(answer: Result<Response<T>, Status>, field: &str, right: &str) {
    let status = refused(answer);
    assert_eq!(status.code(), Grpc::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
    assert_eq!(violation.field, field, "{status:?}");
    assert!(violation.description.contains(right), "{:?} does not say {right:?}", violation.description);
}

fn bytes(data: &'static [u8], format: i32) -> Option<Image> {
    Some(Image { data: data.into(), format })
}

fn code(values: &[f32]) -> Code {
    Code { values: values.to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_is_refused_by_every_method_that_takes_one() {
    let codec = codec();
    let whole = png(grey()).unwrap().data;
    let cut = Some(Image { data: whole.slice(..whole.len() / 2), format: 0 });
    let other = Some(Image { data: whole.clone(), format: ImageFormat::Jpeg.into() });
    let cases = [
        (None, "image", "a PNG or JPEG image is right"),
        (bytes(b"", 0), "image.data", "is empty"),
        (bytes(b"GIF89a", 0), "image.data", "neither PNG nor JPEG"),
        (cut, "image.data", "no whole PNG"),
        (other, "image.format", "says JPEG, but `data` is PNG"),
        (bytes(b"x", 9), "image.format", "is 9, but 0 to 2"),
    ];
    for (image, field, right) in cases {
        let request = EncodeRequest { image: image.clone(), ..Default::default() };
        invalid(codec.encode(Request::new(request)).await, field, right);
        let request = ReconstructRequest { image: image.clone(), ..Default::default() };
        invalid(codec.reconstruct(Request::new(request)).await, field, right);
        for sigma in [None, Some(0.1)] {
            let request = DenoiseRequest { image: image.clone(), sigma, ..Default::default() };
            invalid(codec.denoise(Request::new(request)).await, field, right);
        }
        let request = ClassifyRequest { image: image.clone(), ..Default::default() };
        invalid(codec.classify(Request::new(request)).await, field, right);
        let request = InpaintRequest { image: image.clone(), mask: png(grey()), ..Default::default() };
        invalid(codec.inpaint(Request::new(request)).await, field, right);
        let request = InpaintRequest { image: png(grey()), mask: image.clone(), ..Default::default() };
        invalid(codec.inpaint(Request::new(request)).await, &field.replacen("image", "mask", 1), right);
        if let Some(image) = image {
            let start = Some(Waypoint { point: Some(Point::Image(image)) });
            let end = Some(Waypoint { point: Some(Point::Code(code(&[0.0; 3]))) });
            let request = InterpolateRequest { start, end, ..Default::default() };
            invalid(codec.interpolate(Request::new(request)).await, &format!("start.{field}"), right);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_exact_or_a_fit_that_is_none_is_refused() {
    let codec = codec();
    let large = png(GrayImage::new(9, 9));
    let request = DenoiseRequest { image: large, fit: Fit::Exact.into(), ..Default::default() };
    invalid(codec.denoise(Request::new(request)).await, "image.data", "5x6 grey is right");
    let request = DenoiseRequest { image: png(grey()), fit: 5, ..Default::default() };
    invalid(codec.denoise(Request::new(request)).await, "fit", "is 5, but 0 to 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_code_is_refused() {
    let codec = codec();
    let cases = [
        (None, "code", "a code of 3 values is right"),
        (Some(code(&[])), "code.values", "has 0 values, but the model's codes have 3"),
        (Some(code(&[1.0; 4])), "code.values", "has 4 values"),
        (Some(code(&[0.0, f32::NAN, 0.0])), "code.values", "value 1 (counted from 0) is NaN"),
        (Some(code(&[0.0, 0.0, f32::INFINITY])), "code.values", "value 2 (counted from 0) is inf"),
    ];
    for (wrong, field, right) in cases {
        let request = DecodeRequest { code: wrong.clone(), ..Default::default() };
        invalid(codec.decode(Request::new(request)).await, field, right);
        if let Some(wrong) = wrong {
            let end = Some(Waypoint { point: Some(Point::Code(wrong)) });
            let start = Some(Waypoint { point: Some(Point::Code(code(&[0.0; 3]))) });
            let request = InterpolateRequest { start, end, ..Default::default() };
            invalid(codec.interpolate(Request::new(request)).await, &format!("end.{field}"), right);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_out_of_range_are_refused() {
    let codec = codec();
    for sigma in [-0.01, 0.56, f32::NAN, f32::INFINITY] {
        let request = DenoiseRequest { image: png(grey()), sigma: Some(sigma), ..Default::default() };
        invalid(codec.denoise(Request::new(request)).await, "sigma", "0 to 0.55 is right");
    }
    for count in [0, 65, u32::MAX] {
        let request = SampleRequest { count: Some(count), ..Default::default() };
        invalid(codec.sample(Request::new(request)).await, "count", "1 to 64 is right");
    }
    for temperature in [-1.0, 2.1, f32::NAN] {
        let request = SampleRequest { temperature: Some(temperature), ..Default::default() };
        invalid(codec.sample(Request::new(request)).await, "temperature", "0 to 2 is right");
    }
    let end = || Some(Waypoint { point: Some(Point::Code(code(&[0.0; 3]))) });
    for steps in [0, 1, 257] {
        let request =
            InterpolateRequest { start: end(), end: end(), steps: Some(steps), ..Default::default() };
        invalid(codec.interpolate(Request::new(request)).await, "steps", "2 to 256 is right");
    }
    let request =
        InterpolateRequest { start: end(), end: Some(Waypoint { point: None }), ..Default::default() };
    invalid(codec.interpolate(Request::new(request)).await, "end", "a code or an image is right");
    let request = InterpolateRequest { start: None, end: end(), ..Default::default() };
    invalid(codec.interpolate(Request::new(request)).await, "start", "a code or an image is right");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_guesses_than_classes_and_none_at_all_are_refused() {
    let codec = codec();
    for top in [0, 4, u32::MAX] {
        let request = ClassifyRequest { image: png(grey()), top: Some(top), ..Default::default() };
        invalid(codec.classify(Request::new(request)).await, "top", "1 to 3 is right");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_of_another_size_or_with_nothing_white_is_refused() {
    let codec = codec();
    for (mask, right) in [
        (GrayImage::from_pixel(5, 7, Luma([255])), "is 5x7 pixels, but 5x6 is right, the size of the image"),
        (GrayImage::from_pixel(WIDTH, HEIGHT, Luma([127])), "nothing white in it"),
    ] {
        let request = InpaintRequest { image: png(grey()), mask: png(mask), ..Default::default() };
        invalid(codec.inpaint(Request::new(request)).await, "mask.data", right);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_kind_cannot_do_this_is_refused_with_those_that_can() {
    let codec = codec();
    let model = || "tiny-dae".to_owned();
    let right = "needs a model of kind variational-autoencoder or autoencoder; there is: colour-ae, tiny-classifier, tiny-vae";
    let request = EncodeRequest { model: model(), image: png(grey()), ..Default::default() };
    invalid(codec.encode(Request::new(request)).await, "model", right);
    let request = DecodeRequest { model: model(), code: Some(code(&[0.0])), ..Default::default() };
    invalid(codec.decode(Request::new(request)).await, "model", right);
    let request = ReconstructRequest { model: model(), image: png(grey()), ..Default::default() };
    invalid(codec.reconstruct(Request::new(request)).await, "model", right);
    let request = InterpolateRequest { model: model(), ..Default::default() };
    invalid(codec.interpolate(Request::new(request)).await, "model", right);
    let request = SampleRequest { model: "colour-ae".into(), ..Default::default() };
    invalid(
        codec.sample(Request::new(request)).await,
        "model",
        "of kind variational-autoencoder; there is: tiny-vae",
    );
    let request = ClassifyRequest { model: "colour-ae".into(), image: png(colour()), ..Default::default() };
    invalid(
        codec.classify(Request::new(request)).await,
        "model",
        "is colour-ae, but this method needs a model with a classifier; there is: tiny-classifier",
    );
    let request = InpaintRequest { model: model(), ..Default::default() };
    invalid(
        codec.inpaint(Request::new(request)).await,
        "model",
        "of kind inpainter; there is: tiny-inpainter",
    );
    let request = DenoiseRequest { model: "tiny-vae".into(), image: png(grey()), ..Default::default() };
    invalid(codec.denoise(Request::new(request)).await, "model", "denoising-autoencoder; there is: tiny-dae");
    let request =
        EncodeRequest { model: "colour-ae".into(), image: png(colour()), sample: true, ..Default::default() };
    invalid(
        codec.encode(Request::new(request)).await,
        "sample",
        "needs a model of kind variational-autoencoder",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_or_version_is_not_found_and_comes_with_what_exists() {
    let codec = codec();
    let request = SampleRequest { model: "tiny-vea".into(), ..Default::default() };
    let status = refused(codec.sample(Request::new(request)).await);
    assert_eq!(
        (status.code(), status.message()),
        (Grpc::NotFound, "no model \"tiny-vea\"; there is: tiny-vae")
    );
    let request = DenoiseRequest { version: 2, image: png(grey()), ..Default::default() };
    let status = refused(codec.denoise(Request::new(request)).await);
    assert_eq!((status.code(), status.message()), (Grpc::NotFound, "no version \"tiny-dae/2\"; there is: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_and_an_engine_that_drains_have_their_codes() {
    let engine = engine();
    let codec = Codec::new(engine.clone());
    let mut request = Request::new(SampleRequest::default());
    request.extensions_mut().insert(Deadline::after(Duration::ZERO).unwrap());
    assert_eq!(refused(codec.sample(request).await).code(), Grpc::DeadlineExceeded);
    assert!(codec.sample(Request::new(SampleRequest::default())).await.is_ok());
    engine.shutdown(Duration::from_secs(5)).await;
    let status = refused(codec.sample(Request::new(SampleRequest::default())).await);
    assert_eq!(status.code(), Grpc::Unavailable);
}
