//! The live stream: one writer thread, one poller, every client with a bounded buffer of its own. One encoding of a
//! block serves all clients that asked for the same channels; a client that lost something gets its own header.

mod client;
mod door;
mod feed;
mod hello;
mod hub;
mod query;
mod wire;

pub use door::{CLIENTS_MAX, Door, Newcomer};
pub use feed::{Feed, FeedKind, Feeds};
pub use hello::describe;
pub use hub::{Hub, HubSettings};
pub use query::{Selection, Subscription};
pub use wire::HEADER_BYTES;

/// The subprotocol of this version of the wire format.
pub const SUBPROTOCOL: &str = "biosigd.v1";
