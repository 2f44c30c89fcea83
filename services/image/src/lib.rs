//! The image service: new images by generators, and faces at other ages.
//!
//! [`Images`] is `atelier.image.v1.ImageService` over the models that an [engine](atelier_engine::Engine) has
//! loaded. The `.proto` says what each method does, and what it refuses.
//!
//! * What an image is made from comes from the request's seed and the image's index alone, so that it is the
//!   same bytes alone and among others.
//! * Images of a stream are computed some at a time, the next ones when those before were taken: nothing
//!   runs on for a caller that is gone.
//! * A face that comes in goes to the model's own `novelty` graph first, which says how far it is from an
//!   aligned crop; too far is refused. It is neither kept nor logged.
//!
//! ```no_run
//! use atelier_image::Images;
//! use atelier_proto::image::v1::image_service_server::ImageServiceServer;
//!
//! # fn serve(engine: atelier_engine::Engine) {
//! let config = atelier_chassis::ServerConfig::default();
//! let images = ImageServiceServer::new(Images::new(engine)).max_decoding_message_size(config.max_message_bytes);
//! let server = atelier_chassis::Server::new("image", config).add_service(images);
//! # }
//! ```

mod age;
mod condition;
mod generate;
mod interpolate;
mod job;
mod latent;
mod service;

pub use service::Images;
