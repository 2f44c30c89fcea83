use atelier_proto::codec::v1::codec_service_server::CodecService;
use atelier_proto::codec::v1::waypoint::Point;
use atelier_proto::codec::v1::*;
use atelier_proto::models::v1::ModelVersion;
use futures_util::{StreamExt, TryStreamExt};
use tonic::Request;

use crate::*;

fn is(model: &Option<ModelVersion>, name: &str) {
    assert_eq!(model, &Some(ModelVersion { name: name.into(), version: 1 }));
}

fn sample(seed: u64, count: u32) -> Request<SampleRequest> {
    Request::new(SampleRequest { seed, count: Some(count), ..SampleRequest::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconstruction_is_the_decoded_mean_of_the_encoded_image() {
    let codec = codec();
    let encoded = EncodeRequest { image: png(grey()), ..EncodeRequest::default() };
    let encoded = codec.encode(Request::new(encoded)).await.unwrap().into_inner();
    is(&encoded.model, "tiny-vae");
    let mean = encoded.mean.unwrap();
    assert_eq!((mean.values.len(), encoded.log_variance.len(), encoded.seed), (3, 3, 0));
    assert_eq!(encoded.sample, None);

    let decoded = DecodeRequest { code: Some(mean), ..DecodeRequest::default() };
    let decoded = codec.decode(Request::new(decoded)).await.unwrap().into_inner();
    let request = ReconstructRequest { image: png(grey()), ..ReconstructRequest::default() };
    let reconstructed = codec.reconstruct(Request::new(request)).await.unwrap().into_inner();
    is(&reconstructed.model, "tiny-vae");
    assert_eq!(reconstructed.image, decoded.image);

    let out = picture(reconstructed.image).into_luma8();
    assert_eq!(out.dimensions(), (WIDTH, HEIGHT));
    let squares = |(a, b): (&u8, &u8)| ((f64::from(*a) - f64::from(*b)) / 255.0).powi(2);
    let mse = grey().as_raw().iter().zip(out.as_raw()).map(squares).sum::<f64>() / 30.0;
    assert!((mse - f64::from(reconstructed.mse)).abs() < 2e-3, "{mse} {}", reconstructed.mse);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drawn_code_lies_around_the_mean_as_the_variance_says() {
    let codec = codec();
    let request = |seed| {
        Request::new(EncodeRequest { image: png(grey()), sample: true, seed, ..EncodeRequest::default() })
    };
    let first = codec.encode(request(7)).await.unwrap().into_inner();
    assert_eq!(first.seed, 7);
    assert_eq!(codec.encode(request(7)).await.unwrap().into_inner(), first);
    let drawn = codec.encode(request(0)).await.unwrap().into_inner();
    assert_ne!(drawn.seed, 0);
    let again = codec.encode(request(drawn.seed)).await.unwrap().into_inner();
    assert_eq!(again, drawn, "the seed in the answer gives the answer again");

    let mut squares = 0.0;
    for seed in 1..=200 {
        let answer = codec.encode(request(seed)).await.unwrap().into_inner();
        let (mean, code) = (answer.mean.unwrap().values, answer.sample.unwrap().values);
        for ((m, v), z) in mean.iter().zip(&answer.log_variance).zip(&code) {
            squares += ((z - m) / (v / 2.0).exp()).powi(2) / 600.0;
        }
    }
    assert!((squares - 1.0).abs() < 0.2, "{squares}");
}

#[tokio::test(flavor = "multi_thread")]
async fn denoising_uses_the_level_where_it_is_given_and_the_blind_graph_where_not() {
    let codec = codec();
    // The model is image * (1 - sigma), and image / 2 when blind.
    for (sigma, factor) in [(Some(0.25), 0.75), (Some(0.0), 1.0), (Some(0.55), 0.45), (None, 0.5)] {
        let request =
            DenoiseRequest { image: png(grey()), sigma, fit: Fit::Exact.into(), ..Default::default() };
        let answer = codec.denoise(Request::new(request)).await.unwrap().into_inner();
        is(&answer.model, "tiny-dae");
        for (a, b) in grey().as_raw().iter().zip(picture(answer.image).into_luma8().as_raw()) {
            assert!((f32::from(*a) * factor - f32::from(*b)).abs() <= 0.51, "{a} {b} at {sigma:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_come_with_name_and_chance_the_likeliest_first() {
    let codec = codec();
    // The classes of the model are the brightnesses 0, 1/2 and 1; logits are -40 times the squared distance.
    for (level, order, first) in [
        (20, ["dark", "middling", "bright"], 0),
        (140, ["middling", "bright", "dark"], 1),
        (250, ["bright", "middling", "dark"], 2),
    ] {
        let image = png(GrayImage::from_pixel(WIDTH, HEIGHT, Luma([level])));
        let request = ClassifyRequest { image: image.clone(), ..ClassifyRequest::default() };
        let answer = codec.classify(Request::new(request)).await.unwrap().into_inner();
        // Of the models of the kind, the first by name has no classifier.
        is(&answer.model, "tiny-classifier");
        let labels: Vec<&str> = answer.guesses.iter().map(|guess| guess.label.as_str()).collect();
        assert_eq!(labels, order);
        assert_eq!(answer.guesses[0].class_id, first);
        let mean = f32::from(level) / 255.0;
        let weights = [0.0, 0.5, 1.0].map(|bright: f32| (-40.0 * (mean - bright).powi(2)).exp());
        for guess in &answer.guesses {
            let chance = weights[guess.class_id as usize] / weights.iter().sum::<f32>();
            assert!((guess.probability - chance).abs() < 1e-4, "{answer:?}, not {chance}");
        }
        let request = ClassifyRequest { image, top: Some(1), ..ClassifyRequest::default() };
        let one = codec.classify(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(one.guesses, answer.guesses[..1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_filled_and_the_rest_stays() {
    let codec = codec();
    let mask = GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([if x > 1 && y < 2 { 255 } else { 100 }]));
    let request = InpaintRequest {
        image: png(grey()),
        mask: png(mask.clone()),
        fit: Fit::Exact.into(),
        ..InpaintRequest::default()
    };
    let answer = codec.inpaint(Request::new(request)).await.unwrap().into_inner();
    is(&answer.model, "tiny-inpainter");
    assert!((answer.filled_fraction - 6.0 / 30.0).abs() < 1e-6, "{}", answer.filled_fraction);
    let filled = picture(answer.image).into_luma8();
    for ((x, y, pixel), was) in filled.enumerate_pixels().zip(grey().pixels()) {
        // The model fills with a quarter.
        let right = if mask.get_pixel(x, y).0 == [255] { 64 } else { was.0[0] };
        assert_eq!(pixel.0, [right], "at {x}, {y}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn image_and_mask_are_fitted_alike() {
    let codec = codec();
    let image = GrayImage::from_pixel(50, 30, Luma([255]));
    let mask = GrayImage::from_fn(50, 30, |x, _| Luma([if x >= 40 { 255 } else { 0 }]));
    let request = InpaintRequest { image: png(image), mask: png(mask), ..InpaintRequest::default() };
    let answer = codec.inpaint(Request::new(request)).await.unwrap().into_inner();
    let filled = picture(answer.image).into_luma8();
    let rows: Vec<Vec<u8>> = filled.rows().map(|row| row.map(|pixel| pixel.0[0]).collect()).collect();
    // Fitted within: black above and below, which is not filled. What is left of the last column is blurred
    // into the one before it, which is filled as well.
    let (border, middle) = (vec![0; 5], vec![255, 255, 255, 64, 64]);
    assert_eq!(rows, [&border, &middle, &middle, &middle, &border, &border].map(Vec::clone));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_any_size_and_colour_is_fitted_to_the_model() {
    let codec = codec();
    let white = RgbImage::from_pixel(50, 30, Rgb([255; 3]));
    let denoised = async |fit: Fit| {
        let request = DenoiseRequest {
            image: png(white.clone()),
            sigma: Some(0.0),
            fit: fit.into(),
            ..Default::default()
        };
        let answer = codec.denoise(Request::new(request)).await.unwrap().into_inner();
        let rows: Vec<u8> =
            picture(answer.image).into_luma8().rows().map(|mut r| r.next().unwrap().0[0]).collect();
        rows
    };
    assert_eq!(denoised(Fit::Stretch).await, [255; 6]);
    assert_eq!(denoised(Fit::Cover).await, [255; 6]);
    let contained = [0, 255, 255, 255, 0, 0];
    assert_eq!(denoised(Fit::Contain).await, contained);
    assert_eq!(denoised(Fit::Unspecified).await, contained);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_colour_images_takes_and_gives_colour() {
    let codec = codec();
    let request = EncodeRequest {
        model: "colour-ae".into(),
        image: png(colour()),
        fit: Fit::Exact.into(),
        ..EncodeRequest::default()
    };
    let encoded = codec.encode(Request::new(request)).await.unwrap().into_inner();
    is(&encoded.model, "colour-ae");
    assert!(encoded.log_variance.is_empty(), "a deterministic model has no variance");
    let request = DecodeRequest { model: "colour-ae".into(), version: 1, code: encoded.mean };
    let decoded = codec.decode(Request::new(request)).await.unwrap().into_inner();
    let picture = picture(decoded.image);
    assert_eq!((picture.width(), picture.height(), picture.color()), (4, 4, image::ColorType::Rgb8));
    // Planes and not pixels lie together in the model: mixed up, the channels would be alike.
    let rgb = picture.into_rgb8();
    assert!(rgb.pixels().any(|p| p.0[0].abs_diff(p.0[1]) > 20), "{rgb:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_samples_the_same_bytes_alone_and_in_a_crowd() {
    let codec = codec();
    let alone = codec.sample(sample(5, 6)).await.unwrap().into_inner();
    is(&alone.model, "tiny-vae");
    assert_eq!((alone.images.len(), alone.codes.len(), alone.seed), (6, 6, 5));
    let others = futures_util::future::join_all((1..40).map(|seed| codec.sample(sample(seed, 7)))).await;
    let crowd = others.into_iter().map(|answer| answer.unwrap().into_inner());
    let same = crowd.into_iter().find(|answer| answer.seed == 5).unwrap();
    assert_eq!(same.images[..6], alone.images, "the first of a larger count are those of a smaller one");
    assert_eq!(same.codes[..6], alone.codes);
    let other = codec.sample(sample(6, 6)).await.unwrap().into_inner();
    assert_ne!(other.images, alone.images);
}

#[tokio::test(flavor = "multi_thread")]
async fn temperature_scales_the_codes_and_each_image_is_that_of_its_code() {
    let codec = codec();
    let request = |temperature| {
        Request::new(SampleRequest { seed: 3, count: Some(3), temperature, ..SampleRequest::default() })
    };
    let plain = codec.sample(request(None)).await.unwrap().into_inner();
    let half = codec.sample(request(Some(0.5))).await.unwrap().into_inner();
    for (a, b) in plain.codes.iter().zip(&half.codes) {
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| a * 0.5 == *b));
    }
    let zero = codec.sample(request(Some(0.0))).await.unwrap().into_inner();
    assert!(zero.codes.iter().flat_map(|c| &c.values).all(|v| *v == 0.0));
    for (code, image) in plain.codes.into_iter().zip(plain.images) {
        let request = DecodeRequest { code: Some(code), ..DecodeRequest::default() };
        assert_eq!(codec.decode(Request::new(request)).await.unwrap().into_inner().image, Some(image));
    }
}

fn at(values: [f32; 3]) -> Option<Waypoint> {
    Some(Waypoint { point: Some(Point::Code(Code { values: values.to_vec() })) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_streams_its_frames_in_order_from_end_to_end() {
    let codec = codec();
    let request = InterpolateRequest {
        start: at([1.0, 0.0, 0.0]),
        end: Some(Waypoint { point: Some(Point::Image(png(grey()).unwrap())) }),
        steps: Some(40),
        ..InterpolateRequest::default()
    };
    let stream = codec.interpolate(Request::new(request)).await.unwrap().into_inner();
    let frames: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(frames.len(), 40);
    for (index, frame) in frames.iter().enumerate() {
        is(&frame.model, "tiny-vae");
        assert_eq!((frame.index as usize, frame.steps), (index, 40));
        let request = DecodeRequest { code: frame.code.clone(), ..DecodeRequest::default() };
        assert_eq!(codec.decode(Request::new(request)).await.unwrap().into_inner().image, frame.image);
    }
    assert_eq!(frames[0].code.as_ref().unwrap().values, [1.0, 0.0, 0.0]);
    let request = EncodeRequest { image: png(grey()), ..EncodeRequest::default() };
    let mean = codec.encode(Request::new(request)).await.unwrap().into_inner().mean;
    assert_eq!(frames[39].code, mean, "an image stands for the mean of its code");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spherical_walk_keeps_the_length_of_its_ends() {
    let codec = codec();
    for (spherical, middle) in [(true, 1.0), (false, 0.5_f32.sqrt())] {
        let request = InterpolateRequest {
            start: at([1.0, 0.0, 0.0]),
            end: at([0.0, 1.0, 0.0]),
            steps: Some(3),
            spherical,
            ..InterpolateRequest::default()
        };
        let stream = codec.interpolate(Request::new(request)).await.unwrap().into_inner();
        let frames: Vec<_> = stream.try_collect().await.unwrap();
        let code = &frames[1].code.as_ref().unwrap().values;
        assert!((code.iter().map(|x| x * x).sum::<f32>().sqrt() - middle).abs() < 1e-5, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_nobody_takes_further_is_not_computed_further() {
    let engine = engine();
    let codec = Codec::new(engine.clone());
    let request = InterpolateRequest {
        start: at([1.0, 0.0, 0.0]),
        end: at([0.0, 1.0, 0.0]),
        steps: Some(256),
        ..InterpolateRequest::default()
    };
    let mut stream = codec.interpolate(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(stream.next().await.unwrap().unwrap().index, 0);
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let stats = engine.model("tiny-vae", 0, &[]).unwrap().graph("decoder").unwrap().stats();
    assert!(stats.rows <= 16, "{stats:?}");
    assert_eq!((stats.queued, stats.running), (0, 0));
}
