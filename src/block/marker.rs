//! An event: a trigger, an annotation of a replayed recording, a detection of a stage.

/// An event that falls on a frame of `raw`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marker {
    /// The frame of `raw` it falls on.
    pub frame: u64,
    /// How long after that frame's instant it happened, in nanoseconds; less than one frame.
    pub offset_ns: i64,
    /// How long it lasted, where that is known, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// What happened.
    pub text: String,
    /// Who told of it.
    pub origin: Origin,
    /// How far the event may be from its frame, in nanoseconds; `None`: on exactly that frame, or nobody knows.
    pub uncertainty_ns: Option<u64>,
    /// The sender's clock when it was sent, in nanoseconds since 1970, where it said so.
    pub sent_utc_ns: Option<u64>,
}

/// Who told of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// A program, over HTTP.
    #[default]
    Http,
    /// A person, on the page.
    Page,
    /// A converter's trigger input.
    Trigger,
    /// The source, of what it noticed itself.
    Source,
    /// An annotation of the recording that is replayed.
    Replay,
}

impl Origin {
    /// As tables have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Origin::Http => "http",
            Origin::Page => "page",
            Origin::Trigger => "trigger",
            Origin::Source => "source",
            Origin::Replay => "replay",
        }
    }
}
