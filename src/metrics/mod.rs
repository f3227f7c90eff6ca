//! One table of every metric: [`Metrics::new`] is that table, a row each with its name, help and labels. Counters
//! are atomics with names; children are made once at start, so that counting on a real-time thread is one atomic
//! addition, and every series is there from the first scrape on. Two collectors have their rows beside them and are asked at
//! every scrape: the process, and a converter with chips.

mod converter;
mod process;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};
use prometheus::{Registry, TextEncoder};

pub use converter::{ConverterLook, ElectrodeLook};

/// Upper ends of the histograms in seconds, 10 us to 1 s in steps of 1, 2.5 and 5.
const BUCKETS_S: [f64; 16] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0];

/// The content type of [`Metrics::text`]; Prometheus 3 refuses a scrape without it.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// Every metric of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Conversions.
    pub frames: IntCounter,
    /// Frames owed, by consumer.
    pub expected_frames: IntCounterVec,
    /// Frames delivered, by consumer.
    pub delivered_frames: IntCounterVec,
    /// Frames lost, by consumer and cause.
    pub lost_frames: IntCounterVec,
    /// Blocks refused or displaced by a full link.
    pub overruns: IntCounterVec,
    /// Blocks in a link.
    pub link_depth: IntGaugeVec,
    /// Blocks a link can hold.
    pub link_capacity: IntGaugeVec,
    /// Slabs of a pool.
    pub pool_slabs: IntGaugeVec,
    /// Slabs of a pool that nobody reads.
    pub pool_slabs_free: IntGaugeVec,
    /// Conversions that nobody read in time.
    pub drdy_missed: IntCounter,
    /// From the edge to the read.
    pub drdy_to_read: Histogram,
    /// From the edge to the consumer's hand-off.
    pub block_latency: HistogramVec,
    /// Time in a stage.
    pub stage_time: HistogramVec,
    /// Panics of stages.
    pub stage_faults: IntCounter,
    /// The measured rate.
    pub sample_rate: Gauge,
    /// The converter's clock against the system's.
    pub adc_clock: Gauge,
    /// Frames with a sample at the end of its range, by channel.
    pub saturated_frames: IntCounterVec,
    /// Clients connected.
    pub ws_clients: IntGauge,
    /// Bytes handed to the kernel for clients.
    pub ws_sent_bytes: IntCounter,
    /// Messages dropped for slow clients.
    pub ws_dropped_messages: IntCounter,
    /// Bytes written by the recorder.
    pub recorder_written_bytes: IntCounter,
    /// Time of a sync to disk.
    pub recorder_fsync: Histogram,
    /// Seconds of signal between the recorder's intake and the disk.
    pub recorder_backlog: Gauge,
    /// The most of it since start.
    pub recorder_backlog_max: Gauge,
    /// How much of it the ring can hold.
    pub recorder_stall_budget: Gauge,
    /// The longest that the disk took for one thing since start.
    pub recorder_write_max: Gauge,
    /// Whether a recording is active.
    pub recorder_active: IntGauge,
    /// Free bytes where recordings go.
    pub disk_free_bytes: IntGauge,
}

