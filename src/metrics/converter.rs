//! The metrics of a converter with chips: its rows of the table of metrics, filled at every scrape from what its source
//! notices. Nothing is copied in between, so nothing is old; a source without chips has none of these rows.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::opts;

/// A look at a converter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConverterLook {
    /// Failed transfers by what was wrong with them.
    pub spi_errors: Vec<(&'static str, u64)>,
    /// Frames whose status word was wrong, by chip.
    pub sync_errors: Vec<u64>,
    /// Frames that were flagged suspect, for whatever reason, by chip.
    pub suspect_frames: Vec<u64>,
    /// Frames in which a channel was stuck, with the channel's name.
    pub stuck_frames: Vec<(String, u64)>,
    /// How often the converter was set up again, with every chip.
    pub n_reinits: u64,
    /// How often that was tried and a chip did not come back.
    pub n_reinits_failed: u64,
    /// What is wrong with each chip now; `None`: nothing is known to be.
    pub chip_faults: Vec<Option<&'static str>>,
    /// Whether no edges come.
    pub silent: bool,
    /// Whether it fails now.
    pub failing: bool,
    /// How edges departed from one for each conversion, by kind.
    pub edges: Vec<(&'static str, u64)>,
    /// Seconds since every register that can be read was read back and right; `None`: never.
    pub registers_read_s_ago: Option<f64>,
    /// How far apart START reached the first and the last chip select, microseconds; `None` where all see it at once.
    pub start_skew_us: Option<f64>,
    /// Frames per second by the running estimate, and by how much that is off, in parts per million.
    pub rate: Option<(f64, f64)>,
    /// Channels whose electrodes are watched or were measured.
    pub electrodes: Vec<ElectrodeLook>,
}

/// What is known of the electrodes of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ElectrodeLook {
    /// The channel's name.
    pub channel: String,
    /// Whether one is off; `None` where nobody watches.
    pub off: Option<bool>,
    /// Whether the positive one is off, and the negative one; `None` where nobody watches.
    pub sides: [Option<bool>; 2],
    /// The impedance that was measured last, in ohms; `None` where none was measured.
    pub impedance_ohms: Option<f64>,
}

/// The electrodes of a channel, as a label.
const SIDES: [&str; 2] = ["positive", "negative"];

/// Asks for a look at every scrape.
pub(super) struct ConverterCollector {
    look: Box<dyn Fn() -> ConverterLook + Send + Sync>,
    descriptions: Vec<Desc>,
}

/// The rows.
struct Rows {
    spi_errors: IntCounterVec,
    sync_errors: IntCounterVec,
    suspect_frames: IntCounterVec,
    stuck_frames: IntCounterVec,
    reinits: IntCounterVec,
    reinits_failed: IntCounterVec,
    edges: IntCounterVec,
    lead_off: IntGaugeVec,
    side_off: IntGaugeVec,
    impedance: GaugeVec,
}

impl Rows {
    #[rustfmt::skip]
    fn new() -> Result<Rows, prometheus::Error> {
        Ok(Rows {
            spi_errors:  IntCounterVec::new(opts("spi_errors_total", "Transfers with the converter that failed, by what was wrong."), &["kind"])?,
            sync_errors: IntCounterVec::new(opts("sync_errors_total", "Frames whose status word was wrong; they are delivered, flagged suspect."), &["chip"])?,
            suspect_frames: IntCounterVec::new(opts("suspect_frames_total", "Frames of a chip that are flagged suspect, for whatever reason: status word, the same frame again, a register, a read that came late."), &["chip"])?,
            stuck_frames: IntCounterVec::new(opts("stuck_frames_total", "Frames in which a channel gave the same code as for a quarter of a second before."), &["channel"])?,
            reinits:     IntCounterVec::new(opts("reinits_total", "How often the converter was set up again while the daemon ran, and every chip came back."), &[])?,
            reinits_failed: IntCounterVec::new(opts("reinit_failures_total", "How often that was tried and a chip, or all of them, did not come back."), &[])?,
            edges:       IntCounterVec::new(opts("drdy_departures_total", "How edges of DRDY departed from one for each conversion: merged by the kernel, overflowed in its queue, unseen by it, spurious; or frames discarded in doubt of their conversion."), &["kind"])?,
            lead_off:    IntGaugeVec::new(opts("lead_off", "1 while an electrode of the channel is off; channels whose electrodes are watched."), &["channel"])?,
            side_off:    IntGaugeVec::new(opts("electrode_off", "1 while this electrode of the channel is off, its positive or its negative one; electrodes that are watched."), &["channel", "side"])?,
            impedance:   GaugeVec::new(opts("electrode_impedance_ohms", "Impedance of the channel's electrode as it was measured last."), &["channel"])?,
        })
    }

    fn all(&self) -> [&dyn Collector; 10] {
        let Rows { spi_errors, sync_errors, suspect_frames, stuck_frames, reinits, reinits_failed, .. } = self;
        let Rows { edges, lead_off, side_off, impedance, .. } = self;
        [
            spi_errors,
            sync_errors,
            suspect_frames,
            stuck_frames,
            reinits,
            reinits_failed,
            edges,
            lead_off,
            side_off,
            impedance,
        ]
    }
}

