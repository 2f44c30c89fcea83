//! Denoising, codes and walks with the shipped models and real pictures.

use atelier_proto::codec::v1::waypoint::Point;
use atelier_proto::codec::v1::{
    Code, DecodeRequest, DenoiseRequest, EncodeRequest, Fit, InterpolateRequest, InterpolateResponse,
    ReconstructRequest, SampleRequest, SampleResponse, Waypoint,
};
use atelier_tests::Fleet;
use atelier_tests::pictures::{answer, clothes, encode, file, mean, message, mse, noisy, psnr};
use image::{DynamicImage, GrayImage, imageops};
use tokio_stream::StreamExt;

/// The default of the models with codes.
const VAE: &str = "fashion-vae";
/// How many numbers a code of it has.
const CODE: usize = 40;
/// One of each kind with codes.
const CODERS: [&str; 2] = [VAE, "fashion-ae"];

async fn denoise(fleet: &Fleet, picture: &GrayImage, sigma: Option<f32>) -> GrayImage {
    let request = DenoiseRequest { image: message(picture), sigma, ..Default::default() };
    let response = fleet.codec().denoise(request).await.unwrap().into_inner();
    assert_eq!(response.model.unwrap().name, "fashion-dae");
    answer(response.image)
}

async fn reconstruct(fleet: &Fleet, model: &str, picture: &GrayImage) -> (GrayImage, f64) {
    let request = ReconstructRequest { model: model.into(), image: message(picture), ..Default::default() };
    let response = fleet.codec().reconstruct(request).await.unwrap().into_inner();
    assert_eq!(response.model.unwrap().name, model);
    (answer(response.image), response.mse.into())
}

async fn mean_code(fleet: &Fleet, model: &str, picture: &GrayImage) -> Vec<f32> {
    let request = EncodeRequest { model: model.into(), image: message(picture), ..Default::default() };
    fleet.codec().encode(request).await.unwrap().into_inner().mean.unwrap().values
}

async fn decode(fleet: &Fleet, model: &str, values: Vec<f32>) -> GrayImage {
    let request = DecodeRequest { model: model.into(), code: Some(Code { values }), ..Default::default() };
    answer(fleet.codec().decode(request).await.unwrap().into_inner().image)
}

async fn sample(fleet: &Fleet, request: SampleRequest) -> (SampleResponse, Vec<GrayImage>) {
    let response = fleet.codec().sample(request).await.unwrap().into_inner();
    let pictures = response.images.iter().map(|image| answer(Some(image.clone()))).collect();
    (response, pictures)
}

#[tokio::test]
async fn denoising_a_noisy_test_image_raises_its_psnr_told_and_blind() {
    let fleet = Fleet::shared();
    // The least gain in dB: half of what the weakest accepted model has, to allow for these 16 images.
    for (sigma, least) in [(25.0 / 255.0, 3.0), (0.3, 4.5), (0.5, 5.0)] {
        let (mut told, mut blind) = (Vec::new(), Vec::new());
        for (seed, clean) in clothes().iter().enumerate() {
            let noisy = noisy(clean, sigma, seed as u64);
            let before = psnr(clean, &noisy);
            for (gains, sigma) in [(&mut told, Some(sigma as f32)), (&mut blind, None)] {
                let gain = psnr(clean, &denoise(&fleet, &noisy, sigma).await) - before;
                assert!(gain > 0.0, "image {seed} at sigma {sigma:?}: {gain:.2} dB");
                gains.push(gain);
            }
        }
        let (told, blind) = (mean(told), mean(blind));
        assert!(told > least && blind > least, "at sigma {sigma:.3}: told {told:.2} dB, blind {blind:.2} dB");
    }
}

#[tokio::test]
async fn the_noise_level_that_is_told_is_what_is_removed() {
    let fleet = Fleet::shared();
    let clothes = clothes();
    let mut right = Vec::new();
    for (told, worse_than_right) in [(0.3, false), (0.02, true), (0.55, true)] {
        let mut values = Vec::new();
        for (seed, clean) in clothes.iter().enumerate() {
            let denoised = denoise(&fleet, &noisy(clean, 0.3, seed as u64), Some(told)).await;
            values.push(psnr(clean, &denoised));
        }
        if worse_than_right {
            let (right, wrong) = (mean(right.clone()), mean(values));
            assert!(wrong < right - 0.2, "told {told}: {wrong:.2} dB, told 0.3: {right:.2} dB");
        } else {
            right = values;
        }
    }
}

