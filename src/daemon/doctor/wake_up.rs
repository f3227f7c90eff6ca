//! How late this machine wakes a thread, measured as the acquisition thread would wait: on its core, at its priority,
//! once for every frame, against absolute deadlines (as `cyclictest` does).

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::report::{Finding, Remedy, count, time_text};
use super::rig::Rig;
use crate::rt::{self, Refused, Role};

const CHECK: &str = "wake-up";

/// Lateness is counted by the microsecond up to here; what is later counts with the longest.
const BUCKETS: usize = 100_000;

/// Below this no sleep is worth its name: a faster source is waited for by the block.
const PERIOD_MIN_NS: u64 = 50_000;

/// Above this a few seconds would hold too few wake-ups.
const PERIOD_MAX_NS: u64 = 10_000_000;

/// Of the slack so much may be used without a warning.
const SLACK_SHARE: f64 = 0.5;

/// How late wake-ups were.
#[derive(Debug, Clone)]
pub(super) struct Lateness {
    /// `counts[n]` wake-ups came between n and n + 1 microseconds late.
    counts: Vec<u32>,
    /// From wake-up to wake-up.
    period_ns: u64,
    /// From frame to frame: the same, unless that is too short or too long to measure by.
    frame_ns: u64,
    n_wake_ups: u64,
    max_ns: u64,
    /// Frames that a source with that slack would have lost, and those of one without any memory: later than a period.
    n_lost: u64,
    n_periods_late: u64,
}

impl Lateness {
    fn new(frame_ns: u64) -> Lateness {
        let (counts, period_ns) = (vec![0; BUCKETS], frame_ns.clamp(PERIOD_MIN_NS, PERIOD_MAX_NS));
        Lateness {
            counts,
            period_ns,
            frame_ns: frame_ns.max(1),
            n_wake_ups: 0,
            max_ns: 0,
            n_lost: 0,
            n_periods_late: 0,
        }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn add(&mut self, late_ns: u64, slack_ns: u64) {
        let bucket = usize::try_from(late_ns / 1000).unwrap_or(BUCKETS).min(BUCKETS - 1);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.n_wake_ups += 1;
        self.max_ns = self.max_ns.max(late_ns);
        self.n_periods_late += late_ns / self.frame_ns;
        if late_ns > slack_ns {
            self.n_lost += 1 + (late_ns - slack_ns) / self.frame_ns;
        }
    }

    /// Lateness that the part `share` of all wake-ups did not exceed, in microseconds, rounded up.
    fn percentile_us(&self, share: f64) -> f64 {
        let wanted = share * self.n_wake_ups as f64;
        let mut n_seen = 0.0;
        for (bucket, n) in self.counts.iter().enumerate() {
            n_seen += f64::from(*n);
            if n_seen >= wanted {
                return ((bucket + 1) as f64).min(self.max_us());
            }
        }
        self.max_us()
    }

    fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1e3
    }
}

