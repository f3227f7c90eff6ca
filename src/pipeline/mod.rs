//! Threads and links: who gives a block to whom, and what happens when that one is not ready.

mod acquire;
mod chain;
mod disk;
mod fanout;
mod intake;
mod ledger;
mod link;
mod patience;
mod process;
mod progress;
mod rate;
mod ring;

pub use acquire::Acquire;
pub use chain::{CHAIN_SLABS, Chain, From};
pub use disk::{Disk, RecordingStatus};
pub use fanout::Fanout;
pub use intake::{Gate, Intake};
pub use ledger::Ledger;
pub use link::{Bell, LINK_BLOCKS, Popped, Receiver, Sender, WhenFull, link};
pub use process::{Exchange, Process};
pub use progress::Progress;
pub use ring::{RingReader, RingWriter, Taken, ring, ring_bytes};
