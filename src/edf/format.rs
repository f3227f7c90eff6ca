//! The six variants of the format, told apart by the first eight bytes and the reserved field of the header.

/// Which variant a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// EDF: 16 bits, no annotations.
    Edf,
    /// EDF+C: 16 bits, annotations, every record follows the one before it without a gap.
    EdfPlusC,
    /// EDF+D: as EDF+C, but records may stand apart in time.
    EdfPlusD,
    /// BDF: 24 bits, no annotations.
    Bdf,
    /// BDF+C: 24 bits, annotations, continuous.
    BdfPlusC,
    /// BDF+D: 24 bits, annotations, discontinuous.
    BdfPlusD,
}

impl Format {
    /// The variant that a header's first eight bytes and reserved field speak of. `None`: neither EDF nor BDF.
    #[must_use]
    pub fn of(version: &[u8; 8], reserved: &str) -> Option<Format> {
        match version {
            b"0       " if reserved.starts_with("EDF+C") => Some(Format::EdfPlusC),
            b"0       " if reserved.starts_with("EDF+D") => Some(Format::EdfPlusD),
            b"0       " => Some(Format::Edf),
            b"\xFFBIOSEMI" if reserved.starts_with("BDF+C") => Some(Format::BdfPlusC),
            b"\xFFBIOSEMI" if reserved.starts_with("BDF+D") => Some(Format::BdfPlusD),
            b"\xFFBIOSEMI" => Some(Format::Bdf),
            _ => None,
        }
    }

    /// The first eight bytes of a file.
    #[must_use]
    pub const fn version(self) -> &'static [u8; 8] {
        if self.is_bdf() { b"\xFFBIOSEMI" } else { b"0       " }
    }

    /// What the reserved field begins with.
    #[must_use]
    pub const fn reserved(self) -> &'static str {
        match self {
            Format::Edf => "",
            Format::EdfPlusC => "EDF+C",
            Format::EdfPlusD => "EDF+D",
            Format::Bdf => "24BIT",
            Format::BdfPlusC => "BDF+C",
            Format::BdfPlusD => "BDF+D",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Edf => "EDF",
            Format::Bdf => "BDF",
            plus => plus.reserved(),
        }
    }

    /// Whether samples have 24 bits.
    #[must_use]
    pub const fn is_bdf(self) -> bool {
        matches!(self, Format::Bdf | Format::BdfPlusC | Format::BdfPlusD)
    }

    /// Whether one signal carries annotations.
    #[must_use]
    pub const fn is_plus(self) -> bool {
        !matches!(self, Format::Edf | Format::Bdf)
    }

    /// Whether records may stand apart in time (`+D`).
    #[must_use]
    pub const fn is_discontinuous(self) -> bool {
        matches!(self, Format::EdfPlusD | Format::BdfPlusD)
    }

    /// 2 or 3.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        if self.is_bdf() { 3 } else { 2 }
    }

    /// The smallest and the largest code that the sample's width can hold.
    #[must_use]
    pub const fn code_limits(self) -> (i32, i32) {
        if self.is_bdf() { (-(1 << 23), (1 << 23) - 1) } else { (-(1 << 15), (1 << 15) - 1) }
    }

    /// The label of the signal that carries annotations.
    #[must_use]
    pub const fn annotations_label(self) -> &'static str {
        if self.is_bdf() { "BDF Annotations" } else { "EDF Annotations" }
    }
}
