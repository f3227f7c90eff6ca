//! What is on the simulated bench: chips and how they are wired, the clock, the host's delays.

use super::faults::Planned;
use super::signal::Signal;

/// A model of the family. Its frame holds a status word and its channels, three bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Eight channels, frames of 27 bytes.
    Ads1299,
    /// Six channels, 21 bytes.
    Ads1299Six,
    /// Four channels, 15 bytes.
    Ads1299Four,
}

impl Model {
    /// Channels of the model.
    #[must_use]
    pub const fn n_channels(self) -> usize {
        match self {
            Model::Ads1299 => 8,
            Model::Ads1299Six => 6,
            Model::Ads1299Four => 4,
        }
    }

    /// Bytes of a frame.
    #[must_use]
    pub const fn frame_bytes(self) -> usize {
        3 + 3 * self.n_channels()
    }

    /// The five lower bits of register ID.
    pub(super) const fn id_bits(self) -> u8 {
        match self {
            Model::Ads1299 => 0x1E,
            Model::Ads1299Six => 0x1D,
            Model::Ads1299Four => 0x1C,
        }
    }
}

/// One chip.
#[derive(Debug, Clone)]
pub struct ChipSetup {
    /// Its model.
    pub model: Model,
    /// The three upper bits of register ID; 1 on the parts that were seen.
    pub revision: u8,
    /// Whether the master clock reaches the chip at all.
    pub clocked: bool,
    /// How far the chip's own clock is off the common one, where it has one of its own.
    pub ppm: f64,
    /// What the board drives into GPIO1 (bit 0) to GPIO4.
    pub gpio: u8,
    /// What its channels are connected to.
    pub electrodes: [Electrode; 8],
}

/// The two electrodes of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Electrode {
    /// The impedance of the positive side in ohms, series resistors included.
    pub ohm_p: f64,
    /// Of the negative side.
    pub ohm_n: f64,
    /// The positive side hangs in the air.
    pub off_p: bool,
    /// The negative one does.
    pub off_n: bool,
}

impl Default for Electrode {
    /// 5 kilo-ohms on either side.
    fn default() -> Electrode {
        Electrode { ohm_p: 5000.0, ohm_n: 5000.0, off_p: false, off_n: false }
    }
}

/// What is common to all chips of the board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Board {
    /// Analogue supply, AVSS is 0 V.
    pub avdd_v: f64,
    /// Digital supply.
    pub dvdd_v: f64,
    /// The reference.
    pub reference_v: f64,
    /// Whether it is outside the chips. Without it codes are at full scale until CONFIG3 switches the internal one on,
    /// and settle for 150 ms then.
    pub external_reference: bool,
    /// Temperature of the chips.
    pub temperature_c: f64,
    /// Lead-off currents, as a part of the nominal ones; 0.8 to 1.2 by the datasheet.
    pub lead_off_scale: f64,
    /// Gains are off by at most this part, each channel's by its own.
    pub gain_error_max: f64,
    /// Typical offset of a channel, each has its own.
    pub offset_uv: f64,
    /// Noise, as a part of what the datasheet gives.
    pub noise_scale: f64,
}

impl Default for Board {
    /// Typical by the datasheet.
    fn default() -> Board {
        Board {
            avdd_v: 5.0,
            dvdd_v: 3.3,
            reference_v: 4.5,
            external_reference: false,
            temperature_c: 30.0,
            lead_off_scale: 1.0,
            gain_error_max: 0.005,
            offset_uv: 60.0,
            noise_scale: 1.0,
        }
    }
}

impl Default for ChipSetup {
    fn default() -> ChipSetup {
        ChipSetup {
            model: Model::Ads1299,
            revision: 1,
            clocked: true,
            ppm: 0.0,
            gpio: 0,
            electrodes: [Electrode::default(); 8],
        }
    }
}

/// The chips behind one chip select: one, or a daisy chain with the chip nearest the host first.
#[derive(Debug, Clone, Default)]
pub struct SelectSetup {
    /// The SPI bus: DRDY of a chip rises with the first SCLK on its bus, whichever chip is selected.
    pub bus: usize,
    /// The chips.
    pub chips: Vec<ChipSetup>,
}

/// Where the master clock comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockSource {
    /// An oscillator on the board.
    #[default]
    External,
    /// The oscillator of this chip, once its CONFIG1 bit CLK_EN is set; until then the others have no clock.
    Chip(usize),
}

/// What RREG brings from the chips behind the first one of a chain (not stated by the datasheet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChainReadback {
    /// Their registers, each after the whole frame length of the chips before it.
    #[default]
    Delayed,
    /// Zeros.
    Zeros,
}

/// What a chip understands while it streams by itself (RDATAC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RdatacTakes {
    /// SDATAC and nothing else, as the datasheet demands of the host.
    #[default]
    OnlySdatac,
    /// RESET, START and STOP too: boards in the field are started this way.
    ResetAndStart,
}

