//! The codec service: encoding, denoising and sampling of images.

mod picture;
mod walk;