#[tokio::test]
async fn an_image_without_noise_stays_as_it_is_when_that_is_told() {
    let fleet = Fleet::shared();
    for clean in clothes() {
        let unchanged = psnr(&clean, &denoise(&fleet, &clean, Some(0.0)).await);
        assert!(unchanged > 30.0, "{unchanged:.2} dB");
    }
}

#[tokio::test]
async fn a_code_that_is_drawn_is_mean_and_deviation_with_noise_of_its_seed() {
    let fleet = Fleet::shared();
    let draw = async |seed, sample| {
        let request = EncodeRequest { image: message(&clothes()[0]), sample, seed, ..Default::default() };
        fleet.codec().encode(request).await.unwrap().into_inner()
    };
    let plain = draw(7, false).await;
    let mean = plain.mean.clone().unwrap().values;
    assert_eq!((mean.len(), plain.log_variance.len()), (CODE, CODE));
    assert_eq!((plain.seed, &plain.sample), (0, &None), "nothing was drawn");
    assert!(
        mean.iter().all(|x| x.is_finite()) && plain.log_variance.iter().all(|x| (-8.0..=4.0).contains(x))
    );

    let drawn = draw(7, true).await;
    assert_eq!((drawn.seed, &drawn.mean, &drawn.log_variance), (7, &plain.mean, &plain.log_variance));
    assert_eq!(drawn, draw(7, true).await, "the same seed gives the same code");
    assert_ne!(drawn.sample, draw(8, true).await.sample, "another seed gives another");
    // What is left when mean and deviation are taken out is standard normal.
    let values = drawn.sample.unwrap().values;
    let noise = values.iter().zip(&mean).zip(&drawn.log_variance);
    let noise: Vec<f64> = noise.map(|((x, mean), log)| f64::from((x - mean) / (log / 2.0).exp())).collect();
    let square = atelier_tests::pictures::mean(noise.iter().map(|x| x * x));
    assert!((0.4..2.0).contains(&square) && noise.iter().all(|x| x.abs() < 5.0), "{noise:?}");

    let by_server = draw(0, true).await;
    assert_ne!(by_server.seed, 0, "the seed used is said");
    assert_eq!(draw(by_server.seed, true).await, by_server);
}

#[tokio::test]
async fn a_reconstruction_is_the_decoded_mean_of_the_code() {
    let fleet = Fleet::shared();
    for model in CODERS {
        for picture in &clothes()[..4] {
            let (reconstruction, error) = reconstruct(&fleet, model, picture).await;
            let code = mean_code(&fleet, model, picture).await;
            assert_eq!(decode(&fleet, model, code).await, reconstruction, "{model}");
            // The answer's pixels are rounded to 8 bits, its error is not.
            let measured = mse(picture, &reconstruction);
            assert!((measured - error).abs() < 1e-4, "{model}: {measured} is not {error}");
        }
    }
}

#[tokio::test]
async fn a_reconstruction_is_nearer_to_its_own_image_than_to_any_other() {
    let fleet = Fleet::shared();
    let clothes = clothes();
    for model in CODERS {
        let mut errors = Vec::new();
        for (at, picture) in clothes.iter().enumerate() {
            let (reconstruction, error) = reconstruct(&fleet, model, picture).await;
            errors.push(error);
            let far = |other: &usize| mse(&clothes[*other], &reconstruction);
            let nearest = (0..clothes.len()).min_by(|a, b| far(a).total_cmp(&far(b)));
            assert_eq!(nearest, Some(at), "{model}: image {at}, mean squared error {error}");
        }
        assert!(mean(errors.clone()) < 0.02, "{model}: {errors:?}");
    }
}

#[tokio::test]
async fn an_image_of_another_size_and_colour_is_fitted() {
    let fleet = Fleet::shared();
    let picture = &clothes()[1];
    let (expected, _) = reconstruct(&fleet, VAE, picture).await;
    let large = DynamicImage::from(imageops::resize(picture, 280, 280, imageops::FilterType::Nearest));
    for (data, fit) in [
        (encode(large.to_rgb8(), image::ImageFormat::Png), Fit::Unspecified),
        (encode(large.to_luma16(), image::ImageFormat::Png), Fit::Stretch),
        (encode(large.to_rgba8(), image::ImageFormat::Png), Fit::Cover),
        (encode(large.to_rgb8(), image::ImageFormat::Jpeg), Fit::Contain),
    ] {
        let request = ReconstructRequest { image: file(data), fit: fit.into(), ..Default::default() };
        let response = fleet.codec().reconstruct(request).await.unwrap().into_inner();
        let near = psnr(&expected, &answer(response.image));
        assert!(near > 25.0, "{fit:?}: {near:.2} dB");
    }
    // The model's own size needs no fitting, and none is done.
    let request =
        ReconstructRequest { image: message(picture), fit: Fit::Exact.into(), ..Default::default() };
    let exact = fleet.codec().reconstruct(request).await.unwrap().into_inner();
    assert_eq!(answer(exact.image), expected);
}

