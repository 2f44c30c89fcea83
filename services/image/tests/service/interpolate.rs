use atelier_proto::image::v1::*;
use futures_util::StreamExt;

use crate::*;

fn point(seed: u64, index: u32) -> Option<LatentPoint> {
    Some(LatentPoint { seed, index, ..LatentPoint::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_streams_its_frames_in_order_between_two_images_of_generate() {
    let images = images();
    let request = InterpolateRequest {
        model: "class-gan".into(),
        start: point(7, 2),
        end: point(8, 30),
        frames: Some(40),
        ..InterpolateRequest::default()
    };
    let frames = interpolate(&images, request).await.unwrap();
    assert_eq!(frames.len(), 40);
    for (index, frame) in (0..).zip(&frames) {
        is(&frame.model, "class-gan");
        assert_eq!((frame.index, frame.frames, frame.start_seed, frame.end_seed), (index, 40, 7, 8));
    }
    for (frame, seed, first) in [(&frames[0], 7, 2), (&frames[39], 8, 30)] {
        let request =
            GenerateRequest { model: "class-gan".into(), seed, first, ..GenerateRequest::default() };
        let image = generate(&images, request).await.unwrap().remove(0);
        assert_eq!((&frame.image, &frame.condition), (&image.image, &Some(image.conditions[0].clone())));
    }
    let class = |frame: &InterpolateResponse| frame.condition.as_ref().unwrap().class_id;
    assert!(frames[..20].iter().all(|frame| class(frame) == class(&frames[0])));
    assert!(frames[20..].iter().all(|frame| class(frame) == class(&frames[39])));
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_class_no_frame_leaps() {
    let images = images();
    let end = |seed| Some(LatentPoint { seed, class: "coat".into(), ..LatentPoint::default() });
    let request = InterpolateRequest {
        model: "class-gan".into(),
        start: end(1),
        end: end(2),
        frames: Some(60),
        ..InterpolateRequest::default()
    };
    let frames: Vec<_> =
        interpolate(&images, request).await.unwrap().iter().map(|f| picture(&f.image).into_luma8()).collect();
    let most = |a: &image::GrayImage, b: &image::GrayImage| {
        a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max()
    };
    assert!(most(&frames[0], &frames[59]) > Some(20), "the ends differ");
    assert!(frames.windows(2).all(|pair| most(&pair[0], &pair[1]) <= Some(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_go_evenly_from_one_to_the_other() {
    let images = images();
    let end = |age| Some(LatentPoint { seed: 4, age: Some(age), ..LatentPoint::default() });
    let request = InterpolateRequest {
        model: "face-gan".into(),
        start: end(80.0),
        end: end(20.0),
        frames: Some(7),
        truncation: Some(1.0),
        ..InterpolateRequest::default()
    };
    let frames = interpolate(&images, request).await.unwrap();
    for (frame, age) in frames.iter().zip([80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0_f32]) {
        let told = frame.condition.as_ref().unwrap().age.unwrap();
        let shown = f32::from(picture(&frame.image).to_rgb8().get_pixel(0, 0).0[0]);
        assert!((told - age).abs() < 1e-3 && (shown - age * 2.55).abs() <= 0.51, "{told} {shown} {age}");
        assert_eq!(frame.licence, "non-commercial research only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ends_a_walk_goes_anywhere_and_says_where() {
    let images = images();
    let frames = interpolate(&images, InterpolateRequest::default()).await.unwrap();
    assert_eq!(frames.len(), 24);
    let (start, end) = (frames[0].start_seed, frames[0].end_seed);
    assert!(start != 0 && end != 0 && start != end);
    let again = InterpolateRequest { start: point(start, 0), end: point(end, 0), ..Default::default() };
    assert_eq!(interpolate(&images, again).await.unwrap(), frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_nobody_takes_further_is_not_computed_further() {
    let engine = engine();
    let images = Images::new(engine.clone());
    let request = InterpolateRequest { model: "plain-gan".into(), frames: Some(240), ..Default::default() };
    let mut stream = images.interpolate(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(stream.next().await.unwrap().unwrap().index, 0);
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let stats = engine.model("plain-gan", 0, &[]).unwrap().graph("generator").unwrap().stats();
    assert!(stats.rows <= 16, "{stats:?}");
}
