//! The networks: each written once, over [`Ops`](crate::ops::Ops).

pub mod age_code;
pub mod age_judge;
pub mod ager;
pub mod autoencoder;
pub mod char_rnn;
pub mod classifier;
pub mod code_flow;
pub mod coupling_flow;
pub mod dcgan;
pub mod denoiser;
pub mod face_critic;
pub mod face_decoder;
pub mod face_encoder;
pub mod face_novelty;
pub mod face_sampler;
pub mod face_trunk;
pub mod face_vae;
mod image_decoder;
pub mod image_encoder;
pub mod inpainter;
mod residual;
pub mod sequence_autoencoder;
pub mod speech_planner;
pub mod unet;
pub mod vae;
pub mod voice;
pub mod wavenet;
