//! What status and sidecar say of a proven board.

use serde_json::{Value, json};

use super::board::Board;
use super::budget::Budget;
use super::layout::Topology;
use super::proof::Proof;
use super::registers::Registers;
use super::self_test::{SelfTest, Voltages};

/// Conversions by which a sample is older than its DRDY edge: the delay of the third-order sinc filter.
const GROUP_DELAY_PERIODS: f64 = 1.5;

/// The results of start-up, and the configuration that a reader of the data needs.
pub(super) fn about(board: &Board, proof: &Proof) -> Value {
    let budget = Budget::of(board, proof.spi_clock_hz);
    let chips: Vec<Value> = (0..board.layout.n_chips())
        .map(|chip| {
            json!({
                "model": board.layout.models[chip].name(),
                "id": proof.ids[chip].map(hex),
                "registers": registers(&proof.registers[chip]),
                "registers_read_back": proof.readable[chip],
            })
        })
        .collect();
    let channels: Vec<Value> = board
        .channels
        .iter()
        .map(|channel| json!({"name": channel.name, "gain": channel.gain, "group": channel.group, "power": channel.power}))
        .collect();
    json!({
        "chips": chips,
        "channels": channels,
        "topology": match board.layout.topology { Topology::Daisy => "daisy", Topology::Cascade => "cascade" },
        "gap_bits": proof.gap_bits,
        "spi_clock_hz": proof.spi_clock_hz,
        "spi_wire_us": budget.wire_us(),
        "spi_slack_us": budget.slack_us(),
        "rate_hz": proof.rate_hz,
        "rate_ppm": ppm(board, proof),
        "edge_jitter_us": proof.jitter_us,
        "start_skew_us": proof.start_skew_us,
        "sync_frames": super::sync::SYNC_FRAMES,
        "group_delay_s": GROUP_DELAY_PERIODS / board.rate_hz,
        "vref_v": board.vref_v,
        "self_test": proof.self_test.as_ref().map(of_self_test),
    })
}

fn of_self_test(test: &SelfTest) -> Value {
    let of_chip = |voltages: &Voltages| {
        json!({
            "middle_v": voltages.middle_v,
            "dvdd_v": voltages.dvdd_v,
            "temperature_c": voltages.temperature_c,
        })
    };
    json!({
        "noise_uv_rms": test.noise_uv,
        "test_uv": test.test_uv,
        "test_turn_samples": test.turn_samples,
        "chips": test.voltages.iter().map(of_chip).collect::<Vec<_>>(),
    })
}

/// The same in a line of the log.
pub(super) fn in_a_line(board: &Board, proof: &Proof) -> String {
    let budget = Budget::of(board, proof.spi_clock_hz);
    let n_chips = board.layout.n_chips();
    let n_read = proof.readable.iter().filter(|readable| **readable).count();
    let chips = |n: usize| format!("{n} chip{}", if n == 1 { "" } else { "s" });
    let skew = proof.start_skew_us.map_or_else(String::new, |us| {
        format!("; START reaches the last chip select {us:.1} us after the first, being a command")
    });
    let held = if n_read == n_chips { String::new() } else { format!(" {} of them", chips(n_read)) };
    format!(
        "{} proven: registers read back{held}; DRDY at {:.2} Hz ({:+.0} ppm); status words right in {} frames at {:.3} MHz, {:.1} of \
         {:.1} us left for the kernel and for waking up{skew}",
        chips(n_chips),
        proof.rate_hz,
        ppm(board, proof),
        super::sync::SYNC_FRAMES,
        f64::from(proof.spi_clock_hz) / 1e6,
        budget.slack_us(),
        budget.period_us(),
    )
}

/// By how much the chips' clock is fast against this machine's.
fn ppm(board: &Board, proof: &Proof) -> f64 {
    (proof.rate_hz / board.rate_hz - 1.0) * 1e6
}

fn hex(value: u8) -> String {
    format!("{value:#04X}")
}

/// All registers from 00h on, as two hexadecimal digits each.
fn registers(registers: &Registers) -> String {
    registers.iter().map(|value| format!("{value:02X}")).collect::<Vec<_>>().join(" ")
}
