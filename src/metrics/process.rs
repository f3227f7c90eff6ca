//! The standard `process_*` metrics and the CPU time of every thread, read from `/proc` when Prometheus asks.
//! The `prometheus` crate's own collector counts whole seconds and brings six crates; this one counts ticks.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Gauge, Opts};

/// Reads `/proc/self` at every scrape. Where `/proc` is missing its metrics are absent.
pub(super) struct ProcessCollector {
    descriptions: Vec<Desc>,
    ticks_per_second: f64,
    page_bytes: f64,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<ProcessCollector, prometheus::Error> {
        let description = Desc::new(
            "biosigd_thread_cpu_seconds_total".to_owned(),
            THREAD_CPU_HELP.to_owned(),
            vec!["thread".to_owned()],
            std::collections::HashMap::new(),
        )?;
        Ok(ProcessCollector {
            descriptions: vec![description],
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
        })
    }

    fn gather(&self) -> Option<Vec<MetricFamily>> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let fields = Fields::parse(&stat)?;
        let mut families = Vec::new();
        let cpu = Counter::new("process_cpu_seconds_total", "User and system CPU time.").ok()?;
        cpu.inc_by(fields.cpu_ticks()? / self.ticks_per_second);
        families.extend(cpu.collect());
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            if let (Some(value), Ok(gauge)) = (value, Gauge::new(name, help)) {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        };
        gauge("process_virtual_memory_bytes", "Virtual memory.", fields.number(23));
        let resident = fields.number(24).map(|pages| pages * self.page_bytes);
        gauge("process_resident_memory_bytes", "Resident memory.", resident);
        gauge("process_threads", "Threads.", fields.number(20));
        let start = boot_time_s().zip(fields.number(22)).map(|(boot, ticks)| boot + ticks / self.ticks_per_second);
        gauge("process_start_time_seconds", "Start of the process, seconds since 1970 UTC.", start);
        let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
        gauge("process_open_fds", "Open file descriptors.", open);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        gauge("process_max_fds", "Most file descriptors allowed.", limit.map(|limit| limit as f64));
        families.extend(self.thread_cpu()?.collect());
        Some(families)
    }

    fn thread_cpu(&self) -> Option<CounterVec> {
        let opts = Opts::new("biosigd_thread_cpu_seconds_total", THREAD_CPU_HELP);
        let seconds = CounterVec::new(opts, &["thread"]).ok()?;
        for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
            // A thread may end between the listing and the reading; it is left out then.
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            if let Some((name, ticks)) =
                Fields::parse(&stat).and_then(|fields| Some((fields.name, fields.cpu_ticks()?)))
            {
                seconds.with_label_values(&[name]).inc_by(ticks / self.ticks_per_second);
            }
        }
        Some(seconds)
    }
}

const THREAD_CPU_HELP: &str = "User and system CPU time of a thread.";

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gather().unwrap_or_default()
    }
}

/// The fields of a `stat` file, numbered as in proc(5).
struct Fields<'a> {
    name: &'a str,
    /// Fields 3 and on: what follows the name, which stands in parentheses and may itself contain spaces.
    rest: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn parse(stat: &'a str) -> Option<Fields<'a>> {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        Some(Fields { name, rest: after.split_whitespace().collect() })
    }

    fn number(&self, field: usize) -> Option<f64> {
        self.rest.get(field - 3)?.parse().ok()
    }

    fn cpu_ticks(&self) -> Option<f64> {
        Some(self.number(14)? + self.number(15)?)
    }
}

fn boot_time_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let fields = Fields::parse("42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 11 12").unwrap();
        assert_eq!(fields.name, "a (b) c");
        assert_eq!(fields.number(14), Some(11.0));
        assert_eq!(fields.cpu_ticks(), Some(23.0));
    }

    #[test]
    fn this_process_is_seen() {
        let families = ProcessCollector::new().unwrap().gather().expect("Linux has /proc");
        assert!(families.iter().any(|family| family.name() == "process_resident_memory_bytes"));
        assert!(families.iter().any(|family| family.name() == "biosigd_thread_cpu_seconds_total"));
    }
}
