//! Reflection, v1 and v1alpha: tools still in use speak only the one or the other.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

/// What the path of each reflection method starts with, in both versions.
pub(crate) const PATH_PREFIX: &str = "/grpc.reflection.";

/// The names of both versions.
pub(crate) const V1: &str = "grpc.reflection.v1.ServerReflection";
pub(crate) const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Adds both versions to the routes. They list `services` and resolve what is in the descriptor sets.
pub(crate) fn add(routes: Routes, descriptor_sets: &[&[u8]], services: &[String]) -> Result<Routes, Error> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, without which tools show them as bytes.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(crate::health::SERVICE);
        let builder = descriptor_sets
            .iter()
            .fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set));
        services.iter().fold(builder, |builder, service| builder.with_service_name(service.as_str()))
    };
    let v1 = builder().with_service_name(V1).build_v1()?;
    let v1alpha = builder().with_service_name(V1ALPHA).build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}
