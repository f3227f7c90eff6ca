//! The converter driver's wires on Linux's real interfaces, in the rig: each test runs itself once more as a program of
//! its own, with the rig's library preloaded, and compares what it saw with what the rig did.

use std::path::PathBuf;
use std::process::Command;

use biosigd::rt::now_ns;
use biosigd::source::ads1299::bus::{self, BusError, ChipChoice, LinuxSettings, LinuxWire};
use biosigd::source::ads1299::wire::{Edge, Pin, Shape, Wire, WireError};
use biosigd::source::synthetic::counter_code;

#[path = "common/allocations.rs"]
mod allocations;
#[path = "common/rig.rs"]
mod rig;

use rig::Rig;

/// The board of `rig.toml` when it says nothing else.
fn settings() -> LinuxSettings {
    LinuxSettings {
        selects: vec![(0, 0)],
        chip: ChipChoice::Auto,
        drdy: 17,
        witness: Some(4),
        start: Some(22),
        reset: Some(27),
        power_down: None,
    }
}

/// Which part of `inside` the program in the rig is to run.
const PART: &str = "BIOSIGD_RIG_PART";

/// Runs a part in a rig with these settings and a wire from MOSI to MISO for a board; returns what the rig knows.
fn run_inside(part: &str, rig_settings: &str) -> serde_json::Value {
    run_with_board(part, &format!("{rig_settings}[board]\nkind = \"loopback\"\n"))
}

fn run_with_board(part: &str, rig_settings: &str) -> serde_json::Value {
    let rig = Rig::new(rig_settings);
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "--ignored", "--nocapture", "runs_one_part_in_the_rig"]).env(PART, part);
    let output = rig.preload(&mut command).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
    rig.truth()
}

fn count(truth: &serde_json::Value, name: &str) -> u64 {
    truth[name].as_u64().unwrap_or_else(|| panic!("{name} in {truth:#}"))
}

#[test]
fn edges_come_with_time_and_numbers_and_cost_no_memory() {
    let truth = run_inside("edges_and_transfers", "");
    assert_eq!((count(&truth, "transfers"), count(&truth, "transfers_in_wrong_mode")), (4001, 0));
}

#[test]
fn chips_answer_and_their_frames_hold_the_conversion_of_their_edge() {
    let truth = run_with_board("chips", "");
    let board = |name: &str| truth["board"][name].as_u64().unwrap_or_else(|| panic!("{truth:#}"));
    assert!(board("reads") == 4000 && board("violations") == 0, "{truth:#}");
}

#[test]
fn edges_that_the_kernel_merges_show_in_the_count_of_interrupts() {
    let truth = run_inside("merged_edges", "[faults]\ncoalesce_every = 10\ncrosstalk = [4, 7]\n");
    assert!(count(&truth, "edges_coalesced") >= 100, "{truth:#}");
}

#[test]
fn without_a_witness_merged_edges_show_in_time_alone() {
    run_inside("merged_edges_without_a_witness", "[faults]\ncoalesce_every = 10\n");
}

#[test]
fn edges_that_meet_in_the_latch_show_in_time_alone() {
    run_inside("latched_edges", "[faults]\nlatch_every = 10\n");
}

#[test]
fn a_queue_that_overflows_shows_in_both_counts() {
    let truth = run_inside("overflow", "");
    let n_dropped = count(&truth, "events_overflowed");
    assert!(n_dropped >= 900, "{truth:#}");
}

#[test]
fn transfers_fail_with_their_reason_and_edges_count_on_after_a_reopening() {
    run_inside("failing_transfers", "[faults]\nspi_fail_every = 3\n");
    run_inside("timeouts", "[faults]\nspi_fail_every = 1\nspi_errno = 110\n");
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    run_inside(
        "refusals",
        "spi = [\"0.0\", \"1.0\"]\n[faults]\ndenied = [\"/dev/spidev1.0\"]\nbusy = [[5, \"w1-gpio\"], [8, \"spi0 CS0\"]]\n",
    );
    run_inside("no_chip_of_a_pi", "chips = [[\"gpiochip0\", \"INT34C5:00\"]]\n");
    run_inside("no_chip_at_all", "chips = []\n");
    run_inside("denied_chip", "[faults]\ndenied = [\"/dev/gpiochip11\"]\n");
    run_inside("small_bufsiz", "[files]\n\"/sys/module/spidev/parameters/bufsiz\" = \"128\\n\"\n");
    run_inside("another_machine", "chips = [[\"gpiochip0\", \"pinctrl-bcm2711\"]]\n");
}

