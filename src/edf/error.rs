//! What can be wrong with a header, and where: byte, field, signal.

use std::fmt;

/// Where in a header something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The field's name, as the specification has it.
    pub field: &'static str,
    /// The signal it belongs to, counted from 0; `None` in the fixed part.
    pub signal: Option<usize>,
    /// The byte of the file at which it stands.
    pub at: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal {
            None => write!(f, "byte {}, {}", self.at, self.field),
            Some(signal) => write!(f, "byte {}, {} of signal {signal}", self.at, self.field),
        }
    }
}

/// Why a header cannot be read, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EdfError {
    /// The operating system refused.
    #[error("cannot read or write the header")]
    Io(#[source] std::io::Error),
    /// The file is shorter than its header.
    #[error("the file ends at byte {found} within the header, which should have {expected} bytes")]
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// The first eight bytes are neither EDF's nor BDF's.
    #[error("byte 0, version: neither EDF (`0` and seven spaces) nor BDF (255 and `BIOSEMI`)")]
    NotEdf,
    /// A byte outside 32 to 126.
    #[error("{place}: byte {byte:#04x} is not printable ASCII, only 32 to 126 are allowed")]
    NotAscii {
        /// Where; `at` is the very byte.
        place: Place,
        /// What was found.
        byte: u8,
    },
    /// A field that should hold a number holds something else.
    #[error("{place}: `{text}` is not a number such as 1, -0.5 or 250.25")]
    NotANumber {
        /// Where.
        place: Place,
        /// What was found.
        text: String,
    },
    /// A number that makes no sense.
    #[error("{place}: `{text}` must be {must}")]
    OutOfRange {
        /// Where.
        place: Place,
        /// What was found.
        text: String,
        /// What would be right.
        must: String,
    },
    /// The data records are larger than any reader should be asked to hold.
    #[error("data records of {bytes} bytes (sum of samples per record), the most that is read is {max}")]
    RecordTooLarge {
        /// What the header says.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// A text or number that its field cannot hold.
    #[error("{place}: `{text}` does not fit exactly into {width} characters")]
    DoesNotFit {
        /// Where.
        place: Place,
        /// What was to be written.
        text: String,
        /// Characters there are.
        width: usize,
    },
}
