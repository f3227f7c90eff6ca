//! What the recorder costs in each format, through its own intake, ring and disk thread, at 32 channels x 4 kSPS: how fast
//! it goes unthrottled, CPU time at the real rate, and how long the intake keeps a block while the disk stalls.
//! `cargo bench --bench recorder` takes three minutes, with `-- --quick` less than one.
//!
//! Unthrottled, files go into memory (`/dev/shm`, where there is one): the code is measured, and no disk. At the real rate
//! they go to the disk of the temporary directory, with a sync a second. A disk that stalls is a sync that does not come back.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use biosigd::block::{Channel, End, Head, Marker, Pool, RawBlock, Stream, Tally};
use biosigd::format::{FileFormat, Values};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{
    Bell, Disk, DiskParts, Gate, Intake, LINK_BLOCKS, Ledger, Progress, RecordingStatus, Sender, WhenFull, control,
    link, ring,
};
use biosigd::rt::{self, Role};
use biosigd::sink::recorder::{About, FileName, FileRecorder, Keep, RecorderPlan, Rotate};
use biosigd::sink::{PackedBlock, Progress as SinkProgress, RawSink, SinkError};
use biosigd::source::Slack;
use rustix::time::{ClockId, clock_gettime};

const N_CHANNELS: usize = 32;
const RATE_HZ: f64 = 4000.0;
const FRAME_NS: u64 = 250_000;

/// The daemon's default.
const STALL_BUDGET_S: f64 = 30.0;

/// Frames of an unthrottled run: 2 minutes of signal.
const FAST_FRAMES: u64 = 480_000;

/// Blocks of an unthrottled run, as the daemon has them at speed "max"; and at the real rate, 10 ms.
const FAST_BLOCK: usize = 400;
const PACED_BLOCK: usize = 40;

/// Blocks of the first second at the real rate.
const START_BLOCKS: usize = 100;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (n_fast, n_paced, paced_s, stall_s) = if quick { (3, 1, 4, 3) } else { (7, 3, 10, 10) };
    let (memory, disk) = (Path::new("/dev/shm"), std::env::temp_dir());
    let memory = if memory.is_dir() { memory } else { &disk };
    println!(
        "the recorder at 32 channels x 4 kSPS: median of {n_fast} runs unthrottled into {}, and",
        memory.display()
    );
    println!("CPU in % of a core at the real rate into {}, median of {n_paced} runs of {paced_s} s", disk.display());
    println!(
        "{:<7}{:>8}{:>12}{:>14}{:>14}{:>13}{:>8}{:>8}",
        "format", "MB/s", "Msample/s", "times as fast", "record-intake", "record-disk", "sums", "all"
    );
    for format in FileFormat::ALL {
        let fast: Vec<[f64; 2]> = (0..n_fast).map(|_| unthrottled(format, memory)).collect();
        let paced: Vec<[f64; 4]> = (0..n_paced).map(|_| cpu_percent(format, &disk, paced_s)).collect();
        let ([mb_per_s, samples_per_s], [intake, on_disk, sums, all]) = (medians(&fast), medians(&paced));
        println!(
            "{:<7}{mb_per_s:>8.0}{:>12.1}{:>14.0}{intake:>14.2}{on_disk:>13.2}{sums:>8.2}{all:>8.2}",
            format.ending(),
            samples_per_s / 1e6,
            samples_per_s / (N_CHANNELS as f64 * RATE_HZ),
        );
    }
    println!("\nhow long the intake keeps a block, its wake-up included, microseconds");
    println!("{:<24}{:>9}{:>9}{:>9}{:>9}", "", "blocks", "p50", "p99", "most");
    for format in FileFormat::ALL {
        for stall_s in [0, stall_s] {
            let disk_does = if stall_s == 0 { "disk writes".to_owned() } else { format!("disk stalls {stall_s} s") };
            let delays_us = delays_us(format, &disk, stall_s.max(paced_s), stall_s);
            let at = |percent: usize| delays_us[(delays_us.len() - 1) * percent / 100];
            println!(
                "{:<24}{:>9}{:>9.1}{:>9.1}{:>9.1}",
                format!("{}, {disk_does}", format.ending()),
                delays_us.len(),
                at(50),
                at(99),
                at(100)
            );
        }
    }
}

