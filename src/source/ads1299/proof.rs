//! Start-up that proves the hardware: every chip that can be asked is asked, every register is read back, DRDY is
//! timed, and every chip's sync nibble is seen over a hundred frames. What fails names the chip, what was found, what
//! was expected, and what to look at on the bench.

use super::board::{Board, Clock};
use super::control::{Control, command};
use super::fault::ProofError;
use super::layout::Layout;
use super::registers::{Model, N_REGISTERS, Registers, address, compared_bits, fixed_bits, is_writable};
use super::sync;
use super::waking::{POWER_ON_US, ask, identify, power_up, reset, who_answers};
use super::wire::{Pin, Wire, WireError};

/// After the reference was switched on (SBAS499C, "Power-Up Sequencing").
const REFERENCE_SETTLE_US: u64 = 150_000;

/// How often registers are written before a difference is a fault.
const WRITE_TRIES: usize = 3;

/// Edges over which the rate is measured.
const EDGES: usize = 200;

/// How far the measured rate may be from the nominal one: the internal oscillator is within 2.5 % over temperature
/// (SBAS499C, "Electrical Characteristics"); a crystal is far better, its board may still feed another frequency.
const RATE_TOLERANCE: f64 = 0.026;
const RATE_TOLERANCE_CRYSTAL: f64 = 0.001;

/// What start-up found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proof {
    /// Each chip's ID register; `None` where it cannot be asked.
    pub ids: Vec<Option<u8>>,
    /// What each chip's registers hold, read back where that is possible.
    pub registers: Vec<Registers>,
    /// Whether each chip's registers can be read.
    pub readable: Vec<bool>,
    /// Frames per second, by the edges.
    pub rate_hz: f64,
    /// The widest departure of an edge from its period, microseconds.
    pub jitter_us: f64,
    /// How far apart the first and the last chip select got START, microseconds; `None` where it is a pin, or there is one.
    pub start_skew_us: Option<f64>,
    /// Don't-care bits between chips of a row.
    pub gap_bits: usize,
    /// The SPI clock at which every nibble was right, as the controller makes it.
    pub spi_clock_hz: u32,
    /// Bits that were 1 in any status word of each chip.
    pub ones: Vec<u32>,
    /// The measurements of the self-test, where one was asked for.
    pub self_test: Option<super::self_test::SelfTest>,
}

/// Brings the chips up and proves them; they stand configured and not converting afterwards. `board` takes over what was
/// found out: gap bits and the SPI clock.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn prove(wire: &mut dyn Wire, board: &mut Board) -> Result<Proof, ProofError> {
    let mut control = Control { wire, board };
    if power_up(&mut control)? {
        control.wait_us(POWER_ON_US);
    }
    let (mut ids, mut readable) = identify(&mut control)?;
    let mut registers = configure(&mut control, &readable)?;
    let Edges { rate_hz, jitter_us, start_skew_us } = rate(&mut control)?;
    let (gap_bits, clock_hz) = sync::find(&mut control, rate_hz)?;
    board.spi_clock_hz = clock_hz;
    if gap_bits != board.layout.gap_bits {
        let models = board.layout.models.clone();
        board.layout = Layout::new(models, board.layout.topology, board.layout.selects.len(), gap_bits);
        // Chips down a row were asked where their answers do not stand.
        let mut control = Control { wire, board };
        (ids, readable) = ask(&mut control)??;
        registers = configure(&mut control, &readable)?;
    }
    let ones = sync::no_chip_is_left_over(wire, board, &readable)?;
    let self_test = if board.self_test {
        let mut control = Control { wire, board };
        Some(super::self_test::run(&mut control, rate_hz, &readable)?)
    } else {
        None
    };
    let spi_clock_hz = wire.effective_clock_hz(clock_hz);
    Ok(Proof { ids, registers, readable, rate_hz, jitter_us, start_skew_us, gap_bits, spi_clock_hz, ones, self_test })
}

/// Brings the chips back to their configuration without asking what is known: after a fault, on the running daemon. `proven`
/// says of every chip whether it came back; one that did not keeps none of the others from it. Those down a row that cannot
/// be asked are proven by their data.
///
/// # Errors
/// What is wrong with the first chip that did not come back; or a wire refused, and none did.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
pub(super) fn set_up_again(
    wire: &mut dyn Wire,
    board: &Board,
    registers: &[Registers],
    readable: &[bool],
    proven: &mut [bool],
) -> Result<(), ProofError> {
    let mut control = Control { wire, board };
    proven.fill(false);
    match bring_back(&mut control, registers, readable, proven) {
        Ok(first) => first.map_or(Ok(()), |(_, error)| Err(error)),
        Err(error) => {
            // In the middle of it: chips that gave their ID were not written, or not read back.
            proven.fill(false);
            Err(error)
        }
    }
}

