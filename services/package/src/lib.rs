//! The model package format: read, verify, write.
