//! The networks: each written once, over [`Ops`](crate::ops::Ops).

pub mod autoencoder;
pub mod char_rnn;
pub mod dcgan;
pub mod denoiser;
pub mod sequence_autoencoder;
pub mod unet;
pub mod vae;
