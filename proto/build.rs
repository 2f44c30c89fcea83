//! Compiles the `.proto` sources in pure Rust, so that nobody needs `protoc`.

use std::error::Error;
use std::path::PathBuf;

use protox::Compiler;

const SOURCES: [&str; 6] = [
    "atelier/audio/v1/audio.proto",
    "atelier/codec/v1/codec.proto",
    "atelier/image/v1/image.proto",
    "atelier/models/v1/models.proto",
    "atelier/text/v1/text.proto",
    "inference/inference.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=atelier");
    println!("cargo:rerun-if-changed=inference");

    let mut compiler = Compiler::new(["."])?;
    // Imports, so that reflection can resolve every type; source info, so that comments become rustdoc.
    compiler.include_imports(true).include_source_info(true).open_files(SOURCES)?;

    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("atelier.descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .bytes(".atelier.codec.v1.Image.data")
        .bytes(".atelier.audio.v1.Chunk.data")
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