#[test]
#[ignore = "is started in the rig by the other tests"]
fn runs_one_part_in_the_rig() {
    match std::env::var(PART).unwrap_or_default().as_str() {
        "" => println!("not in the rig"),
        "edges_and_transfers" => inside::edges_and_transfers(),
        "chips" => inside::chips(),
        "merged_edges" => inside::merged_edges(),
        "merged_edges_without_a_witness" => inside::merged_edges_without_a_witness(),
        "latched_edges" => inside::latched_edges(),
        "overflow" => inside::overflow(),
        "failing_transfers" => inside::failing_transfers(),
        "timeouts" => inside::timeouts(),
        "refusals" => inside::refusals(),
        "no_chip_of_a_pi" => inside::no_chip_of_a_pi(),
        "no_chip_at_all" => inside::no_chip_at_all(),
        "denied_chip" => inside::denied_chip(),
        "small_bufsiz" => inside::small_bufsiz(),
        "another_machine" => inside::another_machine(),
        part => panic!("there is no part {part}"),
    }
}

/// The parts of these tests that run in the rig.
mod inside {
    use super::*;

    const PERIOD_NS: u64 = 250_000;
    const SHAPE: Shape = Shape { select: 0, clock_hz: 8_400_000, hold_us: 3 };

    fn started() -> LinuxWire {
        let mut wire = bus::open(&settings()).expect("all is there");
        let deadline_ns = wire.now_ns() + 2_000_000;
        assert_eq!(wire.wait_edge(deadline_ns), Ok(None), "START is low");
        assert!(wire.now_ns() >= deadline_ns, "waited to the end");
        wire.set_pin(Pin::Start, true).expect("START");
        wire
    }

    fn edge(wire: &mut LinuxWire) -> Edge {
        let deadline_ns = wire.now_ns() + 5_000_000_000;
        wire.wait_edge(deadline_ns).expect("the line can be read").expect("an edge within 5 s")
    }

    /// From edge to edge: how many periods, interrupts and events.
    fn steps(edges: &[Edge]) -> Vec<(u64, u32, u32)> {
        let step = |pair: &[Edge]| {
            let [a, b] = pair else { unreachable!("two") };
            let periods = (b.at_ns - a.at_ns + PERIOD_NS / 2) / PERIOD_NS;
            (periods, b.n_interrupts - a.n_interrupts, b.n_events - a.n_events)
        };
        edges.windows(2).map(step).collect()
    }

    fn first_edges(wire: &mut LinuxWire, n_edges: usize) -> Vec<Edge> {
        (0..n_edges).map(|_| edge(wire)).collect()
    }

    pub(super) fn edges_and_transfers() {
        let mut wire = started();
        let (tx, mut rx): (Vec<u8>, _) = ((0..109).collect(), [0; 109]);
        wire.transfer(SHAPE, &tx, &mut rx).expect("a transfer");
        assert_eq!(tx, rx);
        let mut edges = Vec::with_capacity(4000);
        // The line's first edges: a stall of the machine may have let the queue run full before.
        let n_calls = allocations::during(|| {
            for _ in 0..4000 {
                let edge = edge(&mut wire);
                if edges.len() < edges.capacity() {
                    edges.push(edge);
                }
                rx.fill(0);
                wire.transfer(SHAPE, &tx, &mut rx).expect("a transfer");
                assert_eq!(tx, rx);
            }
        });
        assert_eq!(n_calls, 0, "no allocation");
        assert_eq!((edges[0].n_interrupts, edges[0].n_events), (1, 1));
        let lost = steps(&edges).into_iter().filter(|step| *step != (1, 1, 1)).collect::<Vec<_>>();
        // Where this machine stood still for more than a quarter of a second the queue overflows, and every number agrees.
        assert!(
            lost.iter().all(|(n, interrupts, events)| *n > 1 && *n == u64::from(*interrupts) && interrupts == events)
        );
        let late_us = (wire.now_ns() - edges[3999].at_ns) / 1000;
        println!("{} gaps in 4000 edges; the last one was {late_us} us ago", lost.len());
    }

