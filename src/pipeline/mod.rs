//! Threads and links: who gives a block to whom, and what happens when that one is not ready.

mod acquire;
mod chain;
mod control;
mod disk;
mod edges;
mod fanout;
mod gate;
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
pub use control::{Control, Final, Order, Request, Ticket, Verdict, control};
pub use disk::{Disk, DiskParts, RecordingStatus};
pub use edges::{Edges, Nearest};
pub use fanout::Fanout;
pub use gate::Gate;
pub use intake::Intake;
pub use ledger::Ledger;
pub use link::{Bell, LINK_BLOCKS, Popped, Receiver, Sender, WhenFull, link};
pub use process::{Exchange, Process};
pub use progress::Progress;
pub use ring::{Next, RingReader, RingWriter, Taken, ring, ring_bytes};
