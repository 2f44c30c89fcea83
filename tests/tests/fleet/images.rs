//! New images, and faces at other ages, with every such model that is shipped.

use std::collections::HashSet;

use atelier_proto::codec::v1::{Fit, Image};
use atelier_proto::image::v1::{
    AgeRequest, GenerateRequest, GenerateResponse, InterpolateRequest, InterpolateResponse, LatentPoint,
    Layout,
};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use atelier_tests::models::{Shipped, of_kind};
use atelier_tests::pictures::{clothes, message};
use image::{DynamicImage, GenericImageView};
use tokio_stream::StreamExt;
use tonic::Code;

async fn generate(fleet: &Fleet, request: GenerateRequest) -> Vec<GenerateResponse> {
    let stream = fleet.image().generate(request).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

fn of(model: &Shipped, seed: u64, count: u32) -> GenerateRequest {
    GenerateRequest { model: model.name.clone(), seed, count: Some(count), ..Default::default() }
}

fn picture(image: &Option<Image>) -> DynamicImage {
    image::load_from_memory_with_format(&image.as_ref().unwrap().data, image::ImageFormat::Png).unwrap()
}

#[tokio::test]
async fn every_generator_makes_the_same_images_of_a_seed_whatever_the_count() {
    let fleet = Fleet::shared();
    for model in of_kind("gan") {
        let many = generate(&fleet, of(&model, 11, 24)).await;
        assert_eq!(many.len(), 24);
        for (index, answer) in (0..).zip(&many) {
            assert_eq!((answer.index, answer.seed, answer.count), (index, 11, 24));
            assert_eq!(answer.model.as_ref().unwrap().name, model.name);
            assert_eq!(Some(answer.licence.as_str()), model.manifest["licence"].as_str());
        }
        let few = generate(&fleet, GenerateRequest { first: 9, ..of(&model, 11, 2) }).await;
        assert_eq!((&few[0].image, &few[1].image), (&many[9].image, &many[10].image));
        let different: HashSet<_> = many.iter().map(|answer| &answer.image.as_ref().unwrap().data).collect();
        assert_eq!(different.len(), 24, "{} makes one image several times", model.name);

        let request = GenerateRequest { layout: Layout::Grid.into(), ..of(&model, 11, 24) };
        let grid = generate(&fleet, request).await;
        assert_eq!((grid.len(), grid[0].columns), (1, 5));
        let (whole, first) = (picture(&grid[0].image), picture(&many[0].image));
        let (width, height) = first.dimensions();
        assert_eq!(whole.dimensions(), (1 + 5 * (width + 1), 1 + 5 * (height + 1)));
        let cell = |n: u32| whole.crop_imm(1 + n % 5 * (width + 1), 1 + n / 5 * (height + 1), width, height);
        assert_eq!(cell(0).to_rgb8(), first.to_rgb8());
        assert_eq!(cell(23).to_rgb8(), picture(&many[23].image).to_rgb8());
    }
}

#[tokio::test]
async fn every_class_and_age_that_a_generator_knows_can_be_asked_for() {
    let (fleet, generators) = (Fleet::shared(), of_kind("gan"));
    assert!(generators.iter().any(|model| !model.labels().is_empty()), "one knows classes");
    assert!(generators.iter().any(|model| model.range("generator", "age").is_some()), "one knows ages");
    for model in generators {
        for (id, name) in (0..).zip(model.labels()) {
            for class in [name.to_uppercase(), format!("{id}")] {
                let answer = generate(&fleet, GenerateRequest { class, ..of(&model, 3, 1) }).await;
                let shown = &answer[0].conditions[0];
                assert_eq!((&shown.class_name, shown.class_id), (&name, Some(id)));
            }
        }
        let class = "no such class".to_owned();
        let status = fleet.image().generate(GenerateRequest { class, ..of(&model, 3, 1) }).await.unwrap_err();
        match model.labels().first() {
            Some(known) => {
                assert_eq!(status.code(), Code::NotFound);
                assert!(status.message().contains(known.as_str()), "{status:?}");
            }
            None => assert_eq!(blamed(&status), "class"),
        }
        let ages = model.range("generator", "age");
        for age in ages.into_iter().flatten() {
            let age = Some(age as f32);
            let answer = generate(&fleet, GenerateRequest { age, ..of(&model, 3, 1) }).await;
            assert_eq!(answer[0].conditions[0].age, age);
        }
        let beyond = Some(ages.map_or(30.0, |[_, greatest]| greatest as f32 + 1.0));
        let wrong = fleet.image().generate(GenerateRequest { age: beyond, ..of(&model, 3, 1) }).await;
        assert_eq!(blamed(&wrong.unwrap_err()), "age");
    }
}

#[tokio::test]
async fn a_walk_leads_from_one_image_to_the_other_in_small_steps() {
    let fleet = Fleet::shared();
    for model in of_kind("gan") {
        let class = model.labels().first().cloned().unwrap_or_default();
        let end = |seed| Some(LatentPoint { seed, class: class.clone(), ..Default::default() });
        let request = InterpolateRequest {
            model: model.name.clone(),
            start: end(5),
            end: end(6),
            frames: Some(33),
            ..Default::default()
        };
        let stream = fleet.image().interpolate(request).await.unwrap().into_inner();
        let frames: Vec<InterpolateResponse> = stream.map(Result::unwrap).collect().await;
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), (0..33).collect::<Vec<_>>());
        for (frame, seed) in [(&frames[0], 5), (&frames[32], 6)] {
            let image =
                generate(&fleet, GenerateRequest { class: class.clone(), ..of(&model, seed, 1) }).await;
            assert_eq!(frame.image, image[0].image);
        }
        let levels: Vec<Vec<u8>> = frames.iter().map(|f| picture(&f.image).to_rgb8().into_raw()).collect();
        let apart = |a: &[u8], b: &[u8]| {
            a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
        };
        let whole = apart(&levels[0], &levels[32]);
        let largest = levels.windows(2).map(|pair| apart(&pair[0], &pair[1])).fold(0.0, f64::max);
        assert!(whole > 0.0 && largest < whole, "{}: {largest} of {whole}", model.name);
    }
}

