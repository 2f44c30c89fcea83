//! Compiles the trainer's subset of the ONNX messages, for the graph that only the benchmark has.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = "../../trainer/proto";
    println!("cargo:rerun-if-changed={folder}/onnx.proto");
    prost_build::Config::new().compile_fds(protox::compile(["onnx.proto"], [folder])?)?;
    Ok(())
}
