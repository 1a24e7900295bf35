//! Owns the manifest: what an artifact is, how it is fed, and where it comes from.
