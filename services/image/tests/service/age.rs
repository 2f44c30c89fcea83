use atelier_proto::codec::v1::Fit;
use atelier_proto::image::v1::*;
use image::{GrayImage, Luma};

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_face_is_shown_at_every_age_in_the_order_asked() {
    let images = images();
    let ages = vec![60.0, 0.0, 100.0, 60.0];
    let request = AgeRequest { image: png(face()), ages: ages.clone(), ..AgeRequest::default() };
    let answer = images.age(Request::new(request)).await.unwrap().into_inner();
    is(&answer.model, "tiny-ager");
    assert_eq!(answer.licence, "non-commercial research only");
    assert!(answer.novelty >= 0.0 && answer.novelty <= answer.novelty_limit && answer.novelty_limit == 5.0);
    assert_eq!(answer.images.iter().map(|aged| aged.age).collect::<Vec<_>>(), ages);
    // The model is image * (1 - age / 200).
    for aged in &answer.images {
        let factor = 1.0 - aged.age / 200.0;
        for (from, to) in face().iter().zip(picture(&aged.image).to_rgb8().iter()) {
            assert!(
                (f32::from(*from) * factor - f32::from(*to)).abs() <= 0.51,
                "{from} {to} at {}",
                aged.age
            );
        }
    }
    assert_eq!(answer.images[0].image, answer.images[3].image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_of_another_size_and_grey_is_fitted() {
    let images = images();
    let request = AgeRequest {
        image: png(GrayImage::from_pixel(90, 90, Luma([128]))),
        fit: Fit::Cover.into(),
        ages: vec![0.0],
        ..AgeRequest::default()
    };
    let answer = images.age(Request::new(request)).await.unwrap().into_inner();
    let aged = picture(&answer.images[0].image);
    assert_eq!((aged.width(), aged.height(), aged.color()), (FACE, FACE, image::ColorType::Rgb8));
    assert!(aged.to_rgb8().iter().all(|level| *level == 128));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_far_from_a_face_is_refused_with_score_and_limit_and_never_aged() {
    let engine = engine();
    let images = Images::new(engine.clone());
    for level in [10, 250] {
        let image = png(RgbImage::from_pixel(FACE, FACE, [level; 3].into()));
        let request = AgeRequest { image, ages: vec![50.0], ..AgeRequest::default() };
        let status = images.age(Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let score = (f32::from(level) / 255.0 - 0.5).abs() * 20.0;
        let message = status.message();
        let said: f32 =
            message.split("score is ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert!((said - score).abs() < 1e-3, "{message}");
        assert!(message.starts_with("image: ") && message.contains("but 5 at most is right"), "{message}");
    }
    // A picture that is padded with black to be square is too dark for a face.
    let wide = png(RgbImage::from_pixel(60, 20, [150; 3].into()));
    let request = AgeRequest { image: wide.clone(), ages: vec![50.0], ..AgeRequest::default() };
    assert!(images.age(Request::new(request)).await.is_err());
    let stats = engine.model("tiny-ager", 0, &[]).unwrap().graph("ager").unwrap().stats();
    assert_eq!(stats.answered, 0);
    let request =
        AgeRequest { image: wide, fit: Fit::Cover.into(), ages: vec![50.0], ..AgeRequest::default() };
    assert!(images.age(Request::new(request)).await.is_ok());
}
