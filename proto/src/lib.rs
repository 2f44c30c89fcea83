//! Protocol buffers of the Atelier fleet: generated types and the descriptor set.
//!
//! The `.proto` files beside this crate are the API and its documentation; what is here is generated
//! from them. One module a package and version:
//!
//! ```
//! use atelier_proto::codec::v1::{DenoiseRequest, Image, ImageFormat};
//!
//! let request = DenoiseRequest {
//!     image: Some(Image { data: vec![1, 2, 3].into(), format: ImageFormat::Unspecified.into() }),
//!     sigma: Some(0.2),
//!     ..DenoiseRequest::default()
//! };
//! assert!(request.model.is_empty(), "the default model");
//! ```

/// Speech, sample by sample: `AudioService`.
pub mod audio {
    /// Version 1 of `atelier.audio`.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("atelier.audio.v1");
    }
}

/// Images to codes and back: `CodecService`.
pub mod codec {
    /// Version 1 of `atelier.codec`.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("atelier.codec.v1");
    }
}

/// New images, and faces at other ages: `ImageService`.
pub mod image {
    /// Version 1 of `atelier.image`.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("atelier.image.v1");
    }
}

/// Raw tensors by the Open Inference Protocol: `GRPCInferenceService`. The package has no version of its own: its
/// names are those of the public specification.
#[allow(missing_docs, clippy::all)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// What the fleet serves: `ModelService`.
pub mod models {
    /// Version 1 of `atelier.models`.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("atelier.models.v1");
    }
}

/// Text, character by character: `TextService`.
pub mod text {
    /// Version 1 of `atelier.text`.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("atelier.text.v1");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of every file above with its imports and comments;
/// what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/atelier.descriptors.bin"));
