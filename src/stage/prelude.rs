//! All that a stage author needs: `use biosigd::stage::prelude::*;`

pub use super::filter::{Cascade, Section};
pub use super::{Key, Kind, Stage, StageError, build, check, design};
pub use crate::block::{Block, Channel, ChannelType, Stream};
pub use serde::Deserialize;
