//! Classes of real pictures, told by the shipped model, and codes that are not drawn.

use atelier_proto::codec::v1::{ClassifyRequest, Code, DecodeRequest, EncodeRequest, SampleRequest};
use atelier_tests::Fleet;
use atelier_tests::client::blamed;
use atelier_tests::models::of_kind;
use atelier_tests::pictures::{clothes, file, labelled, message};
use tonic::Code as Grpc;

const MODEL: &str = "fashion-ae";

#[tokio::test]
async fn most_clothes_are_told_by_their_class_and_the_chances_of_all_classes_add_up_to_one() {
    let fleet = Fleet::shared();
    let labels = of_kind("autoencoder")[0].labels();
    let pictures = labelled();
    let mut right = 0;
    for (path, class) in &pictures {
        let image = file(std::fs::read(path).unwrap());
        let request = ClassifyRequest { image, ..Default::default() };
        let some = fleet.codec().classify(request.clone()).await.unwrap().into_inner();
        let request = ClassifyRequest { top: Some(10), ..request };
        let all = fleet.codec().classify(request).await.unwrap().into_inner();
        assert_eq!(all.model.unwrap().name, MODEL);
        assert_eq!(some.guesses, all.guesses[..3], "three where no number is said");
        assert!(all.guesses.is_sorted_by(|a, b| a.probability >= b.probability), "{:?}", all.guesses);
        assert!(all.guesses.iter().all(|guess| guess.label == labels[guess.class_id as usize]));
        let sum: f64 = all.guesses.iter().map(|guess| f64::from(guess.probability)).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        right += usize::from(all.guesses[0].label == *class);
    }
    // Of the whole test split it is 93 in 100.
    assert!(right + 2 >= pictures.len(), "{right} of {}", pictures.len());
}

#[tokio::test]
async fn what_no_class_can_be_told_of_is_refused_through_the_gateway() {
    let fleet = Fleet::shared();
    let good = ClassifyRequest { image: message(&clothes()[0]), ..Default::default() };
    for (request, field) in [
        (ClassifyRequest::default(), "image"),
        (ClassifyRequest { image: file("no picture"), ..good.clone() }, "image.data"),
        (ClassifyRequest { fit: 9, ..good.clone() }, "fit"),
        (ClassifyRequest { top: Some(0), ..good.clone() }, "top"),
        (ClassifyRequest { top: Some(11), ..good.clone() }, "top"),
        (ClassifyRequest { model: "fashion-vae".into(), ..good.clone() }, "model"),
    ] {
        assert_eq!(blamed(&fleet.codec().classify(request).await.unwrap_err()), field);
    }
    let unknown = ClassifyRequest { version: 999, ..good };
    assert_eq!(fleet.codec().classify(unknown).await.unwrap_err().code(), Grpc::NotFound);
}

#[tokio::test]
async fn a_code_of_64_numbers_without_a_variance_is_all_that_there_is() {
    let fleet = Fleet::shared();
    let model = || MODEL.to_owned();
    let encode = EncodeRequest { model: model(), image: message(&clothes()[0]), ..Default::default() };
    let answer = fleet.codec().encode(encode.clone()).await.unwrap().into_inner();
    assert_eq!((answer.log_variance.len(), &answer.sample, answer.seed), (0, &None, 0));
    let mut values = answer.mean.unwrap().values;
    assert!(values.len() == 64 && values.iter().all(|x| x.is_finite()), "{values:?}");

    // Nothing can be drawn where there is no distribution.
    let drawn = fleet.codec().encode(EncodeRequest { sample: true, ..encode }).await.unwrap_err();
    assert_eq!(blamed(&drawn), "sample");
    let sampled = fleet.codec().sample(SampleRequest { model: model(), ..Default::default() }).await;
    assert_eq!(blamed(&sampled.unwrap_err()), "model");
    values.pop();
    let short = DecodeRequest { model: model(), code: Some(Code { values }), ..Default::default() };
    assert_eq!(blamed(&fleet.codec().decode(short).await.unwrap_err()), "code.values");
}
