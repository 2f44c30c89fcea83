use atelier_engine::{Config, Engine};
use atelier_package::Repository;
use atelier_proto::image::v1::*;
use futures_util::StreamExt;
use image::GenericImageView;

use crate::*;

fn of(model: &str, seed: u64, count: u32) -> GenerateRequest {
    GenerateRequest { model: model.into(), seed, count: Some(count), ..GenerateRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_from_its_seed_and_index_whatever_the_count_and_the_company() {
    let images = images();
    let many = generate(&images, of("plain-gan", 7, 40)).await.unwrap();
    assert_eq!(many.len(), 40);
    for (index, answer) in (0..).zip(&many) {
        is(&answer.model, "plain-gan");
        assert_eq!((answer.seed, answer.index, answer.count, answer.columns), (7, index, 40, 1));
        assert_eq!(answer.conditions, [Condition::default()]);
        assert_eq!(picture(&answer.image).dimensions(), (5, 4));
    }
    let few = generate(&images, of("plain-gan", 7, 3)).await.unwrap();
    for (few, many) in few.iter().zip(&many) {
        assert_eq!(few.image, many.image);
    }
    let request = GenerateRequest { first: 33, ..of("plain-gan", 7, 1) };
    let crowd = (0..20).map(|seed| generate(&images, of("plain-gan", 100 + seed, 7)));
    let (alone, _) = tokio::join!(generate(&images, request), futures_util::future::join_all(crowd));
    let alone = alone.unwrap();
    assert_eq!((alone[0].index, &alone[0].image), (33, &many[33].image));
    let other = generate(&images, of("plain-gan", 8, 1)).await.unwrap();
    assert_ne!(other[0].image, many[0].image);
    assert_ne!(many[0].image, many[1].image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_the_server_drew_gives_the_same_images_again() {
    let images = images();
    let drawn = generate(&images, of("class-gan", 0, 2)).await.unwrap();
    assert_ne!(drawn[0].seed, 0);
    assert_eq!(generate(&images, of("class-gan", drawn[0].seed, 2)).await.unwrap(), drawn);
}

/// The model's images of class `n` of 3 lie between n/3 and (n+1)/3.
fn class_of(answer: &GenerateResponse) -> u32 {
    let picture = picture(&answer.image).into_luma8();
    let (least, most) = (picture.iter().min().unwrap(), picture.iter().max().unwrap());
    // Ends included: a level between two classes is of the one that the others are of.
    let class = (0..3).find(|n| n * 85 <= *least && *most <= (n + 1) * 85);
    u32::from(class.unwrap_or_else(|| panic!("{picture:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_shown_by_name_or_id_and_drawn_and_told_where_none_is_asked() {
    let images = images();
    for (class, id, name) in [("ankle BOOT", 1, "Ankle boot"), ("2", 2, "coat"), ("bag", 0, "bag")] {
        let request = GenerateRequest { class: class.into(), ..of("class-gan", 3, 5) };
        for answer in generate(&images, request).await.unwrap() {
            assert_eq!(class_of(&answer), id);
            let condition = Condition { class_name: name.into(), class_id: Some(id), age: None };
            assert_eq!(answer.conditions, [condition]);
        }
    }
    let open = generate(&images, of("class-gan", 3, 30)).await.unwrap();
    let mut seen = [0; 3];
    for answer in &open {
        let id = answer.conditions[0].class_id.unwrap();
        assert_eq!(class_of(answer), id);
        seen[id as usize] += 1;
        // Asked for by name, it is the same image.
        let class = answer.conditions[0].class_name.clone();
        let request = GenerateRequest { class, first: answer.index, ..of("class-gan", 3, 1) };
        assert_eq!(generate(&images, request).await.unwrap()[0].image, answer.image);
    }
    assert!(seen.iter().all(|n| *n > 2), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_age_is_shown_and_drawn_and_told_where_none_is_asked() {
    let images = images();
    let level = |answer: &GenerateResponse| f32::from(picture(&answer.image).to_rgb8().get_pixel(1, 2).0[0]);
    let request = GenerateRequest { age: Some(40.0), ..of("face-gan", 5, 2) };
    let asked = generate(&images, request).await.unwrap();
    assert_eq!(level(&asked[0]), 102.0);
    assert_eq!(asked[0].conditions[0].age, Some(40.0));
    assert_eq!(asked[0].licence, "non-commercial research only");
    let mut ages = Vec::new();
    for answer in generate(&images, of("face-gan", 5, 8)).await.unwrap() {
        let age = answer.conditions[0].age.unwrap();
        assert!((level(&answer) - age * 2.55).abs() <= 0.51, "{age}");
        ages.push(age);
    }
    assert!(ages.iter().any(|age| *age > 60.0) && ages.iter().any(|age| *age < 40.0), "{ages:?}");
    // The same face at another age: what the age has no part in is as it was.
    let request = GenerateRequest { age: Some(90.0), ..of("face-gan", 5, 1) };
    let older = picture(&generate(&images, request).await.unwrap()[0].image).to_rgb8();
    let younger = picture(&asked[0].image).to_rgb8();
    assert!(older.pixels().zip(younger.pixels()).all(|(a, b)| a.0[1..] == b.0[1..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_holds_the_same_images_row_by_row() {
    let images = images();
    let separate = generate(&images, of("class-gan", 9, 20)).await.unwrap();
    let request = GenerateRequest { layout: Layout::Grid.into(), ..of("class-gan", 9, 20) };
    let grid = generate(&images, request).await.unwrap();
    assert_eq!(grid.len(), 1);
    assert_eq!((grid[0].seed, grid[0].index, grid[0].count, grid[0].columns), (9, 0, 20, 5));
    let conditions: Vec<_> = separate.iter().flat_map(|answer| answer.conditions.clone()).collect();
    assert_eq!(grid[0].conditions, conditions);
    let whole = picture(&grid[0].image).into_luma8();
    assert_eq!(whole.dimensions(), (1 + 5 * 6, 1 + 4 * 5));
    for (number, answer) in (0..).zip(&separate) {
        let (x, y) = (1 + number % 5 * 6, 1 + number / 5 * 5);
        assert_eq!(whole.view(x, y, 5, 4).to_image(), picture(&answer.image).into_luma8(), "{number}");
    }
    assert_eq!(whole.get_pixel(0, 7).0, [255]);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncation_brings_images_nearer_to_each_other() {
    let images = images();
    let spread = async |truncation| {
        let request = GenerateRequest { truncation, ..of("plain-gan", 2, 64) };
        let answers = generate(&images, request).await.unwrap();
        let pictures: Vec<_> = answers.iter().map(|a| picture(&a.image).into_luma8()).collect();
        let mut sum = 0.0;
        for pair in pictures.windows(2) {
            sum += pair[0].iter().zip(pair[1].iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        }
        sum / (63.0 * 20.0)
    };
    let (whole, cut, tight) = (spread(None).await, spread(Some(1.0)).await, spread(Some(0.1)).await);
    assert!(tight < 0.3 * cut && cut < 0.8 * whole, "{tight} {cut} {whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_nobody_takes_further_are_not_made_further() {
    let engine = engine();
    let images = Images::new(engine.clone());
    let mut stream = images.generate(Request::new(of("plain-gan", 1, 64))).await.unwrap().into_inner();
    assert_eq!(stream.next().await.unwrap().unwrap().index, 0);
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let stats = engine.model("plain-gan", 0, &[]).unwrap().graph("generator").unwrap().stats();
    assert!(stats.rows <= 16, "{stats:?}");
    assert_eq!((stats.queued, stats.running), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_is_the_first_of_the_kind_and_an_engine_without_one_says_what_there_is() {
    let images = images();
    let answer = generate(&images, GenerateRequest::default()).await.unwrap();
    is(&answer[0].model, "class-gan");
    assert_eq!(answer.len(), 1);

    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let ager: Vec<_> = Repository::scan(&models)
        .unwrap()
        .latest()
        .filter(|p| p.name().as_str() == "tiny-ager")
        .cloned()
        .collect();
    let images = Images::new(Engine::load(&Config::default(), &ager).unwrap());
    let status = generate(&images, GenerateRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(status.message(), "no model \"of kind gan\"; there is: tiny-ager");
}