    /// Four chips in a row, spoken to in bytes.
    pub(super) fn chips() {
        let mut wire = bus::open(&settings()).expect("all is there");
        let commands = Shape { select: 0, clock_hz: 2_000_000, hold_us: 3 };
        let send = |wire: &mut LinuxWire, tx: &[u8]| {
            let mut rx = vec![0; tx.len()];
            wire.transfer(commands, tx, &mut rx).expect("a transfer");
            wire.wait_until(wire.now_ns() + 20_000);
            rx
        };
        send(&mut wire, &[0x11]);
        assert_eq!(send(&mut wire, &[0x20, 0x00, 0x00])[2], 0x3E, "the register ID");
        // CONFIG1: 4 kHz, a daisy chain, reserved bits as they must be.
        send(&mut wire, &[0x41, 0x00, 0x92]);
        assert_eq!(send(&mut wire, &[0x21, 0x00, 0x00])[2], 0x92);
        // CONFIG3: the chips' own reference, which takes 150 ms; CHnSET: gain 24, the electrodes.
        send(&mut wire, &[0x43, 0x00, 0xE0]);
        send(&mut wire, &[0x45, 0x07, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60]);
        wire.wait_until(wire.now_ns() + 200_000_000);
        wire.set_pin(Pin::Start, true).expect("START");
        let (mut tx, mut rx) = ([0; 109], [0; 109]);
        tx[0] = 0x12;
        let (mut last, mut n_late) = (None, 0);
        for _ in 0..4000 {
            let announced = u64::from(edge(&mut wire).n_interrupts - 1);
            wire.transfer(SHAPE, &tx, &mut rx).expect("a transfer");
            let chips: Vec<&[u8]> = rx[1..].chunks(27).collect();
            let code = |bytes: &[u8]| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8;
            // The frame is that of the edge, or of a later one if this thread was late.
            let index = u64::try_from(code(&chips[0][3..]) + (1 << 23)).expect("a code of 24 bits") / 64;
            assert!(index >= announced && Some(index) >= last, "{index} at edge {announced} after {last:?}");
            n_late += u32::from(index != announced);
            last = Some(index);
            for (i, chip) in chips.iter().enumerate() {
                assert_eq!(chip[0] >> 4, 0b1100, "the sync nibble of chip {i}");
                let codes = chip[3..].chunks(3).enumerate();
                let right =
                    codes.map(|(channel, bytes)| code(bytes) - counter_code(index, 8 * i + channel)).all(|d| d == 0);
                assert!(right, "chip {i} of conversion {index}: {chip:?}");
            }
        }
        println!("{n_late} of 4000 reads were late, the last was conversion {last:?}");
    }

    pub(super) fn merged_edges() {
        let mut wire = started();
        let steps = steps(&first_edges(&mut wire, 1000));
        let n_merged = steps.iter().filter(|step| **step == (2, 2, 1)).count();
        assert!((90..=112).contains(&n_merged), "{n_merged}");
        assert!(steps.iter().all(|(n, interrupts, events)| *n == u64::from(*interrupts) && *n >= u64::from(*events)));
    }

    pub(super) fn merged_edges_without_a_witness() {
        let mut wire = bus::open(&LinuxSettings { witness: None, ..settings() }).expect("all is there");
        wire.set_pin(Pin::Start, true).expect("START");
        let steps = steps(&first_edges(&mut wire, 1000));
        assert!(steps.iter().filter(|step| **step == (2, 1, 1)).count() >= 90);
    }

    pub(super) fn latched_edges() {
        let mut wire = started();
        let steps = steps(&first_edges(&mut wire, 1000));
        assert!(steps.iter().filter(|step| **step == (2, 1, 1)).count() >= 90);
    }

    pub(super) fn overflow() {
        let mut wire = started();
        edge(&mut wire);
        let until_ns = wire.now_ns() + 500_000_000;
        wire.wait_until(until_ns);
        assert!(now_ns() >= until_ns);
        let edges = first_edges(&mut wire, 1100);
        let gaps: Vec<_> = steps(&edges).into_iter().filter(|step| *step != (1, 1, 1)).collect();
        let n_lost: u32 = edges[0].n_events - 2 + gaps.iter().map(|(_, _, events)| events - 1).sum::<u32>();
        assert!(n_lost >= 900, "of 2000 edges the queue kept 1024, and {n_lost} were lost");
        assert!(
            gaps.iter().all(|(n, interrupts, events)| *n == u64::from(*interrupts) && interrupts == events),
            "{gaps:?}"
        );
        // A deadline that has passed does not wait.
        wire.set_pin(Pin::Start, false).expect("START");
        while wire.wait_edge(0).expect("the line can be read").is_some() {}
    }

    pub(super) fn failing_transfers() {
        let mut wire = started();
        let mut rx = [0; 4];
        let outcomes: Vec<_> = (0..6).map(|_| wire.transfer(SHAPE, &[1; 4], &mut rx)).collect();
        assert_eq!(outcomes, [Ok(()), Ok(()), Err(WireError::Spi(5)), Ok(()), Ok(()), Err(WireError::Spi(5))]);
        assert_eq!(wire.transfer(SHAPE, &[1; 3], &mut rx), Err(WireError::Short { got: 3, wanted: 4 }));
        assert_eq!(wire.transfer(Shape { select: 1, ..SHAPE }, &[1; 4], &mut rx), Err(WireError::Spi(19)));
        let before = first_edges(&mut wire, 10)[9];
        wire.reopen().expect("all is there");
        let after = edge(&mut wire);
        assert_eq!(after.n_events, before.n_events + 1, "counted on");
        assert_eq!(after.n_interrupts, before.n_interrupts + 1);
        assert!(after.at_ns > before.at_ns);
        assert!(!wire.has_pin(Pin::PowerDown) && wire.has_pin(Pin::Reset));
        assert_eq!(wire.set_pin(Pin::PowerDown, false), Err(WireError::Gpio(6)));
    }

