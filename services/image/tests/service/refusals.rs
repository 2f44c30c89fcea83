use std::time::Duration;

use atelier_chassis::Deadline;
use atelier_proto::codec::v1::Fit;
use atelier_proto::image::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::*;

/// INVALID_ARGUMENT that names `field` and says `right`.
fn invalid(status: &Status, field: &str, right: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
    assert_eq!(violation.field, field, "{status:?}");
    assert!(violation.description.contains(right), "{:?} does not say {right:?}", violation.description);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_out_of_range_are_refused_before_anything_is_streamed() {
    let images = images();
    let open = GenerateRequest::default;
    let mut cases = Vec::new();
    for count in [0, 65, u32::MAX] {
        cases.push((GenerateRequest { count: Some(count), ..open() }, "count", "1 to 64 is right"));
    }
    cases.push((GenerateRequest { first: u32::MAX, ..open() }, "first", "0 to 4294967231 is right"));
    for truncation in [0.0, -1.0, 4.5, f32::NAN] {
        let request = GenerateRequest { truncation: Some(truncation), ..open() };
        cases.push((request, "truncation", "0.1 to 4 is right"));
    }
    cases.push((GenerateRequest { layout: 3, ..open() }, "layout", "is 3, but 0 to 2"));
    for age in [-0.5, 100.5, f32::NAN, f32::INFINITY] {
        let request = GenerateRequest { model: "face-gan".into(), age: Some(age), ..open() };
        cases.push((request, "age", "0 to 100 years is right"));
    }
    let request = GenerateRequest { model: "face-gan".into(), class: "bag".into(), ..open() };
    cases.push((request, "class", "this model knows no classes"));
    cases.push((GenerateRequest { age: Some(30.0), ..open() }, "age", "this model knows no ages"));
    for (request, field, right) in cases {
        // The call itself fails: no stream that begins and breaks off.
        let Err(status) = images.generate(Request::new(request)).await.map(|_| ()) else {
            panic!("{field} was not refused")
        };
        invalid(&status, field, right);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_names_the_end_that_is_wrong() {
    let images = images();
    let open = InterpolateRequest::default;
    let of_class = |class: &str| Some(LatentPoint { class: class.into(), ..LatentPoint::default() });
    let of_age = |age| Some(LatentPoint { age: Some(age), ..LatentPoint::default() });
    for frames in [0, 1, 241] {
        let request = InterpolateRequest { frames: Some(frames), ..open() };
        invalid(&interpolate(&images, request).await.unwrap_err(), "frames", "2 to 240 is right");
    }
    let faces = || InterpolateRequest { model: "face-gan".into(), ..open() };
    for (request, field, right) in [
        (InterpolateRequest { start: of_class("bag"), ..faces() }, "start.class", "knows no classes"),
        (InterpolateRequest { end: of_age(101.0), ..faces() }, "end.age", "0 to 100 years is right"),
        (InterpolateRequest { truncation: Some(9.0), ..faces() }, "truncation", "0.1 to 4 is right"),
    ] {
        invalid(&interpolate(&images, request).await.unwrap_err(), field, right);
    }
    let request = InterpolateRequest { end: of_class("hat"), ..open() };
    let status = interpolate(&images, request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_there_is_not_is_not_found_and_comes_with_those_that_there_are() {
    let images = images();
    for class in ["hat", "3", "-1", "boot", " bag"] {
        let request = GenerateRequest { class: class.into(), ..GenerateRequest::default() };
        let status = generate(&images, request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{class}");
        let known = "there is: bag (0), Ankle boot (1), coat (2)";
        assert_eq!(status.message(), format!("no class {class:?}; {known}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ages_and_bad_images_are_refused() {
    let images = images();
    let age = async |request: AgeRequest| images.age(Request::new(request)).await.unwrap_err();
    let request =
        |ages: &[f32]| AgeRequest { image: png(face()), ages: ages.to_vec(), ..AgeRequest::default() };
    invalid(&age(request(&[])).await, "ages", "1 to 16 ages in years are right");
    invalid(&age(request(&[30.0; 17])).await, "ages", "has 17 ages, but 1 to 16 are right");
    for wrong in [-1.0, 101.0, f32::NAN] {
        let right = format!("value 1 (counted from 0) is {wrong}, but 0 to 100 years is right");
        invalid(&age(request(&[30.0, wrong])).await, "ages", &right);
    }
    invalid(
        &age(AgeRequest { image: None, ..request(&[1.0]) }).await,
        "image",
        "a PNG or JPEG image is right",
    );
    let whole = png(face()).unwrap().data;
    for (data, format, field, right) in [
        (Vec::new(), 0, "image.data", "is empty"),
        (b"GIF89a".to_vec(), 0, "image.data", "neither PNG nor JPEG"),
        (whole[..whole.len() / 2].to_vec(), 0, "image.data", "no whole PNG"),
        (whole.to_vec(), 2, "image.format", "says JPEG, but `data` is PNG"),
        (whole.to_vec(), 9, "image.format", "is 9, but 0 to 2"),
    ] {
        let image = Some(Image { data: data.into(), format });
        invalid(&age(AgeRequest { image, ..request(&[1.0]) }).await, field, right);
    }
    invalid(&age(AgeRequest { fit: 7, ..request(&[1.0]) }).await, "fit", "is 7, but 0 to 4");
    let small = png(RgbImage::new(3, 3));
    let exact = AgeRequest { image: small, fit: Fit::Exact.into(), ..request(&[1.0]) };
    invalid(&age(exact).await, "image.data", "6x6 colour is right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_kind_or_none_is_refused_with_those_that_would_do() {
    let images = images();
    let request = GenerateRequest { model: "tiny-ager".into(), ..GenerateRequest::default() };
    let status = generate(&images, request).await.unwrap_err();
    invalid(&status, "model", "needs a model of kind gan; there is: class-gan, face-gan, plain-gan");
    let request = AgeRequest { model: "plain-gan".into(), ..AgeRequest::default() };
    let status = images.age(Request::new(request)).await.unwrap_err();
    invalid(&status, "model", "needs a model of kind ager; there is: tiny-ager");
    let request = InterpolateRequest { model: "nobody".into(), ..InterpolateRequest::default() };
    assert_eq!(interpolate(&images, request).await.unwrap_err().code(), Code::NotFound);
    let request = GenerateRequest { version: 2, ..GenerateRequest::default() };
    let status = generate(&images, request).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "no version \"class-gan/2\"; there is: 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_and_an_engine_that_drains_have_their_codes() {
    let engine = engine();
    let images = Images::new(engine.clone());
    let mut request = Request::new(GenerateRequest::default());
    request.extensions_mut().insert(Deadline::after(Duration::ZERO).unwrap());
    let late: Result<Vec<_>, Status> =
        images.generate(request).await.unwrap().into_inner().try_collect().await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    engine.shutdown(Duration::from_secs(5)).await;
    let status = generate(&images, GenerateRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
