//! The file format: headers and annotations of EDF, EDF+, BDF and BDF+, both ways. Pure: it knows bytes and
//! numbers, no files, no clocks, no daemon. The recorder writes with it; the replay source and `verify` read; `convert`
//! does both.
//!
//! A file is a header of `256 * (n_signals + 1)` ASCII bytes, then data records of equal length. A record holds the
//! samples of signal 0, then those of signal 1, and so on (channel-major), two bytes each in EDF, three in BDF,
//! little-endian two's complement. In the `+` variants one signal carries text instead of samples: annotations.
//!
//! Sources: EDF (Kemp et al. 1992), EDF+ (Kemp and Olivan 2003), <https://www.edfplus.info/specs/>; BDF is the same
//! with 24 bits (BioSemi).
//!
//! What is deliberately absent: opening files, seeking, scaling to physical values. Readers do that, each its own way.

mod annotation;
mod decimal;
mod error;
mod format;
mod header;
mod lists;
mod read;
mod samples;
mod write;

pub use annotation::{Annotation, TEXT_BYTES_MAX, TalArea, TalError, annotation_text, parse_tals};
pub use decimal::{exact_in, format_ns, nearest_in, parse_ns};
pub use error::{EdfError, Place};
pub use format::Format;
pub use header::{Header, RECORD_BYTES_MAX, SIGNALS_MAX, STATUS_LABEL, STATUS_UNIT, Signal};
pub use lists::{List, Lists};
pub use samples::{decode, encode};