    pub(super) fn timeouts() {
        let mut wire = started();
        assert_eq!(wire.transfer(SHAPE, &[1; 4], &mut [0; 4]), Err(WireError::SpiTimeout));
    }

    pub(super) fn refusals() {
        let refused = |settings: &LinuxSettings| bus::open(settings).expect_err("refused").to_string();
        let selects = |selects: &[(u8, u8)]| LinuxSettings { selects: selects.to_vec(), ..settings() };
        assert_eq!(
            refused(&selects(&[(0, 0), (0, 1)])),
            "/dev/spidev0.1 is not there: enable SPI with dtparam=spi=on in /boot/firmware/config.txt and restart (there \
             are /dev/spidev0.0, /dev/spidev1.0)"
        );
        assert_eq!(
            refused(&selects(&[(1, 0)])),
            "/dev/spidev1.0: permission denied: biosigd's account is not in group `spi`: `sudo usermod -aG spi ACCOUNT` and \
             log in again, or for the service SupplementaryGroups=spi"
        );
        assert_eq!(
            refused(&LinuxSettings { drdy: 8, ..settings() }),
            "GPIO 8 (DRDY) is taken by `spi0 CS0`: it is a chip select; choose another GPIO, or an SPI overlay that leaves \
             it alone"
        );
        assert_eq!(
            refused(&LinuxSettings { witness: Some(5), ..settings() }),
            "GPIO 5 (witness) is taken by `w1-gpio`: stop that program, remove its overlay from /boot/firmware/config.txt, \
             or choose another GPIO"
        );
        assert_eq!(
            refused(&LinuxSettings { reset: Some(54), ..settings() }),
            "GPIO 54 (RESET): /dev/gpiochip11 (pinctrl-rp1) has the lines 0 to 53"
        );
        assert_eq!(
            refused(&LinuxSettings { chip: ChipChoice::of("pinctrl-rp2"), ..settings() }),
            "no GPIO chip has the label `pinctrl-rp2`; seen: /dev/gpiochip10 (gpio-brcmstb@107d508500), /dev/gpiochip11 \
             (pinctrl-rp1); name one of these as `gpio_chip`"
        );
        assert_eq!(
            refused(&LinuxSettings { chip: ChipChoice::of("/dev/gpiochip4"), ..settings() }),
            "/dev/gpiochip4 is not there; known: /dev/gpiochip10 (gpio-brcmstb@107d508500), /dev/gpiochip11 (pinctrl-rp1)"
        );
        let wire = bus::open(&LinuxSettings { chip: ChipChoice::of("/dev/gpiochip11"), ..settings() }).expect("opened");
        assert_eq!(wire.chip().path, PathBuf::from("/dev/gpiochip11"));
        assert_eq!(wire.effective_clock_hz(8_400_000), 8_333_333, "RP1");
        assert!(
            refused(&settings()).starts_with("GPIO 22 (START) is taken by `biosigd-control`: another biosigd runs"),
            "{}",
            refused(&settings())
        );
        drop(wire);
        bus::open(&settings()).expect("free again");
    }

    pub(super) fn no_chip_of_a_pi() {
        assert_eq!(
            bus::open(&settings()).expect_err("refused").to_string(),
            "no GPIO chip has the label `pinctrl-rp1` or `pinctrl-bcm2711` or `pinctrl-bcm2835`; seen: /dev/gpiochip0 \
             (INT34C5:00); name one of these as `gpio_chip`"
        );
    }

    pub(super) fn no_chip_at_all() {
        assert!(matches!(bus::open(&settings()), Err(BusError::NoGpioChip)));
    }

    pub(super) fn denied_chip() {
        assert!(matches!(bus::open(&settings()), Err(BusError::Permission { group: "gpio", .. })));
    }

    pub(super) fn small_bufsiz() {
        assert!(matches!(bus::open(&settings()), Err(BusError::Bufsiz { bufsiz: 128, needed: 256 })));
    }

    pub(super) fn another_machine() {
        let wire = bus::open(&settings()).expect("all is there");
        assert_eq!(wire.effective_clock_hz(8_400_000), 8_400_000, "of another controller nothing is known");
    }
}
