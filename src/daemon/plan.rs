//! What a configuration means before anything runs: sizes, depths in milliseconds, disk minutes, what is dropped
//! first. `biosigd check` prints it.

use std::fmt;

use super::load::Loaded;
use super::settings::{OnOverflow, Record};
use super::sizes::{Sizes, bytes_per_s};
use crate::pipeline::LINK_BLOCKS;

/// The plan, for people.
pub(super) fn plan(loaded: &Loaded) -> String {
    let (raw, settings) = (&loaded.raw, &loaded.settings);
    let mut text = String::new();
    let out = &mut text;
    let block_ms = raw.block_frames_max as f64 * 1e3 / raw.rate_hz;
    line(out, format_args!("{} is right; nothing was started.", loaded.name));
    line(
        out,
        format_args!(
            "source      {}: {} at {} Hz, blocks of {} frames ({block_ms:.3} ms)",
            source(loaded),
            channels(loaded),
            raw.rate_hz,
            raw.block_frames_max
        ),
    );
    for (word, what) in &loaded.source_lines {
        line(out, format_args!("{word:<11} {what}"));
    }
    for chain in &loaded.chains {
        let stream = chain.stream();
        line(
            out,
            format_args!("chain       {}: {} channels at {} Hz", chain.name(), stream.n_channels(), stream.rate_hz),
        );
    }
    let link_ms = block_ms * LINK_BLOCKS as f64;
    line(out, format_args!("link        process: {LINK_BLOCKS} blocks, {link_ms:.1} ms; full: drops the newest block"));
    if settings.records() {
        line(out, format_args!("link        recorder: {LINK_BLOCKS} blocks, {link_ms:.1} ms, then the ring"));
    }
    for name in &loaded.streams {
        line(
            out,
            format_args!(
                "link        websocket.{name}: {LINK_BLOCKS} blocks, {link_ms:.1} ms; full: drops the oldest block"
            ),
        );
    }
    line(out, format_args!("memory      {}", Sizes::of(raw, loaded.n_chips, &loaded.chains, settings)));
    recorder(out, loaded);
    let who = match &settings.token {
        Some(token) => format!("for those with the token in {}", token.path.display()),
        None if settings.listen.ip().is_loopback() => "for this machine".to_owned(),
        None => "for whoever reaches it".to_owned(),
    };
    line(out, format_args!("http        http://{}/, {who}", settings.listen));
    let order = if settings.records() {
        "live clients first, then processing; the recorder last, after its stall budget"
    } else {
        "live clients first, then processing; nothing is recorded"
    };
    line(out, format_args!("loses       {order}"));
    text
}

/// What the source is called, and that it is simulated where it is.
pub(super) fn source(loaded: &Loaded) -> String {
    let simulated = if loaded.raw.is_simulated() { ", simulated" } else { "" };
    format!("{}{simulated}", loaded.source_kind)
}

/// How many channels, and from how many chips where each of them gives a status word.
pub(super) fn channels(loaded: &Loaded) -> String {
    let n_channels = loaded.raw.n_channels();
    match loaded.n_chips {
        0 => format!("{n_channels} channels"),
        1 => format!("{n_channels} channels of 1 chip"),
        n_chips => format!("{n_channels} channels of {n_chips} chips"),
    }
}

fn recorder(out: &mut String, loaded: &Loaded) {
    let recorder = &loaded.settings.recorder;
    if recorder.record == Record::Off {
        return line(out, format_args!("recorder    off"));
    }
    let overflow = match recorder.on_overflow {
        OnOverflow::Gap => "a gap, and it goes on",
        OnOverflow::Stop => "the recording ends with an error status",
    };
    line(
        out,
        format_args!(
            "recorder    {}: survives {} s without a disk, then {overflow}",
            loaded.recordings.display(),
            recorder.stall_budget_s
        ),
    );
    if let Some(when) = super::files::when(recorder) {
        line(out, format_args!("files       {}: another one {when}", recorder.file_name));
    }
    if let Some(what) = super::files::removes(recorder) {
        line(out, format_args!("keeps       {what}"));
    }
    let begins = match recorder.record {
        Record::Auto | Record::Off => "with the first frame",
        Record::Manual => "when it is asked to: POST /api/v1/recording/start, or the page",
    };
    line(out, format_args!("begins      {begins}"));
    if recorder.pre_s > 0.0 {
        line(out, format_args!("before      a recording that was asked for begins {} s before that", recorder.pre_s));
    }
    if let Some(fallback) = &loaded.fallback {
        line(out, format_args!("fallback    {}, while that directory takes none", fallback.display()));
    }
    line(out, format_args!("disk        {}", disk(loaded)));
}

/// How much an hour, and when it will stop.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gigabytes of a configuration in range")]
pub(super) fn disk(loaded: &Loaded) -> String {
    let recorder = &loaded.settings.recorder;
    let per_s = bytes_per_s(&loaded.raw, loaded.n_chips, (recorder.format, recorder.csv_values)).max(1);
    let per_hour_gb = per_s as f64 * 3600.0 / 1e9;
    let min_free_gb = recorder.min_free_gb;
    // The directory may not be there yet: its nearest ancestor lies on the same file system.
    let there = loaded.recordings.ancestors().find(|dir| dir.exists()).unwrap_or(std::path::Path::new("."));
    let there = if there.as_os_str().is_empty() { std::path::Path::new(".") } else { there };
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let usable_s = free.saturating_sub((min_free_gb * 1e9) as u64) / per_s;
            format!(
                "{per_hour_gb:.2} GB an hour; {:.1} GB are free, so it stops after {} h {:02} min, at {min_free_gb} GB free",
                free as f64 / 1e9,
                usable_s / 3600,
                usable_s % 3600 / 60
            )
        }
        Err(error) => format!("{per_hour_gb:.2} GB an hour; free space is unknown: {error}"),
    }
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    out.push_str(&format!("{text}\n"));
}