impl Metrics {
    /// The table. `version` becomes the label of `build_info`.
    ///
    /// # Errors
    /// When two rows have the same name: a mistake of ours, found by every test.
    #[rustfmt::skip]
    pub fn new(version: &str) -> Result<Metrics, prometheus::Error> {
        let r = Registry::new();
        let build = row(&r, IntGaugeVec::new(opts("build_info", "Version of the daemon; the value is always 1."), &["version"])?)?;
        build.with_label_values(&[version]).set(1);
        r.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Metrics {
            frames:                 row(&r, IntCounter::with_opts(opts("frames_total", "Conversions of the ADC since start, lost ones included."))?)?,
            expected_frames:        row(&r, IntCounterVec::new(opts("expected_frames_total", "Frames a consumer was owed; equals delivered + lost once the links are empty."), &["consumer"])?)?,
            delivered_frames:       row(&r, IntCounterVec::new(opts("delivered_frames_total", "Frames delivered to a consumer."), &["consumer"])?)?,
            lost_frames:            row(&r, IntCounterVec::new(opts("lost_frames_total", "Frames a consumer did not get, by cause."), &["consumer", "cause"])?)?,
            overruns:               row(&r, IntCounterVec::new(opts("overruns_total", "Blocks refused or displaced by a full link."), &["link"])?)?,
            link_depth:             row(&r, IntGaugeVec::new(opts("link_depth", "Blocks in a link."), &["link"])?)?,
            link_capacity:          row(&r, IntGaugeVec::new(opts("link_capacity", "Blocks a link can hold."), &["link"])?)?,
            pool_slabs:             row(&r, IntGaugeVec::new(opts("pool_slabs", "Slabs of a pool."), &["pool"])?)?,
            pool_slabs_free:        row(&r, IntGaugeVec::new(opts("pool_slabs_free", "Slabs of a pool that nobody reads."), &["pool"])?)?,
            drdy_missed:            row(&r, IntCounter::with_opts(opts("drdy_missed_total", "Conversions that nobody read in time."))?)?,
            drdy_to_read:           row(&r, Histogram::with_opts(times("drdy_to_read_seconds", "From a block's last DRDY edge to its read."))?)?,
            block_latency:          row(&r, HistogramVec::new(times("block_latency_seconds", "From the edge of a block's last frame to the consumer's hand-off."), &["consumer"])?)?,
            stage_time:             row(&r, HistogramVec::new(times("stage_seconds", "Time a stage took for a block."), &["chain", "stage"])?)?,
            stage_faults:           row(&r, IntCounter::with_opts(opts("stage_faults_total", "Stages that panicked and are bypassed since."))?)?,
            sample_rate:            row(&r, Gauge::with_opts(opts("sample_rate_hertz", "Frames per second, measured over the last ten seconds or more."))?)?,
            adc_clock:              row(&r, Gauge::with_opts(opts("adc_clock_ppm", "Measured rate against the nominal one, in parts per million."))?)?,
            saturated_frames:       row(&r, IntCounterVec::new(opts("saturated_frames_total", "Frames in which a channel stood at the end of its range."), &["channel"])?)?,
            ws_clients:             row(&r, IntGauge::with_opts(opts("ws_clients", "WebSocket clients connected."))?)?,
            ws_sent_bytes:          row(&r, IntCounter::with_opts(opts("ws_sent_bytes_total", "Bytes of messages handed to the kernel for clients."))?)?,
            ws_dropped_messages:    row(&r, IntCounter::with_opts(opts("ws_dropped_messages_total", "Messages dropped for clients that read too slowly."))?)?,
            recorder_written_bytes: row(&r, IntCounter::with_opts(opts("recorder_written_bytes_total", "Bytes written to recordings."))?)?,
            recorder_fsync:         row(&r, Histogram::with_opts(times("recorder_fsync_seconds", "Time of a sync to disk."))?)?,
            recorder_backlog:       row(&r, Gauge::with_opts(opts("recorder_backlog_seconds", "Signal that waits in the recorder's ring for the disk."))?)?,
            recorder_backlog_max:   row(&r, Gauge::with_opts(opts("recorder_backlog_max_seconds", "The most signal that has waited for the disk since start."))?)?,
            recorder_stall_budget:  row(&r, Gauge::with_opts(opts("recorder_stall_budget_seconds", "Signal that may wait for the disk before frames are lost; 0 where nothing is recorded."))?)?,
            recorder_write_max:     row(&r, Gauge::with_opts(opts("recorder_write_max_seconds", "The longest that the disk has taken to open, write, sync or finish since start."))?)?,
            recorder_active:        row(&r, IntGauge::with_opts(opts("recorder_active", "1 while a recording is active."))?)?,
            disk_free_bytes:        row(&r, IntGauge::with_opts(opts("disk_free_bytes", "Free bytes where recordings go."))?)?,
            registry: r,
        })
    }

    /// Shows a converter with chips from now on: `look` is asked at every scrape.
    ///
    /// # Errors
    /// When there is one already: a mistake of ours.
    pub fn watch_converter(
        &self,
        look: impl Fn() -> ConverterLook + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(converter::ConverterCollector::new(Box::new(look))?))
    }

    /// All metrics in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// When the encoder refuses a metric, which no row of the table provokes.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(if name.starts_with("process_") { "" } else { "biosigd" })
}

fn times(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::from(opts(name, help)).buckets(BUCKETS_S.to_vec())
}

fn row<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_help_type_and_value_for_every_row() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics.frames.inc_by(7);
        let text = metrics.text().unwrap();
        assert!(text.contains("# TYPE biosigd_frames_total counter\nbiosigd_frames_total 7\n"), "{text}");
        assert!(text.contains("biosigd_build_info{version=\"1.2.3\"} 1\n"), "{text}");
        assert!(text.ends_with('\n'));
    }
}
