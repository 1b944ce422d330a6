//! Simulation, end-to-end tests, fuzz targets and benches. Nothing imports it.
