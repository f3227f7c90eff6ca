//! All that a stage author needs: `use biosigd::stage::prelude::*;`

pub use super::filter::{Cascade, Section};
pub use super::{Kind, Stage, StageError, build, check, design};
pub use crate::block::{Block, Channel, ChannelType, Stream};
pub use crate::config::Key;
pub use serde::Deserialize;