/// Measures for `time` and judges.
pub(super) fn latency(rig: &Rig, time: Duration) -> Vec<Finding> {
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace: it goes as fast as it is read")];
    }
    match measure(rig, time) {
        Ok((lateness, refused)) => vec![judge(rig, &lateness, &refused)],
        Err(error) => vec![Finding::skipped(CHECK, format!("no thread can be made to measure with: {error}"))],
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the casts saturate")]
fn measure(rig: &Rig, time: Duration) -> std::io::Result<(Lateness, Vec<Refused>)> {
    let frame_ns = (1e9 / rig.rate_hz) as u64;
    let slack_ns = (rig.slack_us * 1e3) as u64;
    let role = Role { name: "doctor", core: Some(rig.acquire_core), priority: Some(rig.priority) };
    let thread = thread::Builder::new().name(role.name.to_owned()).spawn(move || {
        let mut lateness = Lateness::new(frame_ns);
        let refused = rt::enter(&role);
        watch(&mut lateness, slack_ns, rt::now_ns() + time.as_nanos() as u64);
        (lateness, refused)
    })?;
    thread.join().map_err(|_| std::io::Error::other("it panicked"))
}

/// Sleeps from deadline to deadline. Deadlines that passed asleep get no wake-up of their own.
///
/// Real time: no allocation, no locks, no logging; waits for the clock alone.
fn watch(lateness: &mut Lateness, slack_ns: u64, end_ns: u64) {
    let mut deadline_ns = rt::now_ns() + lateness.period_ns;
    while deadline_ns < end_ns {
        rt::sleep_until(deadline_ns);
        let late_ns = rt::now_ns().saturating_sub(deadline_ns);
        lateness.add(late_ns, slack_ns);
        deadline_ns += lateness.period_ns * (1 + late_ns / lateness.period_ns);
    }
}

fn judge(rig: &Rig, lateness: &Lateness, refused: &[Refused]) -> Finding {
    let [half, p99, p999] = [0.5, 0.99, 0.999].map(|share| lateness.percentile_us(share));
    let max_us = lateness.max_us();
    let how = if refused.is_empty() { format!("SCHED_FIFO {}", rig.priority) } else { "as far as allowed".to_owned() };
    let period_us = lateness.period_ns as f64 / 1e3;
    let mut found = format!(
        "{} wake-ups, one every {}, on core {}, {how}: half within {}, 99 % {}, 99.9 % {}, the longest {}; {} would \
         have been lost",
        lateness.n_wake_ups,
        time_text(period_us),
        rig.acquire_core,
        time_text(half),
        time_text(p99),
        time_text(p999),
        time_text(max_us),
        count(lateness.n_lost, "frame"),
    );
    if rig.hardware.is_none() {
        found += &format!(
            " with the {} that this source can wait, {} by a converter without memory",
            time_text(rig.slack_us),
            lateness.n_periods_late
        );
    }
    for refused in refused {
        found += &format!("; {} was refused: {}", refused.what, refused.why);
    }
    let why = format!(
        "A frame whose reading begins more than {} late is lost. This was measured for some seconds; a busy machine is \
         worse.",
        time_text(rig.slack_us)
    );
    let figures = json!({
        "wake_ups": lateness.n_wake_ups,
        "period_us": period_us,
        "core": rig.acquire_core,
        "fifo": refused.is_empty(),
        "p50_us": half,
        "p99_us": p99,
        "p99_9_us": p999,
        "max_us": max_us,
        "slack_us": rig.slack_us,
        "frames_lost": lateness.n_lost,
        "periods_late": lateness.n_periods_late,
    });
    let finding = if lateness.n_lost > 0 {
        let what = "first what stands above as a warning: priority, isolation, interrupts, core sleep, governor, \
                    preemption; then measure for longer, under load";
        let line = rig.measure_for_longer();
        Finding::fault(CHECK, found, why, Remedy::write(what, line))
    } else if let Some(refused) = refused.first() {
        Finding::warning(CHECK, found, why, Remedy::new(refused.remedy))
    } else if max_us > SLACK_SHARE * rig.slack_us {
        let line = rig.measure_for_longer();
        Finding::warning(CHECK, found, why, Remedy::write("measure for longer, under load", line))
    } else {
        Finding::fine(CHECK, found, why)
    };
    finding.with(figures)
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::super::report::Level;
    use super::*;

    /// 4 kHz, with so much slack; `late_us` each once, and 10,000 wake-ups after 5 us.
    fn lateness(slack_us: u64, late_us: &[u64]) -> Lateness {
        let mut lateness = Lateness::new(250_000);
        for late_us in late_us.iter().chain(&[5; 10_000]) {
            lateness.add(late_us * 1000, slack_us * 1000);
        }
        lateness
    }

    #[test]
    fn what_is_later_than_the_slack_is_lost() {
        let rig = fake::ads1299();
        let finding = judge(&rig, &lateness(93, &[12, 40]), &[]);
        assert_eq!(finding.level, Level::Fine);
        assert_eq!(
            finding.found,
            "10002 wake-ups, one every 250.0 us, on core 3, SCHED_FIFO 80: half within 6.0 us, 99 % 6.0 us, 99.9 % 6.0 \
             us, the longest 40.0 us; 0 frames would have been lost"
        );
        assert_eq!(judge(&rig, &lateness(93, &[80]), &[]).level, Level::Warning);
        // 36.8 ms: 147 frames; 93 us is not yet too late, 94 us is.
        let finding = judge(&rig, &lateness(93, &[93, 94, 36_802]), &[]);
        assert_eq!(finding.level, Level::Fault);
        assert!(finding.found.contains("the longest 36.8 ms; 148 frames would have been lost"), "{}", finding.found);
        assert_eq!(finding.figures["frames_lost"], 148);
        let line = finding.remedy.and_then(|remedy| remedy.line);
        assert_eq!(line.as_deref(), Some("biosigd doctor -c rig.toml --seconds 60"));
    }

    #[test]
    fn percentiles_by_the_microsecond() {
        let mut lateness = Lateness::new(250_000);
        for late_us in 0..1000 {
            lateness.add(late_us * 1000, 93_000);
        }
        assert_eq!([0.5, 0.99, 0.999].map(|share| lateness.percentile_us(share)), [500.0, 990.0, 999.0]);
        lateness.add(u64::MAX / 4, 93_000);
        assert_eq!(lateness.percentile_us(1.0), 100_000.0);
        assert_eq!(Lateness::new(1).percentile_us(0.5), 0.0);
    }

    #[test]
    fn a_refusal_is_told() {
        let refused =
            Refused { what: "SCHED_FIFO 80 for `doctor`".to_owned(), why: "EPERM".to_owned(), remedy: "ulimit -r 90" };
        let finding = judge(&fake::synthetic(), &lateness(990_000, &[300]), &[refused]);
        assert_eq!(finding.level, Level::Warning);
        assert!(
            finding.found.ends_with(
                "with the 990.0 ms that this source can wait, 1 by a converter without memory; SCHED_FIFO 80 for \
                 `doctor` was refused: EPERM"
            ),
            "{}",
            finding.found
        );
        assert_eq!(finding.figures["fifo"], false);
    }

    #[test]
    fn it_is_measured_where_a_clock_sets_the_pace() {
        assert_eq!(latency(&fake::free(), Duration::ZERO)[0].level, Level::Skipped);
        let rig = Rig { acquire_core: rt::Cores::of_this_machine().allowed[0], ..fake::synthetic() };
        let (began, time) = (std::time::Instant::now(), Duration::from_millis(20));
        let (lateness, _) = measure(&rig, time).expect("measured");
        assert!(lateness.n_wake_ups > 0 && lateness.max_ns > 0);
        // Up to the last deadline within it.
        assert!(began.elapsed() + Duration::from_nanos(lateness.period_ns) >= time, "{:?}", began.elapsed());
        // Lost: nothing, unless this machine stood still for a second.
        assert!(lateness.n_lost == 0 || lateness.max_ns > 900_000_000);
    }
}
