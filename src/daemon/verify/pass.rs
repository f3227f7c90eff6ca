//! One pass over the records of a file.

use std::io::BufRead;

use super::Report;
use super::account::Account;
use super::counter::CounterCheck;
use crate::block::Channel;
use crate::edf::{Annotation, Header, Lists, Signal, format_ns};
use crate::format::{Fault, FileFormat, Reader, marked};
use crate::sink::recorder::GAP_TEXT;

/// What is gathered on the way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    header: &'a Header,
    rate_hz: f64,
    record_frames: u64,
    account: Option<&'a Account>,
    counter: Option<CounterCheck>,
    first_onset_ns: Option<i64>,
    previous_onset_ns: Option<i64>,
    n_annotations: u64,
    n_gaps: u64,
    /// Frames that fill up the last record, as it says itself.
    filling_frames: u64,
    /// Annotated gap frames among the frames that the sidecar speaks of (all, without a sidecar).
    gap_frames: u64,
    /// The number of the last record with an annotation, counted from 1.
    last_annotated_record: u64,
}

impl<'a> Pass<'a> {
    /// Gets ready for the file of `header`.
    pub(super) fn new(
        header: &'a Header,
        account: Option<&'a Account>,
        counter: bool,
        report: &mut Report,
    ) -> Pass<'a> {
        let data = || header.signals.iter().filter(|signal| !signal.is_annotations());
        let record_frames = data().next().map_or(0, |signal| signal.samples_per_record as u64);
        let one_rate = data().all(|signal| signal.samples_per_record as u64 == record_frames);
        let has_channels = data().any(Signal::is_channel) && record_frames > 0;
        let counter = match counter {
            true if one_rate && header.format.is_bdf() && has_channels => Some(CounterCheck::new(header, account)),
            true => {
                report.damage("the counter signal needs 24 bits and one rate for all signals".to_owned());
                None
            }
            false => None,
        };
        Pass {
            header,
            rate_hz: record_frames as f64 / header.record_duration_s,
            record_frames,
            account,
            counter,
            first_onset_ns: None,
            previous_onset_ns: None,
            n_annotations: 0,
            n_gaps: 0,
            filling_frames: 0,
            gap_frames: 0,
            last_annotated_record: 0,
        }
    }

    /// Reads all records; the fault where one cannot be read.
    pub(super) fn run(&mut self, reader: &mut Reader<impl BufRead>, report: &mut Report) -> Result<(), Fault> {
        let mut record = Vec::new();
        while let Some(n_frames) = reader.next(&mut record)? {
            let index = reader.n_records() - 1;
            let mut keeps_time = self.header.format.is_plus();
            for (_, range) in self.header.signal_ranges().filter(|(signal, _)| signal.is_annotations()) {
                self.annotations(index, &record[range], keeps_time, report);
                keeps_time = false;
            }
            let mut areas = self.header.signal_ranges().filter(|(signal, _)| signal.is_annotations());
            if let Some((_, range)) = areas.next().filter(|_| reader.format().is_edf()) {
                let n_recorded = marked(self.header, &record[range]).unwrap_or(n_frames);
                self.filling_frames += (n_frames - n_recorded.min(n_frames)) as u64;
            }
            if let Some(counter) = &mut self.counter {
                counter.record(self.header, &record, n_frames, report);
            }
        }
        if let Some(counter) = &mut self.counter {
            counter.finish(report);
        }
        Ok(())
    }

    fn annotations(&mut self, index: u64, area: &[u8], keeps_time: bool, report: &mut Report) {
        let mut lists = Lists::of(area).peekable();
        match lists.peek() {
            Some(Ok((onset_ns, _))) if keeps_time => self.time(index, *onset_ns, report),
            None if keeps_time => self.time(index, None, report),
            _ => {}
        }
        for list in lists {
            match list {
                Ok((_, annotations)) => self.list(index, &annotations),
                Err(error) => report.damage(format!("record {index}: {error}")),
            }
        }
    }

    fn list(&mut self, index: u64, annotations: &[Annotation]) {
        if !annotations.is_empty() {
            self.last_annotated_record = index + 1;
        }
        self.n_annotations += annotations.len() as u64;
        for gap in annotations.iter().filter(|annotation| annotation.text == GAP_TEXT) {
            let start = self.frame_at(gap.onset_ns.saturating_sub(self.first_onset_ns.unwrap_or(0)));
            let n_frames = self.frame_at(gap.duration_ns.unwrap_or(0));
            self.n_gaps += 1;
            if let Some(counter) = &mut self.counter {
                counter.gap(start, n_frames);
            }
            // While a recording runs, the sidecar speaks of its first records, and of the gaps annotated in them.
            let (n_frames, n_records) = match self.account {
                Some(account) if account.is_running() => (n_frames, account.records),
                _ => (n_frames, u64::MAX),
            };
            let limit = self.account.map_or(u64::MAX, |account| account.frames_written);
            if index < n_records {
                let n_spoken = start.saturating_add(n_frames).min(limit).saturating_sub(start.min(limit));
                self.gap_frames = self.gap_frames.saturating_add(n_spoken);
            }
        }
    }

    /// Compares a record's onset with the one that is due.
    fn time(&mut self, index: u64, onset_ns: Option<i64>, report: &mut Report) {
        let Some(onset_ns) = onset_ns else {
            report.damage(format!("record {index}: no time-keeping annotation"));
            return;
        };
        let duration_ns = self.header.record_duration_ns();
        let first_ns = *self.first_onset_ns.get_or_insert(onset_ns);
        let since_first_ns = duration_ns.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
        let due_ns = match self.previous_onset_ns {
            Some(previous_ns) if self.header.is_discontinuous() => previous_ns.saturating_add(duration_ns),
            _ => first_ns.saturating_add(since_first_ns),
        };
        self.previous_onset_ns = Some(onset_ns);
        let is_wrong = if self.header.is_discontinuous() { onset_ns < due_ns } else { onset_ns != due_ns };
        if is_wrong {
            report.damage(format!(
                "record {index}: the time-keeping annotation says {} s, {} s is due",
                format_ns(onset_ns),
                format_ns(due_ns)
            ));
        }
    }

    /// The frame nearest to an instant.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
    fn frame_at(&self, ns: i64) -> u64 {
        (ns as f64 * 1e-9 * self.rate_hz).round() as u64
    }

    /// Frames per record.
    pub(super) fn record_frames(&self) -> u64 {
        self.record_frames
    }

    /// Frames that annotations call gaps, as far as the sidecar speaks of them.
    pub(super) fn gap_frames(&self) -> u64 {
        self.gap_frames
    }

    /// The last record with an annotation, counted from 1; 0 where there is none.
    pub(super) fn last_annotated_record(&self) -> u64 {
        self.last_annotated_record
    }

    /// Says what the file holds.
    pub(super) fn summary(&self, reader: &Reader<impl BufRead>, report: &mut Report) {
        let n_records = reader.n_records();
        let count = |kind: fn(&Signal) -> bool| self.header.signals.iter().filter(|signal| kind(signal)).count();
        let (n_channels, n_status) = (count(Signal::is_channel), count(Signal::is_status));
        let status = if n_status > 0 { format!(" and {n_status} of status words") } else { String::new() };
        let duration_ns = self.header.record_duration_ns().saturating_mul(i64::try_from(n_records).unwrap_or(i64::MAX));
        let (format, length) = match reader.format() {
            FileFormat::Csv => ("CSV", format!("{} frames", reader.n_frames())),
            FileFormat::Raw => ("raw", format!("{} frames", reader.n_frames())),
            FileFormat::Bdf | FileFormat::Edf => (self.header.format.name(), format!("{} s", format_ns(duration_ns))),
        };
        report.note(format!(
            "{format}, {n_channels} signals{status} at {} Hz, {n_records} records of {} s, {length}",
            self.rate_hz, self.header.record_duration_text,
        ));
        if self.header.signals.iter().any(|signal| signal.transducer == Channel::SIMULATED) {
            report.note("simulated: nothing in it was measured".to_owned());
        }
        report.note(format!(
            "{} annotations, {} of them gaps, {} frames",
            self.n_annotations, self.n_gaps, self.gap_frames
        ));
        if self.filling_frames > 0 {
            let n_recorded = (n_records * self.record_frames).saturating_sub(self.filling_frames);
            report.note(format!(
                "{} frames only fill up the last record: {n_recorded} were recorded",
                self.filling_frames
            ));
        }
        if self.counter.as_ref().is_some_and(CounterCheck::is_well) {
            report.note("every code is the counter's".to_owned());
        }
    }
}
