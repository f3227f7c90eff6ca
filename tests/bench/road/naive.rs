//! The pipeline that one writes first, as the predecessor of this daemon had it: a loop that sleeps for a millisecond and
//! then takes what is due, three fresh vectors a block (codes, samples, message), unbounded channels between threads,
//! and one filter object per channel, which runs over its channel's part of the block alone.
//!
//! The same frames at the same pace, the same coefficients, the same message to one socket as the road has.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use biosigd::rt;
use biosigd::source::synthetic::counter_code;
use biosigd::stage::design;
use biosigd::stage::filter::Section;

use super::{N_CHANNELS, RATE_HZ, cost};

/// 10 ms, as the road has it.
const BLOCK_FRAMES: usize = 40;

/// The filters of `super::STAGES`, a list for each channel.
pub(crate) struct Filters {
    channels: Vec<Vec<Filter>>,
}

#[derive(Clone)]
struct Filter {
    c: Section,
    s1: f64,
    s2: f64,
}

impl Filters {
    /// At rest.
    pub(crate) fn new() -> Filters {
        let mut sections = design::high_pass(2, 0.5, RATE_HZ).unwrap_or_else(|error| panic!("{error}"));
        sections.push(design::notch(50.0, 30.0, RATE_HZ).unwrap_or_else(|error| panic!("{error}")));
        let filters: Vec<Filter> = sections.into_iter().map(|c| Filter { c, s1: 0.0, s2: 0.0 }).collect();
        Filters { channels: vec![filters; N_CHANNELS] }
    }

    /// Codes, frame by frame, to filtered samples, channel by channel, in a fresh vector.
    pub(crate) fn filter(&mut self, codes: &[i32]) -> Vec<f64> {
        let mut samples = Vec::new();
        for (channel, filters) in self.channels.iter_mut().enumerate() {
            for code in codes.iter().skip(channel).step_by(N_CHANNELS) {
                let mut x = f64::from(*code) * 0.022_351_744;
                for Filter { c, s1, s2 } in &mut *filters {
                    let y = c.b0 * x + *s1;
                    *s1 = c.b1 * x - c.a1 * y + *s2;
                    *s2 = c.b2 * x - c.a2 * y;
                    x = y;
                }
                samples.push(x);
            }
        }
        samples
    }
}

/// A WebSocket message of `samples`, in a fresh vector.
#[allow(clippy::cast_possible_truncation, reason = "f32 goes over the wire")]
fn message(samples: &[f64]) -> Vec<u8> {
    let n_frames = samples.len() / N_CHANNELS;
    let mut message = vec![0; 4 + 32];
    for frame in 0..n_frames {
        for channel in 0..N_CHANNELS {
            message.extend_from_slice(&(samples[channel * n_frames + frame] as f32).to_le_bytes());
        }
    }
    message
}

/// Runs for one turn; returns each block's latency from the instant of its last frame to the end of its socket write.
pub(crate) fn measure() -> Vec<u64> {
    let (client, mut server) = super::socket_pair();
    server.set_nonblocking(false).unwrap_or_else(|error| panic!("{error}"));
    let reader = super::drain(client);
    let (to_process, codes_in) = mpsc::channel::<(u64, Vec<i32>)>();
    let (to_socket, messages_in) = mpsc::channel::<(u64, Vec<u8>)>();
    // At normal priority on any core: the predecessor did not ask for more.
    let source = cost::spawn("source", None, None, move || {
        let start_ns = rt::now_ns();
        let frame_ns = 1e9 / RATE_HZ;
        let mut first_frame = 0_u64;
        while u128::from(rt::now_ns() - start_ns) < cost::TURN.as_nanos() {
            std::thread::sleep(Duration::from_millis(1));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of some seconds")]
            let edge_ns = start_ns + ((first_frame + BLOCK_FRAMES as u64) as f64 * frame_ns) as u64;
            if rt::now_ns() >= edge_ns {
                let mut codes = Vec::new();
                for frame in first_frame..first_frame + BLOCK_FRAMES as u64 {
                    (0..N_CHANNELS).for_each(|channel| codes.push(counter_code(frame, channel)));
                }
                first_frame += BLOCK_FRAMES as u64;
                to_process.send((edge_ns, codes)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    });
    let process = cost::spawn("filters", None, None, move || {
        let mut filters = Filters::new();
        for (edge_ns, codes) in codes_in {
            let samples = filters.filter(&codes);
            to_socket.send((edge_ns, message(&samples))).unwrap_or_else(|error| panic!("{error}"));
        }
    });
    let socket = cost::spawn("socket", None, None, move || {
        let mut latencies_ns = Vec::with_capacity(4096);
        for (edge_ns, message) in messages_in {
            server.write_all(&message).unwrap_or_else(|error| panic!("{error}"));
            latencies_ns.push(rt::now_ns() - edge_ns);
        }
        latencies_ns
    });
    cost::watch_turn();
    for thread in [source, process] {
        thread.join().unwrap_or_else(|_| panic!("a thread of the naive pipeline panicked"));
    }
    let latencies_ns = socket.join().unwrap_or_else(|_| panic!("the socket's thread panicked"));
    reader.join().unwrap_or_else(|_| panic!("the client panicked"));
    latencies_ns
}