/// The same; an error is a wire's, or that of chips none of which came back. Else the first that did not.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
fn bring_back(
    control: &mut Control<'_>,
    registers: &[Registers],
    readable: &[bool],
    proven: &mut [bool],
) -> Result<Option<(usize, ProofError)>, ProofError> {
    power_up(control)?;
    if !control.wire.has_pin(Pin::Start) {
        // What streams would not hear STOP.
        all(control, command::SDATAC)?;
        all(control, command::STOP)?;
    }
    reset(control)?;
    let mut first = who_answers(control, readable, proven)?;
    if first.is_some() {
        // A dip of the supply that made a chip fail set its power-on reset going, and that RESET came before its end.
        control.wait_us(POWER_ON_US);
        reset(control)?;
        first = who_answers(control, readable, proven)?;
    }
    if let (false, Some((_, error))) = (proven.contains(&true), first) {
        return Err(error);
    }
    switch_reference(control, registers)?;
    for (select, place) in control.board.layout.selects.iter().enumerate() {
        let mut chips = place.first_chip..place.first_chip + place.part_bits.len();
        if !chips.any(|chip| proven[chip]) {
            // It would hear what it must not, where it comes back at this very moment and streams.
            continue;
        }
        let difference = write_select(control, select, registers, readable)?;
        first = [first, difference].into_iter().flatten().min_by_key(|(chip, _)| *chip);
    }
    for (chip, proven) in proven.iter_mut().enumerate() {
        *proven = !readable[chip] || (*proven && answers_rightly(control, chip, registers)?);
    }
    Ok(first)
}

/// Whether all registers of `chip` are as wanted, its ID too.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
fn answers_rightly(control: &mut Control<'_>, chip: usize, wanted: &[Registers]) -> Result<bool, ProofError> {
    let found = control.read_all(chip).map_err(|error| ProofError::Wire { chip, error })?;
    let is_there = Model::of_id(found[address::ID]) == Some(control.board.layout.models[chip]);
    Ok(is_there && first_difference(control.board, chip, &wanted[chip], &found).is_none())
}

pub(super) fn of_select(control: &Control<'_>, select: usize, error: WireError) -> ProofError {
    ProofError::Wire { chip: control.board.layout.selects[select].first_chip, error }
}

pub(super) fn all(control: &mut Control<'_>, byte: u8) -> Result<(), ProofError> {
    (0..control.board.layout.selects.len())
        .try_for_each(|select| control.command(select, byte).map_err(|error| of_select(control, select, error)))
}

/// The reference first, because it needs time; then everything, read back and compared.
fn configure(control: &mut Control<'_>, readable: &[bool]) -> Result<Vec<Registers>, ProofError> {
    let n_chips = control.board.layout.n_chips();
    let wanted: Vec<Registers> = (0..n_chips).map(|chip| control.board.registers(chip)).collect();
    switch_reference(control, &wanted)?;
    write_all(control, &wanted, readable)?;
    let mut found = wanted;
    for (chip, registers) in found.iter_mut().enumerate() {
        if readable[chip] {
            *registers = control.read_all(chip).map_err(|error| ProofError::Wire { chip, error })?;
        }
    }
    Ok(found)
}

/// Every reset switches the internal reference off; it needs its time to come back.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
fn switch_reference(control: &mut Control<'_>, wanted: &[Registers]) -> Result<(), ProofError> {
    for select in 0..control.board.layout.selects.len() {
        let chip = control.board.layout.selects[select].first_chip;
        control
            .write(select, address::CONFIG3, &wanted[chip][address::CONFIG3..=address::CONFIG3])
            .map_err(|error| of_select(control, select, error))?;
    }
    control.wait_us(REFERENCE_SETTLE_US);
    Ok(())
}

/// Writes every register of every chip and compares what is read back.
pub(super) fn write_all(control: &mut Control<'_>, wanted: &[Registers], readable: &[bool]) -> Result<(), ProofError> {
    for select in 0..control.board.layout.selects.len() {
        if let Some((_, error)) = write_select(control, select, wanted, readable)? {
            return Err(error);
        }
    }
    Ok(())
}

