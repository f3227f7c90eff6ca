//! Counter frames through the recorder: what stands in the file and its sidecar is what was given.

#[path = "recorder/feeder.rs"]
mod feeder;

use std::time::Instant;

use biosigd::block::{Cause, Head, Tally};
use biosigd::sink::recorder::BdfRecorder;
use biosigd::sink::{PackedBlock, RawSink};
use feeder::Feeder;

#[test]
fn gaps_markers_and_odd_blocks() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 250.0, 5, 1000);
    feeder.frames(7);
    feeder.marker(1003, 500, Some(2_000_000_000), "stimulus \u{b5}");
    feeder.frames(300);
    feeder.gap(Cause::Missed, 3);
    feeder.frames(1);
    feeder.gap(Cause::RingFull, 777);
    feeder.frames(111);
    let file = feeder.close(Cause::Disk, 9);
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["state"], "complete");
    assert_eq!(sidecar["first_frame"], 1000);
    let ledger = &sidecar["ledger"]["recorder"];
    assert_eq!(ledger["delivered"], 419);
    assert_eq!(ledger["expected"], 419 + 3 + 777 + 9);
    assert_eq!(sidecar["frames_written"], ledger["expected"]);
    assert_eq!(
        (&ledger["lost"]["missed"], &ledger["lost"]["ring_full"], &ledger["lost"]["disk"]),
        (&3.into(), &777.into(), &9.into())
    );
}

/// The figure of the module's throughput; by hand, because a busy machine would fail it:
/// `cargo test --release --test recorder -- --ignored --nocapture throughput`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let folder = std::env::var_os("BIOSIGD_BENCH_DIR").map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    for (n_channels, block_frames, n_blocks) in [(8, 40, 40_000), (32, 40, 20_000), (32, 400, 2000), (1024, 40, 800)] {
        let dir = tempfile::tempdir_in(&folder).expect("a folder");
        let mut recorder = BdfRecorder::new(feeder::plan(dir.path(), 4000.0, n_channels)).expect("fits");
        let codes = feeder::packed(0, block_frames, n_channels);
        let mut head = Head { n_frames: usize::try_from(block_frames).expect("few"), ..Head::default() };
        recorder.open(&head).expect("opens");
        let start = Instant::now();
        for _ in 0..n_blocks {
            recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("writes");
            head.first_frame = head.next_frame();
        }
        let seconds = start.elapsed().as_secs_f64();
        recorder.close(&Tally::default()).expect("closes");
        let with_sync = start.elapsed().as_secs_f64();
        let samples = (n_blocks * block_frames * n_channels as u64) as f64 * 1e-6;
        println!(
            "{n_channels} channels, blocks of {block_frames}: {:.0} million samples/s written, {:.0} with the last sync",
            samples / seconds,
            samples / with_sync
        );
    }
}
