//! Tells people when the disk falls behind, before anything is lost: a warning at half of the stall budget, an alarm
//! shortly before its end. The intake must not log and the disk's side cannot while the disk stalls, so `main` looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};

use crate::metrics::Metrics;

/// How far behind the disk is. Each level ends well below where it began, so that a backlog that sways about a limit is
/// one episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Level {
    /// Below half of the budget.
    Fine,
    /// Half of the budget and more, until it is below a quarter again.
    Behind,
    /// Nine tenths and more, until it is below three quarters again.
    Critical,
}

impl Level {
    const ALL: [Level; 3] = [Level::Fine, Level::Behind, Level::Critical];

    /// What follows it when `share` of the budget is taken.
    fn next(self, share: f64) -> Level {
        if share >= 0.9 || (self == Level::Critical && share >= 0.75) {
            Level::Critical
        } else if share >= 0.5 || (self != Level::Fine && share >= 0.25) {
            Level::Behind
        } else {
            Level::Fine
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Fine => "fine",
            Level::Behind => "behind",
            Level::Critical => "critical",
        }
    }
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// All is well again.
    Info(String),
    /// Nothing is lost yet.
    Warn(String),
    /// It is about to be.
    Error(String),
}

/// The backlog of the recorder's ring.
#[derive(Debug)]
pub(super) struct Backlog {
    metrics: Arc<Metrics>,
    budget_s: f64,
    /// A [`Level`]. Written by `main` alone, read by those who answer requests; `Relaxed`, it is a number by itself.
    level: AtomicU8,
}

impl Backlog {
    /// For a ring of `budget_s` seconds.
    pub(super) fn new(metrics: &Arc<Metrics>, budget_s: f64) -> Backlog {
        metrics.recorder_stall_budget.set(budget_s);
        Backlog { metrics: Arc::clone(metrics), budget_s, level: AtomicU8::new(0) }
    }

    /// Looks at it: the line that is due, at most one for each step of an episode. Called by `main` alone.
    pub(super) fn look(&self) -> Option<Line> {
        let (was, seconds) = (self.level(), self.metrics.recorder_backlog.get());
        let now = was.next(seconds / self.budget_s);
        self.level.store(now as u8, Ordering::Relaxed);
        let budget_s = self.budget_s;
        match now {
            Level::Critical if was < now => Some(Line::Error(format!(
                "the disk is {seconds:.1} s behind: when it is {budget_s} s, frames are lost"
            ))),
            Level::Behind if was < now => {
                Some(Line::Warn(format!("the disk is {seconds:.1} s behind; nothing is lost until it is {budget_s} s")))
            }
            Level::Fine if was > now => Some(Line::Info(format!(
                "the disk has caught up; it was {:.1} s behind at most since start",
                self.metrics.recorder_backlog_max.get()
            ))),
            _ => None,
        }
    }

    /// The same for the status.
    pub(super) fn json(&self) -> Value {
        json!({
            "level": self.level().name(),
            "seconds": self.metrics.recorder_backlog.get(),
            "most_seconds": self.metrics.recorder_backlog_max.get(),
            "budget_seconds": self.budget_s,
            "longest_write_seconds": self.metrics.recorder_write_max.get(),
        })
    }

    /// What `/healthz` says of it.
    pub(super) fn complaint(&self) -> Option<String> {
        (self.level() == Level::Critical).then(|| {
            let seconds = self.metrics.recorder_backlog.get();
            format!("the disk is {seconds:.1} s behind; from {} s on frames are lost", self.budget_s)
        })
    }

    fn level(&self) -> Level {
        Level::ALL.get(usize::from(self.level.load(Ordering::Relaxed))).copied().unwrap_or(Level::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_step_of_an_episode() {
        let metrics = Arc::new(Metrics::new("0").expect("metrics"));
        let backlog = Backlog::new(&metrics, 10.0);
        let at = |seconds: f64| {
            metrics.recorder_backlog.set(seconds);
            let line = backlog.look();
            (line, backlog.complaint(), backlog.json()["level"].clone())
        };
        let warned = |text: &str| Some(Line::Warn(text.to_owned()));
        assert_eq!(at(4.9), (None, None, json!("fine")));
        assert_eq!(
            at(5.0),
            (warned("the disk is 5.0 s behind; nothing is lost until it is 10 s"), None, json!("behind"))
        );
        // It sways about the limit.
        for seconds in [4.9, 5.1, 2.5, 8.9] {
            assert_eq!(at(seconds), (None, None, json!("behind")), "{seconds}");
        }
        let complaint = |seconds: f64| Some(format!("the disk is {seconds:.1} s behind; from 10 s on frames are lost"));
        let alarm = Line::Error("the disk is 9.0 s behind: when it is 10 s, frames are lost".to_owned());
        assert_eq!(at(9.0), (Some(alarm), complaint(9.0), json!("critical")));
        for seconds in [8.9, 10.0, 7.5] {
            assert_eq!(at(seconds), (None, complaint(seconds), json!("critical")), "{seconds}");
        }
        assert_eq!(at(7.4), (None, None, json!("behind")));
        metrics.recorder_backlog_max.set(10.0);
        let well = Line::Info("the disk has caught up; it was 10.0 s behind at most since start".to_owned());
        assert_eq!(at(2.4), (Some(well), None, json!("fine")));
        // From nothing to the end at once, and back.
        assert!(matches!(at(9.5).0, Some(Line::Error(_))));
        assert!(matches!(at(0.0).0, Some(Line::Info(_))));
    }
}
