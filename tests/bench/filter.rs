//! How fast the stages are: million samples a second on one core, over 32 channels in blocks of 40 and 400 frames
//! (10 ms at 4 kHz, and what `speed = "max"` uses). `cargo bench --bench filter`
//!
//! Every figure is the median of several runs that are taken in turns, so that a busy machine slows all of them.

#[path = "../common/stages.rs"]
mod stages;

use std::hint::black_box;
use std::time::Instant;

use biosigd::block::Block;
use biosigd::stage::{KINDS, Stage, StageError, design, filter::Section};

const N_CHANNELS: usize = 32;
const RATE_HZ: f64 = 4000.0;
const N_RUNS: usize = 15;
const SAMPLES_PER_RUN: usize = 4_000_000;

/// The chain of design section 8, as (kind, keys).
const CHAIN: [(&str, &str); 3] = [
    ("high_pass", "order = 2\ncorner_hz = 0.5"),
    ("notch", "freq_hz = 50.0"),
    ("low_pass", "order = 4\ncorner_hz = 100.0"),
];

fn main() {
    println!("{N_CHANNELS} channels, million samples a second: median of {N_RUNS} runs (slowest to fastest)");
    for n_frames in [40, 400] {
        println!("\nblocks of {n_frames} frames");
        let mut chain: Vec<_> = CHAIN.iter().map(|(kind, keys)| prepared(kind, keys, n_frames)).collect();
        let mut naive = Naive::new().unwrap_or_else(|error| panic!("{error}"));
        let mut cases: Vec<Case> = vec![
            Case::new("high_pass 2 + notch + low_pass 4", move |block| chain.iter_mut().for_each(|s| s.process(block))),
            Case::new("the same, channel by channel", move |block| naive.process(block)),
        ];
        for kind in KINDS {
            let mut stage = prepared(kind.name, kind.example, n_frames);
            cases.push(Case::new(kind.name, move |block| stage.process(block)));
        }
        measure(&mut cases, n_frames);
    }
}

fn prepared(kind: &str, keys: &str, n_frames: usize) -> Box<dyn Stage> {
    let mut stage = stages::build(kind, keys);
    stage.prepare(&stages::stream(N_CHANNELS, RATE_HZ, n_frames)).unwrap_or_else(|error| panic!("{kind}: {error}"));
    stage
}

struct Case {
    name: &'static str,
    process: Box<dyn FnMut(&mut Block)>,
    runs: Vec<f64>,
}

impl Case {
    fn new(name: &'static str, process: impl FnMut(&mut Block) + 'static) -> Case {
        Case { name, process: Box::new(process), runs: Vec::new() }
    }
}

fn measure(cases: &mut [Case], n_frames: usize) {
    let stream = stages::stream(N_CHANNELS, RATE_HZ, n_frames);
    let input = stages::block(&stream, 0, &stages::signal(n_frames, N_CHANNELS, RATE_HZ));
    let mut block = Block::new(&stream, n_frames * N_CHANNELS);
    let n_blocks = SAMPLES_PER_RUN / (n_frames * N_CHANNELS);
    for _ in 0..N_RUNS {
        for case in &mut *cases {
            let start = Instant::now();
            for i in 0..n_blocks {
                // The copy is what a chain does with each block too; it costs some hundredths of the time.
                block.copy(&input);
                block.head.first_frame = (i * n_frames) as u64;
                (case.process)(black_box(&mut block));
            }
            case.runs.push((n_blocks * n_frames * N_CHANNELS) as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
    }
    for case in cases {
        case.runs.sort_by(f64::total_cmp);
        let (slowest, median, fastest) = (case.runs[0], case.runs[N_RUNS / 2], case.runs[N_RUNS - 1]);
        println!("{:34} {median:6.0}   ({slowest:.0} to {fastest:.0})", case.name);
    }
}

/// The chain as one would write it first: a filter object for each channel, which runs over the block alone.
struct Naive {
    channels: Vec<Vec<OneChannel>>,
}

#[derive(Clone)]
struct OneChannel {
    c: Section,
    s1: f64,
    s2: f64,
}

impl Naive {
    fn new() -> Result<Naive, StageError> {
        let mut sections = design::high_pass(2, 0.5, RATE_HZ)?;
        sections.push(design::notch(50.0, 30.0, RATE_HZ)?);
        sections.extend(design::low_pass(4, 100.0, RATE_HZ)?);
        let filters = sections.into_iter().map(|c| OneChannel { c, s1: 0.0, s2: 0.0 }).collect();
        Ok(Naive { channels: vec![filters; N_CHANNELS] })
    }

    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type")]
    fn process(&mut self, block: &mut Block) {
        for (channel, filters) in self.channels.iter_mut().enumerate() {
            for frame in block.frames_mut() {
                let mut x = f64::from(frame[channel]);
                for OneChannel { c, s1, s2 } in &mut *filters {
                    let y = c.b0 * x + *s1;
                    *s1 = c.b1 * x - c.a1 * y + *s2;
                    *s2 = c.b2 * x - c.a2 * y;
                    x = y;
                }
                frame[channel] = x as f32;
            }
        }
    }
}
