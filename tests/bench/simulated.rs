//! What the simulated ADS1299 costs per conversion of four chips on the virtual clock, edge and read included.
//! `cargo bench --bench simulated`

use std::hint::black_box;
use std::time::Instant;

use biosigd::source::ads1299::simulated::{Setup, Signal, SimulatedWire};
use biosigd::source::ads1299::wire::{Pin, Shape, Wire, WireError};

const N_RUNS: usize = 7;
const N_CONVERSIONS: u32 = 400_000;

fn main() -> Result<(), WireError> {
    println!("four chips, ns per conversion: median of {N_RUNS} runs (fastest to slowest)");
    let eeg = Signal::Eeg;
    let sine = Signal::Sine { freq_hz: 10.0, amplitude_uv: 100.0 };
    for (name, setup) in [
        ("counter, daisy", Setup { signal: Signal::Counter, ..Setup::four_chip_daisy() }),
        ("counter, cascade", Setup { signal: Signal::Counter, ..Setup::cascade(4) }),
        ("counter, gap bit", Setup { signal: Signal::Counter, gap_bits: 1, ..Setup::four_chip_daisy() }),
        ("sine and noise, daisy", Setup { signal: sine, ..Setup::four_chip_daisy() }),
        ("eeg, daisy", Setup { signal: eeg, ..Setup::four_chip_daisy() }),
    ] {
        let mut wire = started(&setup)?;
        let mut runs = Vec::new();
        for _ in 0..N_RUNS {
            runs.push(run(&mut wire, setup.selects.len())?);
        }
        runs.sort_by(f64::total_cmp);
        println!("{name:24} {:6.0} ({:.0} to {:.0})", runs[N_RUNS / 2], runs[0], runs[N_RUNS - 1]);
    }
    Ok(())
}

/// A bench that converts at 4 kSPS.
fn started(setup: &Setup) -> Result<SimulatedWire, WireError> {
    let mut wire = SimulatedWire::on_virtual_clock(setup);
    for select in 0..setup.selects.len() {
        let shape = Shape { select, clock_hz: 2_000_000, hold_us: 3 };
        let mut rx = [0; 16];
        wire.transfer(shape, &[0x11], &mut rx[..1])?;
        wire.transfer(shape, &[0x41, 2, 0x92, 0xC0, 0xE0], &mut rx[..5])?;
        wire.transfer(shape, &[0x45, 7, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60], &mut rx[..10])?;
    }
    let settled_ns = wire.now_ns() + 200_000_000;
    wire.wait_until(settled_ns);
    wire.set_pin(Pin::Start, true)?;
    Ok(wire)
}

fn run(wire: &mut SimulatedWire, n_selects: usize) -> Result<f64, WireError> {
    let mut tx = [0; 109];
    tx[0] = 0x12;
    let mut rx = [0; 109];
    let n_bytes = 1 + 108 / n_selects;
    let started = Instant::now();
    for _ in 0..N_CONVERSIONS {
        let deadline_ns = wire.now_ns() + 1_000_000_000;
        black_box(wire.wait_edge(deadline_ns)?);
        for select in 0..n_selects {
            let shape = Shape { select, clock_hz: 8_000_000, hold_us: 3 };
            wire.transfer(shape, black_box(&tx[..n_bytes]), &mut rx[..n_bytes])?;
            black_box(&rx);
        }
    }
    Ok(started.elapsed().as_nanos() as f64 / f64::from(N_CONVERSIONS))
}
