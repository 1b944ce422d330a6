//! lying disk
