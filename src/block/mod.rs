//! The words of the trade: what a stream looks like, the blocks that travel on it, the memory they live in,
//! and the account of what was lost. Imports nothing of ours; everything else imports this.

mod account;
mod cause;
mod channel;
mod follow;
mod head;
mod marker;
mod pool;
mod slab;
mod status;
mod stream;

pub use account::Account;
pub use cause::{Cause, Tally};
pub use channel::{Channel, ChannelType};
pub use follow::{End, Follower};
pub use head::{Flags, Head};
pub use marker::{Marker, Origin};
pub use pool::Pool;
pub use slab::{Block, RawBlock};
pub use status::ChipStatus;
pub use stream::Stream;
