//! The lossless recorder: BDF+C files, each with its JSON sidecar.
