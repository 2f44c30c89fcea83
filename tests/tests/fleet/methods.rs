//! Every method that the API has, by its descriptors: the gateway leaves none out.

use atelier_proto::FILE_DESCRIPTOR_SET;
use atelier_tests::Fleet;
use atelier_tests::client::transport;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_prost::prost::Message;

/// What the fleet does not do on request, and says so.
const NOT_ON_REQUEST: [&str; 2] = ["RepositoryModelLoad", "RepositoryModelUnload"];

/// What comes first when a method is called with a message that says nothing.
async fn call(fleet: &Fleet, service: &str, method: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::with_origin(transport(), fleet.origin());
    grpc.ready().await.unwrap();
    let path = format!("/{service}/{method}").parse().unwrap();
    // On the wire all kinds of methods are streams, if of one message.
    let request = Request::new(tokio_stream::once(()));
    let answers = grpc.streaming(request, path, ProstCodec::<(), ()>::default()).await?;
    answers.into_inner().message().await.map(|_| ())
}

#[tokio::test]
async fn every_method_of_every_service_is_answered_through_the_gateway() {
    let fleet = Fleet::shared();
    let mut methods = 0;
    for file in FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let answer = call(&fleet, &name, method.name()).await;
                match answer.as_ref().map_err(Status::code) {
                    Err(Code::Unimplemented) => {
                        assert!(NOT_ON_REQUEST.contains(&method.name()), "{answer:?}")
                    }
                    // Where something is required, it is that which is missing.
                    Ok(()) | Err(Code::InvalidArgument) => {}
                    Err(_) => panic!("{name}/{}: {answer:?}", method.name()),
                }
                methods += 1;
            }
        }
    }
    assert!(methods >= 32, "{methods} methods");
}
