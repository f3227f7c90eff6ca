//! Log lines for a terminal or for the journal, which adds the time itself and reads the level from `<3>` to `<7>`
//! (sd-daemon(3)).

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use super::settings;

/// The level of the log, to be changed while it is written. Where `RUST_LOG` set it, it stays as it is.
pub(super) struct Level(Option<reload::Handle<Targets, Registry>>);

impl Level {
    /// From now on this level.
    pub(super) fn set(&self, level: settings::Level) {
        if let Some(handle) = &self.0 {
            // Refused only when the log is gone, and then there is nobody to tell.
            drop(handle.reload(filter(level)));
        }
    }
}

fn filter(level: settings::Level) -> Targets {
    let level = match level {
        settings::Level::Error => LevelFilter::ERROR,
        settings::Level::Warn => LevelFilter::WARN,
        settings::Level::Info => LevelFilter::INFO,
        settings::Level::Debug => LevelFilter::DEBUG,
        settings::Level::Trace => LevelFilter::TRACE,
    };
    quiet(Targets::new().with_default(level))
}

/// At trace the WebSocket library would format every payload.
fn quiet(targets: Targets) -> Targets {
    targets.with_target("tungstenite", tracing::Level::WARN)
}

/// Begins logging to standard error. `RUST_LOG` overrides the level of the configuration.
pub(super) fn start(level: settings::Level) -> Level {
    let given = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let fixed = given.is_some();
    let (filter, handle) = reload::Layer::new(given.map_or_else(|| filter(level), quiet));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(!journal && io::stderr().is_terminal())
        .event_format(Lines { journal })
        .with_filter(filter);
    // Tests of one process start more than one daemon: the first one's log serves them all.
    drop(tracing_subscriber::registry().with(layer).try_init());
    Level((!fixed).then_some(handle))
}

struct Lines {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journal {
            let priority = match level {
                tracing::Level::ERROR => 3,
                tracing::Level::WARN => 4,
                tracing::Level::INFO => 6,
                tracing::Level::DEBUG | tracing::Level::TRACE => 7,
            };
            write!(writer, "<{priority}>")?;
        } else {
            let now = jiff::Timestamp::now();
            write!(writer, "{now:.3} {level:>5} ")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
