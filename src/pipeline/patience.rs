//! How much of the source's slack each consumer may use. A consumer that hangs must leave enough of it that the
//! lateness which follows costs no conversion; one that is merely busy, while acquisition catches up after it was held
//! up itself, gets a moment for each block in any case.

use std::time::Duration;

use crate::block::Stream;
use crate::source::Slack;

/// What acquisition allows its consumers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The slack of a source that is not behind.
    whole: Duration,
    /// The moment: a quarter of a block's time. Two consumers that hang cost half of it, so acquisition still gains.
    moment: Duration,
}

impl Patience {
    /// For a source that has not started, and so has all of its `slack`.
    pub(super) fn new(slack: Slack, stream: &Stream) -> Patience {
        let whole = match slack {
            Slack::For(whole) => whole,
            Slack::Forever => Duration::ZERO,
        };
        Patience { whole, moment: Duration::from_secs_f64(stream.block_frames_max as f64 / stream.rate_hz / 4.0) }
    }

    /// What the recorder may use of the `slack` that is left: all but a quarter of the whole.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn for_recorder(&self, slack: Slack) -> Slack {
        self.leaving(self.whole / 4, slack)
    }

    /// What processing may use of the `slack` that is left: all but half of the whole.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn for_process(&self, slack: Slack) -> Slack {
        self.leaving(self.whole / 2, slack)
    }

    fn leaving(&self, rest: Duration, slack: Slack) -> Slack {
        match slack {
            Slack::For(slack) => Slack::For(slack.saturating_sub(rest).max(self.moment.min(slack))),
            Slack::Forever => Slack::Forever,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_use_how_much_of_the_slack() {
        let stream = Stream { rate_hz: 4000.0, channels: Vec::new(), block_frames_max: 40, ratio: 1, delay_s: 0.0 };
        let ms = |ms| Slack::For(Duration::from_millis(ms));
        let patience = Patience::new(ms(1000), &stream);
        assert_eq!((patience.for_recorder(ms(1000)), patience.for_process(ms(1000))), (ms(750), ms(500)));
        assert_eq!((patience.for_recorder(ms(600)), patience.for_process(ms(600))), (ms(350), ms(100)));
        // Late, it still gives each a quarter of the 10 ms that a block lasts, while there is as much.
        let moment = Slack::For(Duration::from_micros(2500));
        assert_eq!((patience.for_recorder(ms(100)), patience.for_process(ms(100))), (moment, moment));
        assert_eq!(patience.for_recorder(ms(1)), ms(1));
        // A converter without memory waits for nobody, a recording for everybody.
        let nothing = Patience::new(ms(0), &stream);
        assert_eq!((nothing.for_recorder(ms(0)), nothing.for_process(ms(0))), (ms(0), ms(0)));
        assert_eq!(patience.for_process(Slack::Forever), Slack::Forever);
    }
}