/// Which control pins are wired to the host. RESET and PWDN are high where they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pins {
    /// START.
    pub start: bool,
    /// RESET.
    pub reset: bool,
    /// PWDN.
    pub power_down: bool,
}

/// How long things take on the host's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostDelays {
    /// From an edge to its hard interrupt, which takes the timestamp.
    pub interrupt_ns: u64,
    /// At most this much more, evenly spread.
    pub jitter_ns: u64,
    /// From the hard interrupt to the kernel's thread that makes the event.
    pub thread_ns: u64,
    /// From the event to the return of a waiting [`super::SimulatedWire`].
    pub wake_ns: u64,
    /// To take an event that is there already, and to find that there is none.
    pub read_ns: u64,
    /// Of a transfer, besides its bytes: half before them, half after.
    pub transfer_ns: u64,
}

impl Default for HostDelays {
    /// A quiet Pi 5, roughly.
    fn default() -> HostDelays {
        HostDelays {
            interrupt_ns: 2_000,
            jitter_ns: 0,
            thread_ns: 5_000,
            wake_ns: 8_000,
            read_ns: 1_000,
            transfer_ns: 10_000,
        }
    }
}

/// The bench. Take one of the ready ones and change what matters:
/// `Setup { signal: Signal::Counter, ..Setup::four_chip_daisy() }`.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The chip selects in the order of the driver's layout. Chips are counted through all of them.
    pub selects: Vec<SelectSetup>,
    /// Undefined bits between two chips of a chain: 0, or 1 as on the ADS1298.
    pub gap_bits: usize,
    /// What RREG brings from the chips further down a chain.
    pub readback: ChainReadback,
    /// What a streaming chip understands.
    pub rdatac_takes: RdatacTakes,
    /// Pins that the host holds.
    pub pins: Pins,
    /// The level of START where it is not wired to the host.
    pub start_tied_high: bool,
    /// Where the master clock comes from.
    pub clock: ClockSource,
    /// How far it is off 2.048 MHz.
    pub ppm: f64,
    /// The chip whose DRDY is wired to the host; `None` where none is.
    pub drdy_of: Option<usize>,
    /// What the host's input reads where no chip drives it.
    pub float: u8,
    /// For so long the supplies are not up, and then comes the power-on reset; 0 for a bench that is long up.
    pub powered_ns: u64,
    /// PWDN is low until the host sets it, where it is wired to the host.
    pub powered_down: bool,
    /// Supplies, reference, imperfections.
    pub board: Board,
    /// What the electrodes see.
    pub signal: Signal,
    /// Delays on the host's side.
    pub delays: HostDelays,
    /// What goes wrong. Faults of the run strike in every run anew.
    pub faults: Vec<Planned>,
    /// Of everything that is random.
    pub seed: u64,
    /// Runs begin only where [`super::Truth::arm`] says so; before that no fault strikes.
    pub run_by_hand: bool,
    /// How many notes [`super::Truth`] keeps while nobody takes them.
    pub notes_max: usize,
}

impl Default for Setup {
    /// One chip.
    fn default() -> Setup {
        Setup {
            selects: vec![SelectSetup { bus: 0, chips: vec![ChipSetup::default()] }],
            gap_bits: 0,
            readback: ChainReadback::Delayed,
            rdatac_takes: RdatacTakes::OnlySdatac,
            pins: Pins { start: true, reset: true, power_down: true },
            start_tied_high: false,
            clock: ClockSource::External,
            ppm: 0.0,
            drdy_of: Some(0),
            float: 0,
            powered_ns: 0,
            powered_down: false,
            board: Board::default(),
            signal: Signal::Counter,
            delays: HostDelays::default(),
            faults: Vec::new(),
            seed: 1,
            run_by_hand: false,
            notes_max: 65_536,
        }
    }
}

impl Setup {
    /// `n_chips` in a daisy chain behind one select.
    #[must_use]
    pub fn daisy(n_chips: usize) -> Setup {
        Setup { selects: vec![SelectSetup { bus: 0, chips: vec![ChipSetup::default(); n_chips] }], ..Setup::default() }
    }

    /// `n_chips`, each with a select of its own.
    #[must_use]
    pub fn cascade(n_chips: usize) -> Setup {
        let select = SelectSetup { bus: 0, chips: vec![ChipSetup::default()] };
        Setup { selects: vec![select; n_chips], ..Setup::default() }
    }

    /// Two daisy chains of `n_chips` each, on a bus each.
    #[must_use]
    pub fn two_daisies(n_chips: usize) -> Setup {
        let select = |bus| SelectSetup { bus, chips: vec![ChipSetup::default(); n_chips] };
        Setup { selects: vec![select(0), select(1)], ..Setup::default() }
    }

    /// The chain that 32 channels are made of.
    #[must_use]
    pub fn four_chip_daisy() -> Setup {
        Setup::daisy(4)
    }

    /// All chips, in the order they are counted in.
    pub fn chips(&self) -> impl Iterator<Item = &ChipSetup> {
        self.selects.iter().flat_map(|select| &select.chips)
    }
}