fn medians<const N: usize>(runs: &[[f64; N]]) -> [f64; N] {
    std::array::from_fn(|i| {
        let mut values: Vec<f64> = runs.iter().map(|run| run[i]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

/// MB and samples per second, from the first block to the end of the file.
fn unthrottled(format: FileFormat, dir: &Path) -> [f64; 2] {
    let mut recorder = Recorder::start(format, dir, FAST_BLOCK, Duration::ZERO);
    let begun = Instant::now();
    for first_frame in (0..FAST_FRAMES).step_by(FAST_BLOCK) {
        drop(recorder.send(first_frame));
    }
    let ended = recorder.end(FAST_FRAMES);
    let took_s = (ended.closed_at - begun).as_secs_f64();
    [ended.bytes as f64 / took_s / 1e6, FAST_FRAMES as f64 * N_CHANNELS as f64 / took_s]
}

/// Per cent of a core that the intake, the disk's thread, the sum of the finished file and all of them take.
fn cpu_percent(format: FileFormat, dir: &Path, seconds: u64) -> [f64; 4] {
    let n_frames = seconds * 4000;
    let mut recorder = Recorder::start(format, dir, PACED_BLOCK, Duration::ZERO);
    let (before_s, own_before_s) = (cpu_s(ClockId::ProcessCPUTime), cpu_s(ClockId::ThreadCPUTime));
    let start_ns = rt::now_ns();
    for first_frame in (0..n_frames).step_by(PACED_BLOCK) {
        rt::sleep_until(start_ns + (first_frame + PACED_BLOCK as u64) * FRAME_NS);
        drop(recorder.send(first_frame));
    }
    let ended = recorder.end(n_frames);
    let own_s = cpu_s(ClockId::ThreadCPUTime) - own_before_s;
    let all_s = cpu_s(ClockId::ProcessCPUTime) - before_s - own_s;
    let sums_s = all_s - ended.intake_s - ended.disk_s;
    [ended.intake_s, ended.disk_s, sums_s, all_s].map(|cpu_s| cpu_s / seconds as f64 * 100.0)
}

/// Of each block the time from its push to the return of its slab, sorted: the intake's wake-up and its step. The disk stalls
/// after a second, in which nothing is noted.
fn delays_us(format: FileFormat, dir: &Path, seconds: u64, stall_s: u64) -> Vec<f64> {
    let n_frames = (1 + seconds) * 4000;
    let mut recorder = Recorder::start(format, dir, PACED_BLOCK, Duration::from_secs(stall_s));
    let mut delays_us = Vec::new();
    let start_ns = rt::now_ns();
    for first_frame in (0..n_frames).step_by(PACED_BLOCK) {
        rt::sleep_until(start_ns + (first_frame + PACED_BLOCK as u64) * FRAME_NS);
        let pushed = Instant::now();
        let block = recorder.send(first_frame);
        // One is the pool's, one is held here.
        while Arc::strong_count(&block) > 2 {
            std::hint::spin_loop();
        }
        delays_us.push(pushed.elapsed().as_secs_f64() * 1e6);
    }
    recorder.end(n_frames);
    delays_us.drain(..START_BLOCKS);
    delays_us.sort_by(f64::total_cmp);
    delays_us
}

/// CPU time of this thread or of the process, in seconds.
fn cpu_s(of: ClockId) -> f64 {
    let time = clock_gettime(of);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A recorder at work, and who feeds it.
struct Recorder {
    pool: Pool<RawBlock>,
    n_frames: usize,
    to_intake: Sender<Arc<RawBlock>>,
    intake: JoinHandle<f64>,
    disk: JoinHandle<f64>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    closed_at: Arc<OnceLock<Instant>>,
    /// With its files; goes last.
    _dir: tempfile::TempDir,
}

/// What it has done.
struct Ended {
    closed_at: Instant,
    bytes: u64,
    /// CPU time of its threads.
    intake_s: f64,
    disk_s: f64,
}

impl Recorder {
    /// With blocks of `n_frames`, below `dir`; its first sync takes `stall` longer.
    fn start(format: FileFormat, dir: &Path, n_frames: usize, stall: Duration) -> Recorder {
        let dir = tempfile::tempdir_in(dir).unwrap_or_else(|error| panic!("{error}"));
        let metrics = Arc::new(Metrics::new("bench").unwrap_or_else(|error| panic!("{error}")));
        let stream = stream(n_frames);
        let (to_intake, from_acquire) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
        to_intake.attach();
        let (writer, reader) = ring(&stream, 0, STALL_BUDGET_S);
        let (ledger, gate) = (Ledger::new(&metrics, "recorder"), Arc::new(Gate::new(true)));
        let progress = || Arc::new(Progress::default());
        let intake = Intake::new(
            from_acquire,
            writer,
            Arc::clone(&gate),
            ledger.clone(),
            progress(),
            &metrics,
            Slack::Forever,
            false,
        );
        let closed_at = Arc::new(OnceLock::new());
        let files = FileRecorder::new(plan(format, dir.path(), &stream)).unwrap_or_else(|error| panic!("{error}"));
        let sink = Stalling { files, stall, closed_at: Arc::clone(&closed_at) };
        let (_, markers) = mpsc::sync_channel(1);
        let (_, orders) = control();
        let disk = Disk::new(DiskParts {
            ring: reader,
            ring_s: STALL_BUDGET_S,
            rate_hz: RATE_HZ,
            sinks: vec![sink],
            at_once: true,
            pre_s: 0.0,
            markers,
            orders,
            gate,
            ledger: ledger.clone(),
            status: Arc::new(Mutex::new(RecordingStatus::default())),
            progress: progress(),
            metrics: Arc::clone(&metrics),
            sync_every: Duration::from_secs(1),
            retry_every: Duration::from_secs(5),
        });
        // Codes as a signal of some hundred microvolts has them: they fit EDF, and have as many digits in CSV.
        let mut noise = 1_u32;
        let pool = Pool::new(LINK_BLOCKS + 4, || {
            let mut block = RawBlock::new(&stream, 0);
            for code in block.slab_mut() {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [.., low, high] = noise.to_le_bytes();
                *code = i16::from_le_bytes([low, high]).into();
            }
            block
        });
        // As the daemon has it.
        let intake = spawn("record-intake", Some(60), || intake.run());
        let disk = spawn("record-disk", None, || disk.run());
        Recorder { pool, n_frames, to_intake, intake, disk, ledger, metrics, closed_at, _dir: dir }
    }

    /// Sends a block, which is lost by nobody: waits where the link is full.
    fn send(&mut self, first_frame: u64) -> Arc<RawBlock> {
        let (edge_ns, edge_utc_ns) = (rt::now_ns(), rt::utc_now_ns());
        let head = Head { first_frame, n_frames: self.n_frames, edge_ns, edge_utc_ns, ..Head::default() };
        let filled = self.pool.fill(|block| block.head = head);
        let (block, ()) = filled.unwrap_or_else(|| panic!("no slab is free"));
        self.to_intake.send(Arc::clone(&block), &|| Slack::Forever);
        block
    }

    fn end(self, n_frames: u64) -> Ended {
        self.to_intake.close(End { next_frame: n_frames, lost: Tally::default() });
        let [intake_s, disk_s] =
            [self.intake, self.disk].map(|thread| thread.join().unwrap_or_else(|_| panic!("a thread panicked")));
        let account = self.ledger.account();
        assert_eq!((account.expected, account.delivered, account.lost.total()), (n_frames, n_frames, 0));
        let closed_at = *self.closed_at.get().unwrap_or_else(|| panic!("the file was closed"));
        Ended { closed_at, bytes: self.metrics.recorder_written_bytes.get(), intake_s, disk_s }
    }
}

/// Starts a thread that tells its CPU time at its end; a priority that is refused changes nothing that is measured.
fn spawn(name: &'static str, priority: Option<i32>, work: impl FnOnce() + Send + 'static) -> JoinHandle<f64> {
    thread::spawn(move || {
        drop(rt::enter(&Role { name, core: None, priority }));
        work();
        cpu_s(ClockId::ThreadCPUTime)
    })
}

fn stream(block_frames_max: usize) -> Stream {
    let channel = |i: usize| Channel {
        digital_min: i16::MIN.into(),
        digital_max: i16::MAX.into(),
        ..Channel::microvolts_24_bit(&format!("Ch{i}"), 1000.0)
    };
    Stream {
        rate_hz: RATE_HZ,
        channels: (1..=N_CHANNELS).map(channel).collect(),
        block_frames_max,
        ratio: 1,
        delay_s: 0.0,
    }
}

fn plan(format: FileFormat, dir: &Path, stream: &Stream) -> RecorderPlan {
    RecorderPlan {
        dir: dir.join("recordings"),
        stream: stream.clone(),
        n_chips: 0,
        format,
        values: Values::Codes,
        file_name: FileName::default(),
        rotate: Rotate::default(),
        keep: Keep::default(),
        min_free_bytes: 0,
        configuration: String::new(),
        source: serde_json::json!({}),
        session: "bench".to_owned(),
        software_version: "bench".to_owned(),
    }
}

/// The files, on a disk whose first sync takes longer.
struct Stalling {
    files: FileRecorder,
    stall: Duration,
    closed_at: Arc<OnceLock<Instant>>,
}

impl RawSink for Stalling {
    fn open(&mut self, first: &Head) -> Result<(), SinkError> {
        self.files.open(first)
    }

    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        self.files.write(block)
    }

    fn rotate(&mut self) {
        self.files.rotate();
    }

    fn describe_next(&mut self, about: About) {
        self.files.describe_next(about);
    }

    fn marker(&mut self, marker: Marker) {
        self.files.marker(marker);
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        thread::sleep(std::mem::take(&mut self.stall));
        self.files.sync()
    }

    fn close(&mut self, gap_at_end: &Tally) -> Result<(), SinkError> {
        let closed = self.files.close(gap_at_end);
        self.closed_at.get_or_init(Instant::now);
        closed
    }

    fn progress(&self) -> SinkProgress {
        self.files.progress()
    }
}