/// Writes every register of the chips behind `select`, and again where what is read back differs; answers the first chip
/// that still does, and how.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
fn write_select(
    control: &mut Control<'_>,
    select: usize,
    wanted: &[Registers],
    readable: &[bool],
) -> Result<Option<(usize, ProofError)>, ProofError> {
    let first_chip = control.board.layout.selects[select].first_chip;
    let n_chips = control.board.layout.selects[select].part_bits.len();
    let mut difference = None;
    for _ in 0..WRITE_TRIES {
        let registers = &wanted[first_chip];
        for (first, last) in [(address::CONFIG1, address::LOFF_FLIP), (address::GPIO, address::CONFIG4)] {
            control
                .write(select, first, &registers[first..=last])
                .map_err(|error| of_select(control, select, error))?;
        }
        difference = None;
        for chip in (first_chip..first_chip + n_chips).filter(|chip| readable[*chip]) {
            let found = control.read_all(chip).map_err(|error| ProofError::Wire { chip, error })?;
            let differs = first_difference(control.board, chip, &wanted[chip], &found);
            difference = difference.or(differs.map(|error| (chip, error)));
        }
        if difference.is_none() {
            break;
        }
    }
    Ok(difference)
}

/// The first register of `chip` that is not as wanted, or whose fixed bits are wrong.
///
/// Real time: no allocation, no locks, no waiting, no logging.
fn first_difference(board: &Board, chip: usize, wanted: &Registers, found: &Registers) -> Option<ProofError> {
    let model = board.layout.models[chip];
    (0..N_REGISTERS).filter(|address| is_writable(*address)).find_map(|address| {
        let mask = compared_bits(address, wanted[address]) & model.present_bits(address);
        let (fixed_mask, fixed) = fixed_bits(address);
        let same = (wanted[address] ^ found[address]) & mask == 0 && found[address] & fixed_mask == fixed;
        (!same).then_some(ProofError::Register { chip, address, wrote: wanted[address], read: found[address] })
    })
}

/// How often the rate is measured before it is called wrong: an interrupt that comes late at either end is no wrong clock.
const RATE_TRIES: usize = 3;

/// What edges tell.
struct Edges {
    rate_hz: f64,
    jitter_us: f64,
    start_skew_us: Option<f64>,
}

/// Measures the rate, again where it is wrong.
fn rate(control: &mut Control<'_>) -> Result<Edges, ProofError> {
    for _ in 1..RATE_TRIES {
        match edges(control) {
            Err(ProofError::Rate { .. }) => {}
            result => return result,
        }
    }
    edges(control)
}

/// Converts for [`EDGES`] edges: DRDY is alive, and its rate is the one that was configured.
fn edges(control: &mut Control<'_>) -> Result<Edges, ProofError> {
    let gpio = |error| ProofError::Wire { chip: 0, error };
    let nominal_hz = control.board.rate_hz;
    let period_ns = 1e9 / nominal_hz;
    sync::drain(control.wire).map_err(gpio)?;
    let skew_ns = control.start().map_err(gpio)?.skew_ns;
    // Four periods and nine cycles until the first (tSETTLE); a tenth of a second more for a machine that is busy.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a second")]
    let patience_ns = 100_000_000 + (6.0 * period_ns) as u64;
    let (mut first, mut last, mut interrupts) = (None, 0, 0);
    let mut jitter_ns = 0.0_f64;
    let mut n_edges = 0;
    while n_edges < EDGES {
        let deadline_ns = control.wire.now_ns() + patience_ns;
        let Some(edge) = control.wire.wait_edge(deadline_ns).map_err(gpio)? else {
            control.stop().map_err(gpio)?;
            return Err(ProofError::NoEdges { n_edges });
        };
        match first {
            None => first = Some((edge.at_ns, edge.n_interrupts)),
            Some(_) => {
                let passed = f64::from(edge.n_interrupts.wrapping_sub(interrupts).max(1));
                let between_ns = edge.at_ns.saturating_sub(last) as f64 / passed;
                jitter_ns = jitter_ns.max((between_ns - period_ns).abs());
            }
        }
        (last, interrupts) = (edge.at_ns, edge.n_interrupts);
        n_edges += 1;
    }
    control.stop().map_err(gpio)?;
    let (first_ns, first_interrupts) = first.unwrap_or((0, 0));
    let rate_hz = f64::from(interrupts.wrapping_sub(first_interrupts)) * 1e9 / (last - first_ns).max(1) as f64;
    let tolerance = if control.board.clock == Clock::External { RATE_TOLERANCE_CRYSTAL } else { RATE_TOLERANCE };
    if (rate_hz / nominal_hz - 1.0).abs() <= tolerance {
        let start_skew_us = (skew_ns > 0).then_some(skew_ns as f64 / 1e3);
        return Ok(Edges { rate_hz, jitter_us: jitter_ns / 1e3, start_skew_us });
    }
    Err(ProofError::Rate { rate_hz, nominal_hz, tolerance })
}
