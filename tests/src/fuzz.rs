//! Fuzz targets: one function per decoder, driven by `tests/fuzz.rs` and by cargo-fuzz.
