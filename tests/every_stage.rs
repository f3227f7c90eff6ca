//! What every stage promises, tested for each row of `KINDS`. The author of a new stage writes none of this and gets
//! all of it.

#[path = "common/allocations.rs"]
mod allocations;
#[path = "common/stages.rs"]
mod stages;

use biosigd::block::{Block, Head, Stream};
use biosigd::config::Key;
use biosigd::stage::{KINDS, Kind, Stage};

/// One group of eight channels and a rest, so that both ways through the vectorised loops are taken.
const N_CHANNELS: usize = 11;
const RATE_HZ: f64 = 1000.0;
const BLOCK_FRAMES_MAX: usize = 400;
const N_FRAMES: usize = 2000;

fn input() -> Stream {
    stages::stream(N_CHANNELS, RATE_HZ, BLOCK_FRAMES_MAX)
}

fn prepared(kind: &Kind, keys: &str) -> (Box<dyn Stage>, Stream) {
    let mut stage = stages::build(kind.name, keys);
    let output = stage.prepare(&input()).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
    (stage, output)
}

/// `samples` as blocks of these lengths in turn, the first of which begins at `first_frame`.
fn blocks(samples: &[f32], lengths: &[usize], first_frame: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut at, n_frames) = (0, samples.len() / N_CHANNELS);
    for length in lengths.iter().cycle() {
        let end = (at + length).min(n_frames);
        let mut block = stages::block(&input(), (first_frame + at) as u64, &samples[at * N_CHANNELS..end * N_CHANNELS]);
        block.head.edge_ns = ((first_frame + end) as u64).saturating_sub(1) * 1_000_000;
        blocks.push(block);
        at = end;
        if at == n_frames {
            return blocks;
        }
    }
    unreachable!("a cycle has no end")
}

/// What comes out, as bits: also NaN and the sign of zero are compared.
fn run(stage: &mut dyn Stage, blocks: Vec<Block>) -> Vec<u32> {
    let mut bits = Vec::new();
    for mut block in blocks {
        stage.process(&mut block);
        bits.extend(block.samples().iter().map(|sample| sample.to_bits()));
    }
    bits
}

fn signal() -> Vec<f32> {
    stages::signal(N_FRAMES, N_CHANNELS, RATE_HZ)
}

#[test]
fn the_example_builds_and_fits() {
    for kind in KINDS {
        prepared(kind, kind.example);
    }
}

#[test]
fn the_table_lists_the_keys_that_are_read_and_their_defaults() {
    for kind in KINDS {
        let Err(mistakes) = stages::try_build(kind, "no_such_key = 1") else { panic!("{} takes any key", kind.name) };
        let message = mistakes.to_string();
        let first_line = message.lines().next().unwrap_or_default();
        let known: Vec<&str> = first_line.split('`').skip(3).step_by(2).collect();
        let listed: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
        assert_eq!(known, listed, "{}: {first_line}", kind.name);

        let written: String = kind.keys.iter().map(|key| format!("{} = {}\n", key.name, key.default)).collect();
        let (mut with, with_output) = prepared(kind, &written);
        let (mut without, without_output) = prepared(kind, "");
        assert_eq!(with_output, without_output, "{}", kind.name);
        let samples = signal();
        let (with, without) =
            (run(&mut *with, blocks(&samples, &[40], 0)), run(&mut *without, blocks(&samples, &[40], 0)));
        assert!(with == without, "{}: the listed defaults are not those of the stage", kind.name);
    }
}

#[test]
fn a_wrong_value_gives_a_message_that_starts_with_its_key() {
    for kind in KINDS {
        for key in kind.keys {
            let messages: Vec<String> =
                wrong_values(key).iter().filter_map(|value| refusal(kind, key, value)).collect();
            assert!(!messages.is_empty(), "{}: {} takes any value", kind.name, key.name);
            for message in messages {
                assert!(message.starts_with(&format!("{} ", key.name)), "{}: {message}", kind.name);
            }
        }
    }
}

/// Values that no key of this type can take, or that hardly any can.
fn wrong_values(key: &Key) -> &'static [&'static str] {
    match key.default.parse::<toml::Value>().expect("a default is TOML") {
        toml::Value::Float(_) => &["nan", "inf", "-inf", "-1.0", "0.0", "1e300", "\"x\""],
        toml::Value::Integer(_) => &["-1", "0", "1000000", "4294967296", "1.5"],
        toml::Value::Boolean(_) => &["1", "\"yes\""],
        _ => &["1", "\"no such word\"", "[\"no such word\"]"],
    }
}