impl ConverterCollector {
    pub(super) fn new(
        look: Box<dyn Fn() -> ConverterLook + Send + Sync>,
    ) -> Result<ConverterCollector, prometheus::Error> {
        let descriptions = Rows::new()?.all().iter().flat_map(|row| row.desc()).cloned().collect();
        Ok(ConverterCollector { look, descriptions })
    }
}

impl Collector for ConverterCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let look = (self.look)();
        // They could be made when the collector was.
        let Ok(rows) = Rows::new() else { return Vec::new() };
        for (kind, n_errors) in look.spi_errors {
            rows.spi_errors.with_label_values(&[kind]).inc_by(n_errors);
        }
        for (chip, n_frames) in (1..).zip(look.sync_errors) {
            rows.sync_errors.with_label_values(&[&format!("{chip}")]).inc_by(n_frames);
        }
        for (chip, n_frames) in (1..).zip(look.suspect_frames) {
            rows.suspect_frames.with_label_values(&[&format!("{chip}")]).inc_by(n_frames);
        }
        for (channel, n_frames) in &look.stuck_frames {
            rows.stuck_frames.with_label_values(&[channel]).inc_by(*n_frames);
        }
        rows.reinits.with_label_values(&[] as &[&str]).inc_by(look.n_reinits);
        rows.reinits_failed.with_label_values(&[] as &[&str]).inc_by(look.n_reinits_failed);
        for (kind, n_edges) in look.edges {
            rows.edges.with_label_values(&[kind]).inc_by(n_edges);
        }
        for ElectrodeLook { channel, off, sides, impedance_ohms } in &look.electrodes {
            for (side, off) in SIDES.into_iter().zip(sides) {
                if let Some(off) = off {
                    rows.side_off.with_label_values(&[channel.as_str(), side]).set(i64::from(*off));
                }
            }
            if let Some(off) = off {
                rows.lead_off.with_label_values(&[channel]).set(i64::from(*off));
            }
            if let Some(ohms) = impedance_ohms {
                rows.impedance.with_label_values(&[channel]).set(*ohms);
            }
        }
        rows.all().iter().flat_map(|row| row.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::metrics::{ConverterLook, ElectrodeLook, Metrics};

    #[test]
    fn every_scrape_is_a_look() {
        let metrics = Metrics::new("test").unwrap();
        assert!(!metrics.text().unwrap().contains("sync_errors"), "no converter, no rows");
        let n_reinits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&n_reinits);
        let electrode = |channel: &str, sides: [Option<bool>; 2], impedance_ohms| ElectrodeLook {
            channel: channel.to_owned(),
            off: sides.contains(&Some(true)).then_some(true).or(sides[0]),
            sides,
            impedance_ohms,
        };
        metrics
            .watch_converter(move || ConverterLook {
                spi_errors: vec![("io", 2), ("timeout", 0)],
                sync_errors: vec![0, 7],
                suspect_frames: vec![3, 12],
                stuck_frames: vec![("Fp1".to_owned(), 0), ("Fp2".to_owned(), 1000)],
                n_reinits_failed: 2,
                n_reinits: counted.load(Ordering::Relaxed),
                failing: false,
                edges: vec![("merged", 4), ("unseen", 0)],
                electrodes: vec![
                    electrode("Fp1", [Some(false), Some(true)], Some(5230.5)),
                    electrode("Fp2", [Some(false), None], None),
                ],
                ..ConverterLook::default()
            })
            .unwrap();
        let text = metrics.text().unwrap();
        for line in [
            "# TYPE biosigd_spi_errors_total counter",
            "biosigd_spi_errors_total{kind=\"io\"} 2",
            "biosigd_spi_errors_total{kind=\"timeout\"} 0",
            "biosigd_sync_errors_total{chip=\"1\"} 0",
            "biosigd_sync_errors_total{chip=\"2\"} 7",
            "biosigd_suspect_frames_total{chip=\"1\"} 3",
            "biosigd_suspect_frames_total{chip=\"2\"} 12",
            "# TYPE biosigd_stuck_frames_total counter",
            "biosigd_stuck_frames_total{channel=\"Fp1\"} 0",
            "biosigd_stuck_frames_total{channel=\"Fp2\"} 1000",
            "biosigd_reinits_total 0",
            "biosigd_reinit_failures_total 2",
            "# TYPE biosigd_lead_off gauge",
            "biosigd_lead_off{channel=\"Fp1\"} 1",
            "biosigd_lead_off{channel=\"Fp2\"} 0",
            "biosigd_electrode_impedance_ohms{channel=\"Fp1\"} 5230.5",
            "# TYPE biosigd_drdy_departures_total counter",
            "biosigd_drdy_departures_total{kind=\"merged\"} 4",
            "biosigd_drdy_departures_total{kind=\"unseen\"} 0",
            "biosigd_electrode_off{channel=\"Fp1\",side=\"positive\"} 0",
            "biosigd_electrode_off{channel=\"Fp1\",side=\"negative\"} 1",
            "biosigd_electrode_off{channel=\"Fp2\",side=\"positive\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("biosigd_electrode_impedance_ohms{")).count(), 1);
        assert!(!text.contains("channel=\"Fp2\",side=\"negative\""), "nobody watches it");
        n_reinits.store(3, Ordering::Relaxed);
        assert!(metrics.text().unwrap().contains("biosigd_reinits_total 3\n"));
    }
}
