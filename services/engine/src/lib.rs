//! Runs packages on ONNX Runtime: sessions, batcher, decoder, compute plan.