#[tokio::test]
async fn samples_are_those_of_their_seed_and_a_larger_count_goes_on_where_a_smaller_one_ends() {
    let fleet = Fleet::shared();
    let request = |seed, count| SampleRequest { seed, count: Some(count), ..Default::default() };
    let (few, few_pictures) = sample(&fleet, request(5, 3)).await;
    assert_eq!((few.seed, few.images.len(), few.codes.len()), (5, 3, 3));
    assert_eq!(few, sample(&fleet, request(5, 3)).await.0, "the same seed gives the same bytes");
    let (many, _) = sample(&fleet, request(5, 64)).await;
    assert_eq!((&many.images[..3], &many.codes[..3]), (&few.images[..], &few.codes[..]));
    let (other, _) = sample(&fleet, request(6, 3)).await;
    assert!(few.images.iter().zip(&other.images).all(|(a, b)| a != b), "another seed gives other images");
    for (picture, code) in few_pictures.iter().zip(&few.codes) {
        assert_eq!(
            &decode(&fleet, VAE, code.values.clone()).await,
            picture,
            "each image is that of its code"
        );
    }
    let (one, _) = sample(&fleet, SampleRequest::default()).await;
    assert_eq!(one.images.len(), 1);
    assert_eq!(sample(&fleet, request(one.seed, 1)).await.0, one, "the seed drawn by the server is said");
}

#[tokio::test]
async fn samples_differ_from_each_other_and_less_so_at_a_lower_temperature() {
    let fleet = Fleet::shared();
    let mut spreads = Vec::new();
    for temperature in [1.0, 0.5, 0.0] {
        let request =
            SampleRequest { seed: 1, count: Some(32), temperature: Some(temperature), ..Default::default() };
        let (_, pictures) = sample(&fleet, request).await;
        spreads.push(mean(pictures.windows(2).map(|pair| mse(&pair[0], &pair[1]))));
        if temperature == 0.0 {
            assert_eq!(pictures[0], decode(&fleet, VAE, vec![0.0; CODE]).await, "the image of the zero code");
        }
    }
    let [full, half, none] = spreads[..] else { unreachable!() };
    assert_eq!(none, 0.0);
    assert!(full > 0.02 && half < full && half > 0.0, "{spreads:?}");
}

#[tokio::test]
async fn a_walk_leads_from_one_reconstruction_to_the_other() {
    let fleet = Fleet::shared();
    let [from, to] = [&clothes()[0], &clothes()[2]];
    let codes = [mean_code(&fleet, VAE, from).await, mean_code(&fleet, VAE, to).await];
    let length = |code: &[f32]| code.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for spherical in [false, true] {
        let request = InterpolateRequest {
            start: Some(Waypoint { point: message(from).map(Point::Image) }),
            end: Some(Waypoint { point: Some(Point::Code(Code { values: codes[1].clone() })) }),
            steps: Some(41),
            spherical,
            ..Default::default()
        };
        let frames = fleet.codec().interpolate(request).await.unwrap().into_inner();
        let frames: Vec<InterpolateResponse> = frames.map(Result::unwrap).collect().await;
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), (0..41).collect::<Vec<_>>());
        assert!(frames.iter().all(|frame| frame.steps == 41));
        let [first, .., last] = frames.as_slice() else { panic!("no frames") };
        assert_eq!(answer(first.image.clone()), reconstruct(&fleet, VAE, from).await.0);
        assert_eq!(answer(last.image.clone()), reconstruct(&fleet, VAE, to).await.0);

        let middle = frames[20].code.clone().unwrap().values;
        let straight: Vec<f32> = codes[0].iter().zip(&codes[1]).map(|(a, b)| (a + b) / 2.0).collect();
        let apart = middle.iter().zip(&straight).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if spherical {
            let expected = (length(&codes[0]) + length(&codes[1])) / 2.0;
            assert!((length(&middle) / expected - 1.0).abs() < 1e-3, "the length goes evenly");
        } else {
            assert!(apart < 1e-4, "{apart} from the middle of the straight line");
        }
    }
}
