use atelier_chassis::models::RoleModels;
use atelier_proto::models::v1::model_service_server::ModelService;
use atelier_proto::models::v1::{GetModelRequest, ListModelsRequest};
use tonic::{Code, Request};

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_role_lists_its_models_with_what_answers_by_default() {
    let role = RoleModels::new(engine(), "codec");
    let list = async |kind: &str, role_name: &str| {
        let request = ListModelsRequest { kind: kind.into(), role: role_name.into() };
        let models = role.list_models(Request::new(request)).await.unwrap().into_inner().models;
        models.into_iter().map(|m| m.name).collect::<Vec<_>>()
    };
    assert_eq!(
        list("", "").await,
        [
            "colour-ae",
            "tiny-classifier",
            "tiny-dae",
            "tiny-inpainter",
            "tiny-segmenter",
            "tiny-telemetry",
            "tiny-vae"
        ]
    );
    assert_eq!(list("autoencoder", "codec").await, ["colour-ae", "tiny-classifier"]);
    assert!(list("", "text").await.is_empty());

    let get = |name: &str, version| Request::new(GetModelRequest { name: name.into(), version });
    let model = role.get_model(get("tiny-dae", 0)).await.unwrap().into_inner().model.unwrap();
    assert_eq!((model.version, model.role.as_str(), model.device.as_str()), (1, "codec", "cpu"));
    assert!(model.is_default);
    assert_eq!(model.graphs.len(), 2);
    for (name, version, code) in
        [("", 0, Code::InvalidArgument), ("x", 0, Code::NotFound), ("tiny-dae", 2, Code::NotFound)]
    {
        assert_eq!(role.get_model(get(name, version)).await.unwrap_err().code(), code, "{name}/{version}");
    }
}
