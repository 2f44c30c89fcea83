//! Compiles our subset of the ONNX messages, and tells the loader where libtorch lies.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/onnx.proto");
    prost_build::Config::new().compile_fds(protox::compile(["onnx.proto"], ["proto"])?)?;

    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    Ok(())
}
