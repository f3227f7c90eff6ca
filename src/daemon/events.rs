//! The road of markers: from the source and from people to the live clients and to the recorder.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Thread;

use crate::block::Marker;
use crate::sink::websocket::Door;

/// Markers that may wait for the recorder. A replay that reads ahead waits beyond that, people are refused.
const MARKERS_MAX: usize = 1024;

/// Where markers are given in.
pub(super) struct Events {
    door: Door,
    /// `None`: nothing is recorded.
    recorder: Option<SyncSender<Marker>>,
    disk: OnceLock<Thread>,
}

impl Events {
    /// A road to the clients behind `door`, and, where it `records`, to whoever reads the other end.
    pub(super) fn new(door: Door, records: bool) -> (Events, Option<Receiver<Marker>>) {
        let (recorder, receiver) = if records { Some(sync_channel(MARKERS_MAX)).unzip() } else { (None, None) };
        (Events { door, recorder, disk: OnceLock::new() }, receiver)
    }

    /// Names the thread that reads the other end, so that a marker wakes it.
    pub(super) fn attach(&self, disk: Thread) {
        self.disk.get_or_init(|| disk);
    }

    /// Passes an event of the source on; waits where the recorder has too many, which only a replay that reads ahead can
    /// bring about.
    pub(super) fn send(&self, marker: Marker) {
        self.door.marker(marker.clone());
        if let Some(recorder) = &self.recorder {
            if let Err(TrySendError::Full(marker)) = recorder.try_send(marker) {
                self.wake_disk();
                // Refused only when the recorder has ended, and then nobody keeps events.
                drop(recorder.send(marker));
            }
            self.wake_disk();
        }
    }

    /// Passes an event of a person on, to both or to none. False: too many wait.
    pub(super) fn offer(&self, marker: &Marker) -> bool {
        // One thread offers, and the source's markers displace older ones: room seen is room there.
        if !self.door.has_room_for_markers() {
            return false;
        }
        if let Some(recorder) = &self.recorder {
            if recorder.try_send(marker.clone()).is_err() {
                return false;
            }
            self.wake_disk();
        }
        self.door.marker(marker.clone());
        true
    }

    fn wake_disk(&self) {
        if let Some(disk) = self.disk.get() {
            disk.unpark();
        }
    }
}