#[tokio::test]
async fn every_ager_refuses_what_is_no_face() {
    let fleet = Fleet::shared();
    for model in of_kind("ager") {
        let [least, greatest] = model.range("ager", "age").unwrap().map(|age| age as f32);
        let request = |image, ages: &[f32]| AgeRequest {
            model: model.name.clone(),
            image,
            ages: ages.to_vec(),
            fit: Fit::Cover.into(),
            ..Default::default()
        };
        for clothing in &clothes()[..4] {
            let wrong = fleet.image().age(request(message(clothing), &[greatest])).await.unwrap_err();
            assert_eq!(blamed(&wrong), "image");
            assert!(wrong.message().contains("novelty score"), "{wrong:?}");
        }
        let wrong = fleet.image().age(request(None, &[least])).await.unwrap_err();
        assert_eq!(blamed(&wrong), "image");
        for ages in [&[][..], &[least - 1.0], &[least, f32::NAN], &[greatest; 17]] {
            let wrong = fleet.image().age(request(message(&clothes()[0]), ages)).await.unwrap_err();
            assert_eq!(blamed(&wrong), "ages");
        }
    }
}

/// Faces that a generator made: pictures of people are not ours to keep here.
#[tokio::test]
async fn every_ager_ages_a_face_the_more_the_older_and_says_its_licence() {
    let fleet = Fleet::shared();
    let faces = of_kind("gan").into_iter().find(|model| model.range("generator", "age").is_some());
    let faces = faces.expect("a generator that knows ages is shipped");
    for model in of_kind("ager") {
        let [least, greatest] = model.range("ager", "age").unwrap().map(|age| age as f32);
        let middle = (least + greatest) / 2.0;
        let ages = vec![least, middle, greatest, middle];
        let request = GenerateRequest { age: Some(30.0), truncation: Some(0.5), ..of(&faces, 1, 8) };
        let mut aged = 0;
        for face in generate(&fleet, request).await {
            let request = AgeRequest {
                model: model.name.clone(),
                image: face.image,
                fit: Fit::Stretch.into(),
                ages: ages.clone(),
                ..Default::default()
            };
            // What was generated may not pass for a face; most must.
            let Ok(answer) = fleet.image().age(request).await else { continue };
            let answer = answer.into_inner();
            aged += 1;
            assert_eq!(Some(answer.licence.as_str()), model.manifest["licence"].as_str());
            assert!(answer.novelty <= answer.novelty_limit);
            assert_eq!(answer.images.iter().map(|image| image.age).collect::<Vec<_>>(), ages);
            assert_eq!(answer.images[1].image, answer.images[3].image);
            assert_ne!(answer.images[0].image, answer.images[2].image);
        }
        assert!(aged >= 4, "only {aged} of 8 generated faces pass for faces with {}", model.name);
    }
}
