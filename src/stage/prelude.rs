//! All that a stage author needs: `use biosigd::stage::prelude::*;`

pub use super::{Stage, StageError};
pub use crate::block::{Block, Channel, ChannelType, Stream};
pub use serde::Deserialize;
