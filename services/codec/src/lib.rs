//! The codec service: encoding, denoising and sampling of images.
