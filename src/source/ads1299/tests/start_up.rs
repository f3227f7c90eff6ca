//! Start-up against benches on which something is wrong: each message names what was found and what to look at.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::rig::rig;
use crate::config::{AutoOr, Document, Mistakes};
use crate::source::ads1299::board_of;
use crate::source::ads1299::chain::{Ads1299, Patience};
use crate::source::ads1299::simulated::{ChainReadback, ChipSetup, Fault, Model, Planned, Setup, SimulatedWire, When};
use crate::source::ads1299::simulation::Simulation;
use crate::source::ads1299::wire::{Edge, Pin, Shape, Wire, WireError};
use crate::source::{Opening, Source, SourceError};

/// Longer than any start-up tries.
const NEVER_NS: u64 = 3_600_000_000_000;

fn refused(text: &str, change: impl FnOnce(&mut Setup)) -> String {
    match rig(text, change) {
        Ok(_) => panic!("{text}: proven, although something is wrong"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn no_rule_of_the_datasheet_is_broken_on_any_board() {
    for (text, pins) in [
        ("", true),
        ("", false),
        ("topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000\nclock = \"first_chip\"", false),
        ("read_mode = \"rdatac\"", true),
        ("read_mode = \"rdatac\"", false),
        ("read_mode = \"rdatac\"\nn_chips = 1\nclock = \"internal\"\nself_test = true\nrate_hz = 1000", false),
        ("n_chips = 1\nclock = \"internal\"\nself_test = true\nrate_hz = 1000", false),
    ] {
        // The rig looks at the end.
        rig(text, |setup| (setup.pins.start, setup.pins.reset) = (pins, pins)).unwrap();
    }
}

#[test]
fn registers_of_a_row_are_read_past_the_bits_between_its_chips() {
    for text in ["", "gap_bits = 1", "n_chips = 8\nrate_hz = 1000"] {
        let mut rig = rig(text, |setup| setup.gap_bits = 1).unwrap();
        let n_chips = rig.source.board.layout.n_chips();
        for chip in 0..n_chips {
            assert_eq!(rig.about["chips"][chip]["registers_read_back"], true, "{text}, {chip}: {}", rig.about);
            assert_eq!(rig.registers(chip)[0x05], rig.source.board.registers(chip)[0x05], "{text}, {chip}");
        }
    }
}

/// Wires on which the daemon is asked to stop during step `at`.
struct Asked {
    wire: SimulatedWire,
    stop: Arc<AtomicBool>,
    n_steps: Arc<AtomicU64>,
    at: u64,
    /// Where each chip select's wire leads.
    selects: [usize; 4],
}

impl Asked {
    fn step(&self) {
        if self.n_steps.fetch_add(1, Ordering::Relaxed) == self.at {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl Wire for Asked {
    fn now_ns(&self) -> u64 {
        self.wire.now_ns()
    }
    fn wait_until(&mut self, at_ns: u64) {
        self.wire.wait_until(at_ns);
    }
    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        self.step();
        self.wire.transfer(Shape { select: self.selects[shape.select], ..shape }, tx, rx)
    }
    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        self.step();
        self.wire.wait_edge(deadline_ns)
    }
    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        self.wire.set_pin(pin, high)
    }
    fn has_pin(&self, pin: Pin) -> bool {
        self.wire.has_pin(pin)
    }
    fn effective_clock_hz(&self, clock_hz: u32) -> u32 {
        self.wire.effective_clock_hz(clock_hz)
    }
    fn reopen(&mut self) -> Result<(), WireError> {
        self.wire.reopen()
    }
}

/// Proves the board of a table `[source]` over such wires; how many steps it took, besides.
fn prove_asked(text: &str, at: u64, selects: [usize; 4]) -> (Result<(), SourceError>, u64) {
    let text = format!("[source]\nkind = \"ads1299\"\n{text}");
    let board = board_of(&Document::parse("rig.toml", &text).unwrap(), &mut Mistakes::new("rig.toml")).unwrap();
    let wire = SimulatedWire::on_virtual_clock(&Simulation::counter().setup(&board));
    let (stop, n_steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asked = Asked { wire, stop: Arc::clone(&stop), n_steps: Arc::clone(&n_steps), at, selects };
    let opening = Opening { base: Path::new(""), block_frames: AutoOr::Auto };
    let mut source =
        Ads1299::new(board, Box::new(move || Ok(Box::new(asked) as Box<dyn Wire>)), Patience::Forever, &opening);
    (source.prove(&stop).map(|_| ()), n_steps.load(Ordering::Relaxed))
}

#[test]
fn two_chip_selects_that_reach_one_chip_are_named() {
    let cascade = "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000";
    let proven = |selects| prove_asked(cascade, u64::MAX, selects).0.map_err(|error| error.to_string());
    assert_eq!(proven([0, 1, 2, 3]), Ok(()));
    let error = proven([0, 1, 1, 3]).unwrap_err();
    assert!(error.contains("chips 2 and 3 gave the same codes in every one of 100 frames"), "{error}");
}

#[test]
fn asked_to_stop_it_gives_up_at_the_next_step_wherever_it_is() {
    // The self-test takes the last 20 000 steps or so.
    for at in [0, 1, 20, 100, 300, 700, 1500, 6000, 20_000] {
        let (proven, n_steps) = prove_asked("self_test = true\n", at, [0, 1, 2, 3]);
        assert!(proven.is_err(), "asked at step {at}, proven all the same");
        assert_eq!(n_steps, at + 1, "steps after it was asked to stop");
    }
}

#[test]
fn a_board_without_power() {
    assert_eq!(
        refused("", |setup| setup.powered_ns = NEVER_NS),
        "ads1299: chip 1: its ID register reads 0x00, expected 0x1E (ADS1299) in the lower five bits: nothing drives DOUT: look \
         at power, at the clock (CLKSEL), at RESET and PWDN, and at the chip select; or the chip streams and heard no SDATAC: look at \
         DIN"
    );
}

#[test]
fn a_board_whose_supply_comes_up_late_is_waited_for() {
    let rig = rig("", |setup| setup.powered_ns = 600_000_000);
    assert!(rig.is_ok(), "{:?}", rig.err());
}

#[test]
fn miso_that_floats() {
    let fault = Fault::Float { select: 0, level: 0xFF, n: u64::MAX };
    let text = refused("", |setup| setup.faults = vec![Planned { when: When::PowerUp, fault }]);
    assert!(text.contains("reads 0xFF") && text.contains("MISO floats high"), "{text}");
}

#[test]
fn another_member_of_the_family() {
    let text = refused("", |setup| setup.selects[0].chips = vec![four_channels(); 4]);
    assert!(text.contains("chip 1: its ID register reads 0x3C") && text.contains("set `model`"), "{text}");
}

fn four_channels() -> ChipSetup {
    ChipSetup { model: Model::Ads1299Four, ..ChipSetup::default() }
}

#[test]
fn fewer_chips_than_configured() {
    for readback in [ChainReadback::Delayed, ChainReadback::Zeros] {
        let text = refused("", |setup| {
            setup.selects[0].chips.truncate(3);
            setup.readback = readback;
        });
        assert!(text.contains("chip 4") && text.contains("fewer chips than n_chips"), "{text}");
    }
}

#[test]
fn more_chips_than_configured() {
    let text = refused("n_chips = 3", |setup| setup.selects[0].chips.push(ChipSetup::default()));
    assert!(text.contains("more chips than n_chips = 3"), "{text}");
    // With a bit between them.
    let text = refused("n_chips = 3\ngap_bits = 1", |setup| setup.selects[0].chips.push(ChipSetup::default()));
    assert!(text.contains("more chips than n_chips = 3"), "{text}");
    // A row where each select should have one chip, with and without such a bit; and one chip that is two.
    for gap_bits in [0, 1] {
        for (text, select) in [(CASCADE, 0), (CASCADE, 3), ("n_chips = 1", 0)] {
            let text = refused(text, |setup| {
                setup.gap_bits = gap_bits;
                setup.selects[select].chips.push(ChipSetup::default());
            });
            assert!(text.contains("more chips than n_chips = "), "{gap_bits}: {text}");
        }
    }
}

const CASCADE: &str = "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000";

#[test]
fn a_look_behind_a_chip_leaves_its_registers_as_they_should_be() {
    for text in [CASCADE, "n_chips = 1", "spi = [\"0.0\", \"1.0\"]"] {
        let mut rig = rig(text, |_| {}).unwrap();
        let first = if text == CASCADE { 3 } else { 0 };
        assert_eq!(rig.registers(first)[0x01], rig.source.board.registers(first)[0x01], "{text}");
    }
}

#[test]
fn a_thread_that_is_late_is_no_fault_of_the_wires() {
    let rdatac = "read_mode = \"rdatac\"";
    let text = refused(rdatac, |setup| setup.delays.wake_ns = 200_000);
    assert!(text.contains("the thread was late: 400 of 400 reads ended after the next conversion"), "{text}");
    // Late now and then, by its interrupt: those frames are read again. A frame takes 3.5 of 4 ms here.
    let slow = "read_mode = \"rdatac\"\nrate_hz = 250\nspi_clock_hz = 250000";
    for jitter_us in [400, 540, 580, 620] {
        let fault = Fault::EdgeJitter { jitter_ns: jitter_us * 1000, n: 1_000_000 };
        let rig = rig(slow, |setup| setup.faults = vec![Planned { when: When::PowerUp, fault }]);
        assert!(rig.is_ok(), "{jitter_us}: {:?}", rig.err());
    }
    // Where a command asks for each frame a late read tears nothing.
    assert!(rig("", |setup| setup.delays.wake_ns = 200_000).is_ok());
}

#[test]
fn drdy_on_the_wrong_pin() {
    let text = refused("", |setup| setup.drdy_of = None);
    assert!(text.contains("DRDY gave 0 edges") && text.contains("drdy_line"), "{text}");
}

#[test]
fn a_chip_without_clock() {
    let text = refused("", |setup| setup.selects[0].chips[0].clocked = false);
    assert!(text.contains("chip 1") && text.contains("clock"), "{text}");
    let text = refused("", |setup| setup.selects[0].chips[2].clocked = false);
    assert!(text.contains("chip 3"), "{text}");
}

#[test]
fn a_crystal_of_another_frequency() {
    let text = refused("", |setup| setup.ppm = 20_000.0);
    assert!(text.contains("DRDY falls 4080") && text.contains("expected 4000 within 0.1 %"), "{text}");
    assert!(rig("n_chips = 1\nclock = \"internal\"", |setup| setup.ppm = 20_000.0).is_ok());
}

#[test]
fn chips_down_a_row_that_do_not_show_their_registers_are_proven_by_their_data() {
    let mut rig = rig("", |setup| setup.readback = ChainReadback::Zeros).unwrap();
    crate::source::Source::start(&mut rig.source);
    rig.run_until(1000);
    assert_eq!((rig.n_delivered, rig.n_flagged), (1000, 0));
}

#[test]
fn a_chip_whose_registers_cannot_be_asked_must_echo_what_is_driven_out() {
    let text = refused("high_pins = [4]", |setup| {
        setup.readback = ChainReadback::Zeros;
        let fault = Fault::WritesDropped { chip: 2, address: 0x14, n_writes: u32::MAX };
        setup.faults = vec![Planned { when: When::PowerUp, fault }];
    });
    assert!(text.contains("chip 3: its GPIO pins read 0x0 in 100 of 100 frames, but 0x8 is driven out"), "{text}");
}

#[test]
fn the_power_on_reset_is_over_before_reset_is_given() {
    // The rig looks at the end: RESET in it would be a rule broken.
    let rig = rig("", |setup| setup.powered_down = true);
    assert!(rig.is_ok(), "{:?}", rig.err());
}

#[test]
fn chips_that_were_reset_too_early_are_reset_again() {
    // Whenever the supply comes up, and whether RESET is a pin or a command: in the end one RESET was heard, or the rig would
    // have seen a chip be spoken to without.
    for pin in [true, false] {
        for ms in [1, 20, 40, 60, 100, 200, 333, 1_000] {
            let rig = rig("", |setup| {
                setup.powered_ns = ms * 1_000_000;
                (setup.pins.reset, setup.pins.power_down) = (pin, false);
            });
            assert!(rig.is_ok(), "{ms} ms: {:?}", rig.err());
        }
    }
}
