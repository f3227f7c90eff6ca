//! A recording through the source that replays it, for whoever asks only how that ends.

use std::path::Path;

use biosigd::block::RawBlock;
use biosigd::config::MaxOr;
use biosigd::rt::Stop;
use biosigd::source::replay::{Recording, Replay, Settings};
use biosigd::source::{Filled, Source};

/// As fast as it goes, to the end; a file that is refused is none.
pub(crate) fn replay(path: &Path) {
    let Ok(recording) = Recording::open(path) else { return };
    let settings = Settings { file: path.to_owned(), speed: MaxOr::Max, looped: false };
    let Ok(mut replay) = Replay::new(recording, &settings, 100) else { return };
    let mut block = RawBlock::new(replay.stream(), 0);
    replay.connect(Box::new(drop));
    replay.start();
    let stop = Stop::default();
    while replay.fill(&mut block, &stop) != Filled::End {}
}