/// What is said of `value`, the rest of the example unchanged; `None` when it is taken.
fn refusal(kind: &Kind, key: &Key, value: &str) -> Option<String> {
    let others = kind.example.lines().filter(|line| line.split(' ').next() != Some(key.name));
    let keys: Vec<String> = others.map(str::to_owned).chain([format!("{} = {value}", key.name)]).collect();
    match stages::try_build(kind, &keys.join("\n")) {
        Ok(mut stage) => stage.prepare(&input()).err().map(|error| error.to_string()),
        Err(mistakes) => {
            let message = mistakes.to_string();
            message.lines().next().and_then(|line| line.split_once(": ")).map(|(_, text)| text.to_owned())
        }
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for kind in KINDS {
        for key in kind.keys.iter().filter(|key| wrong_values(key).contains(&"nan")) {
            for value in ["nan", "inf", "-inf"] {
                assert!(refusal(kind, key, value).is_some(), "{}: {} = {value} is taken", kind.name, key.name);
            }
        }
    }
}

#[test]
fn process_and_reset_do_not_allocate() {
    assert_eq!(allocations::during(|| drop(std::hint::black_box(Box::new(1)))), 2, "the counter counts");
    for kind in KINDS {
        let (mut stage, _) = prepared(kind, kind.example);
        let mut blocks = blocks(&signal(), &[40, 0, 7], 0);
        let n_allocations = allocations::during(|| {
            for (i, block) in blocks.iter_mut().enumerate() {
                if i % 10 == 9 {
                    stage.reset();
                }
                stage.process(block);
            }
        });
        assert_eq!(n_allocations, 0, "{}", kind.name);
    }
}

#[test]
fn after_a_reset_nothing_is_left_of_the_past() {
    for kind in KINDS {
        for past in [signal(), vec![f32::MAX / 4.0; 100 * N_CHANNELS], vec![f32::NAN; 100 * N_CHANNELS]] {
            let (mut used, _) = prepared(kind, kind.example);
            run(&mut *used, blocks(&past, &[40], 0));
            used.reset();
            let (mut fresh, _) = prepared(kind, kind.example);
            // A frame index that no short period divides, as after a gap.
            let after = || blocks(&signal(), &[40], 12_347);
            assert!(run(&mut *used, after()) == run(&mut *fresh, after()), "{}", kind.name);
        }
    }
}

#[test]
fn the_length_of_the_blocks_makes_no_difference() {
    for kind in KINDS {
        let (mut stage, _) = prepared(kind, kind.example);
        let whole = run(&mut *stage, blocks(&signal(), &[400], 0));
        // A block without frames is what `decimate` may give the stage after it.
        for lengths in [[1].as_slice(), &[7], &[40], &[0, 3, 0, 0, 29]] {
            let (mut stage, _) = prepared(kind, kind.example);
            let parts = run(&mut *stage, blocks(&signal(), lengths, 0));
            assert!(parts == whole, "{}: blocks of {lengths:?} frames", kind.name);
        }
    }
}

#[test]
fn finite_in_gives_finite_out() {
    let largest = f32::MAX / 4.0;
    let square = |half_period: usize, i: usize| if i / half_period % 2 == 0 { largest } else { -largest };
    let signals: [(&str, &dyn Fn(usize) -> f32); 6] = [
        ("zero", &|_| 0.0),
        ("the largest", &|_| largest),
        ("the largest, alternating", &|i| square(1, i)),
        ("the largest, at 10 Hz", &|i| square(50, i)),
        ("the largest, once", &|i| if i == 5 { largest } else { 0.0 }),
        ("denormal", &|i| if i % 2 == 0 { f32::from_bits(1) } else { -f32::MIN_POSITIVE / 2.0 }),
    ];
    for kind in KINDS {
        for (what, value) in signals {
            let (mut stage, _) = prepared(kind, kind.example);
            let samples: Vec<f32> = (0..N_FRAMES * N_CHANNELS).map(|i| value(i / N_CHANNELS)).collect();
            let output = run(&mut *stage, blocks(&samples, &[40], 0));
            assert!(output.iter().all(|bits| f32::from_bits(*bits).is_finite()), "{}: {what}", kind.name);
        }
    }
}

#[test]
fn what_comes_out_is_what_the_stream_promises() {
    for kind in KINDS {
        let (mut stage, output) = prepared(kind, kind.example);
        let ratio = u64::from(output.ratio);
        assert!((output.rate_hz * f64::from(output.ratio) - RATE_HZ).abs() < 1e-9, "{}", kind.name);
        let mut next_frame = 0;
        for mut block in blocks(&signal(), &[40, 7, 400], 0) {
            let before = block.head;
            stage.process(&mut block);
            let Head { first_frame, n_frames, edge_ns, .. } = block.head;
            assert_eq!(block.n_channels(), output.n_channels(), "{}", kind.name);
            assert_eq!(block.samples().len(), n_frames * output.n_channels(), "{}", kind.name);
            assert!(n_frames <= output.block_frames_max, "{}", kind.name);
            assert_eq!(first_frame, next_frame, "{}", kind.name);
            next_frame = block.head.next_frame();
            assert_eq!(next_frame, before.next_frame().div_ceil(ratio), "{}", kind.name);
            if n_frames > 0 {
                let last_in_ns = (before.next_frame() - 1) * 1_000_000;
                let last_out_ns = (next_frame - 1) * ratio * 1_000_000;
                assert_eq!(before.edge_ns - edge_ns, last_in_ns - last_out_ns, "{}", kind.name);
            }
        }
    }
}
