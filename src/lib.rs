//! biosigd: an acquisition daemon for biosignals. Every frame that the converter made is delivered or counted as lost,
//! by cause and by consumer.
//!
//! # The map
//!
//! Modules in the order that samples travel; each imports only from those before it (`tests/architecture.rs`).
//!
//! | module | holds | knows |
//! |---|---|---|
//! | [`block`] | the words of the trade: streams, blocks, slabs, causes of loss, markers | nothing of ours |
//! | [`edf`] | the file format EDF/BDF, both ways | nothing of ours |
//! | [`mod@format`] | the four formats of a recording, one trait to write and one reader | block, edf |
//! | [`config`] | TOML to checked values, and every message about a file | nothing of ours |
//! | [`rt`] | what Linux is asked for: cores, priorities, locked memory, clocks | nothing of ours |
//! | [`metrics`] | the table of every metric | nothing of ours |
//! | [`source`] | where samples come from | block, config, edf, format, rt |
//! | [`stage`] | what is done to a block | block, config |
//! | [`sink`] | where blocks go | block, config, edf, format |
//! | [`pipeline`] | threads and links | block, rt, metrics, and the traits of the three above |
//! | [`daemon`] | builds, starts, runs and stops all of it | everything |
//!
//! # Who waits for whom
//!
//! | thread | waits for | and otherwise only for |
//! |---|---|---|
//! | `acquire` | the converter | room in a link, within the source's slack |
//! | `process` | its link | |
//! | `record-intake` | its link | room in the packed ring, within the source's slack |
//! | `record-disk` | the ring | the disk |
//! | `websocket` | its poller: sockets, and a waker that `process` rings | |
//! | `http` | its poller | |
//! | `main` | signals, and the end of a thread | |
//!
//! # Where frames can be lost
//!
//! A row for every [`Cause`](block::Cause). Each loss leaves three marks: a counter, a gap in the data (indices run
//! on), and one log line per episode.
//!
//! | cause | place | what the consumer sees |
//! |---|---|---|
//! | `missed` | [`source`]: a conversion that nobody read in time | a gap for everyone |
//! | `spi` | [`source`]: a transfer that failed | a gap for everyone |
//! | `reinit` | [`source`]: the converter was set up again | a gap for everyone |
//! | `pool_empty` | [`pipeline::Acquire`] for everyone, a [`pipeline::Chain`] for its own stream | a gap |
//! | `link_full` | [`pipeline::Sender`]: the consumer had no room | a gap for this consumer |
//! | `ring_full` | [`pipeline::Intake`]: the stall budget was spent | a filled and annotated gap in the file |
//! | `disk` | [`pipeline::Disk`]: the disk refused (a write, or a sync and with it all since the sync before), or the drain ran out of time | the file ends before |
//! | `stage_fault` | a [`pipeline::Chain`]: a stage panicked | a gap in this chain and those that read from it |
//! | `client_slow` | [`sink::websocket`]: a client read too slowly or left | a gap for this client |

// The words of the trade, the file format, what Linux is asked for, the texts: they import nothing of ours.
pub mod block;
pub mod config;
pub mod edf;
pub mod format;
pub mod metrics;
pub mod rt;

// Where samples come from, what is done to them, where they go.
pub mod source;

pub mod stage;

pub mod sink;

// Threads and links; and the daemon that builds, runs and stops them.
pub mod pipeline;

pub mod daemon;
