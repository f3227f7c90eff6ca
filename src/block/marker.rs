//! An event: a trigger, an annotation of a replayed recording, a detection of a stage.

/// An event that falls on a frame of `raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The frame of `raw` it falls on.
    pub frame: u64,
    /// How long after that frame's instant it happened, in nanoseconds; less than one frame.
    pub offset_ns: i64,
    /// How long it lasted, where that is known, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// What happened.
    pub text: String,
}
