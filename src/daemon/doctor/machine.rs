//! The machine as the checks see it: what the kernel tells in `/proc`, `/sys` and `/dev`, below a root that a test puts
//! a made-up tree in, and who is asking.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::gpio::Chip;

/// The account of the packaged service.
const SERVICE_ACCOUNT: &str = "biosigd";

/// What it is configured by.
const SERVICE_FILE: &str = "/etc/biosigd/biosigd.toml";

/// Bits of the mode of a node: read and write together.
const READ_WRITE: u32 = 0o6;

/// What can be read of the machine.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
    /// Who will open the devices.
    pub(super) who: Who,
    /// GPIO chips, where the source needs one.
    pub(super) chips: Vec<Chip>,
}

/// An account and what it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
    /// Whether it is the service's account, that root asks for.
    pub(super) is_service: bool,
}

/// Which board it is: what the remedies differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    /// A Raspberry Pi 5, 500 or Compute Module 5: its pins hang off the RP1.
    Pi5,
    /// An older Raspberry Pi.
    OlderPi,
    /// Anything else.
    Other,
}

/// A node in `/dev`: who owns it and who may read and write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The permission bits.
    pub(super) mode: u32,
    pub(super) gid: u32,
    pub(super) owner: String,
    pub(super) group: String,
    /// Whether the account may read and write it.
    pub(super) open: bool,
}

impl Machine {
    /// This one. Root who asks about the service's configuration is answered for the service's account.
    pub(super) fn this(configuration: &str) -> Machine {
        let mut machine = Machine { root: PathBuf::from("/"), who: Who::nobody(), chips: Vec::new() };
        let uid = rustix::process::geteuid().as_raw();
        let mut gids: Vec<u32> =
            rustix::process::getgroups().unwrap_or_default().iter().map(|gid| gid.as_raw()).collect();
        gids.push(rustix::process::getegid().as_raw());
        let me = Who { name: machine.name_of("/etc/passwd", uid), uid, gids, is_service: false };
        let service = if uid == 0 && configuration == SERVICE_FILE { machine.service() } else { None };
        machine.who = service.unwrap_or(me);
        machine
    }

    /// A made-up one.
    #[cfg(test)]
    pub(super) fn at(root: &Path, who: Who) -> Machine {
        Machine { root: root.to_owned(), who, chips: Vec::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A small file without the white space and the zero (device tree) at its end; `None` where it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n', ' ']).to_owned())
    }

    /// The whole number in a small file.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.trim().parse().ok()
    }

    /// The first bytes of a file.
    pub(super) fn bytes<const N: usize>(&self, path: &str) -> Option<[u8; N]> {
        fs::File::open(self.path(path)).ok().and_then(|mut file| {
            let mut bytes = [0; N];
            std::io::Read::read_exact(&mut file, &mut bytes).ok().map(|()| bytes)
        })
    }

    /// Whether there is such a file.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The names in a directory that begin with `start`, sorted; none where it cannot be listed.
    pub(super) fn names(&self, dir: &str, start: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(start))
            .collect();
        names.sort();
        names
    }

    /// Which board it is, by the device tree.
    pub(super) fn board(&self) -> Board {
        let compatible = self.text("/proc/device-tree/compatible").unwrap_or_default();
        match compatible {
            text if text.contains("brcm,bcm2712") => Board::Pi5,
            text if text.contains("raspberrypi,") => Board::OlderPi,
            _ => Board::Other,
        }
    }

    /// What is told of a file in `/dev`; `None` where there is none.
    pub(super) fn node(&self, path: &str) -> Option<Node> {
        let inside = self.path(path);
        let metadata = fs::metadata(&inside).ok()?;
        let mode = metadata.mode() & 0o7777;
        // An access list may allow more than the mode does; the kernel is asked only about itself.
        let is_me = self.root == Path::new("/") && !self.who.is_service;
        let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        let by_list = is_me && rustix::fs::access(&inside, access).is_ok();
        Some(Node {
            mode,
            gid: metadata.gid(),
            owner: self.name_of("/etc/passwd", metadata.uid()),
            group: self.name_of("/etc/group", metadata.gid()),
            open: by_list || self.who.may(mode, metadata.uid(), metadata.gid()),
        })
    }

    /// The name of a number in `/etc/passwd` or `/etc/group`, else the number.
    fn name_of(&self, file: &str, id: u32) -> String {
        let text = self.text(file).unwrap_or_default();
        let id = id.to_string();
        let found = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = found.into_iter().find(|parts| parts.get(2) == Some(&id.as_str()));
        found.map_or(id.clone(), |parts| parts[0].to_owned())
    }

    /// The service's account with its groups.
    fn service(&self) -> Option<Who> {
        let passwd = self.text("/etc/passwd")?;
        let mut accounts = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let account = accounts.find(|parts| parts[0] == SERVICE_ACCOUNT && parts.len() > 3)?;
        let groups = self.text("/etc/group").unwrap_or_default();
        let mut gids: Vec<u32> = account[3].parse().into_iter().collect();
        for parts in groups.lines().map(|line| line.split(':').collect::<Vec<_>>()) {
            if parts.get(3).is_some_and(|members| members.split(',').any(|name| name == SERVICE_ACCOUNT)) {
                gids.extend(parts[2].parse::<u32>());
            }
        }
        Some(Who { name: SERVICE_ACCOUNT.to_owned(), uid: account[2].parse().ok()?, gids, is_service: true })
    }
}

impl Who {
    fn nobody() -> Who {
        Who { name: String::new(), uid: u32::MAX, gids: Vec::new(), is_service: false }
    }

    /// Whether it may read and write a file of this mode and owner (path_resolution(7), "Permissions").
    fn may(&self, mode: u32, uid: u32, gid: u32) -> bool {
        let class = if self.uid == 0 {
            return true;
        } else if self.uid == uid {
            mode >> 6
        } else if self.gids.contains(&gid) {
            mode >> 3
        } else {
            mode
        };
        class & READ_WRITE == READ_WRITE
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn permissions_are_those_of_the_kernel() {
        let lab = Who { name: "lab".to_owned(), uid: 1000, gids: vec![1000, 989], is_service: false };
        for (mode, uid, gid, may) in [
            (0o660, 0, 989, true),
            (0o660, 0, 988, false),
            (0o640, 0, 989, false),
            (0o666, 0, 0, true),
            // The owner's class counts even where the group's would allow more.
            (0o060, 1000, 989, false),
            (0o600, 1000, 0, true),
        ] {
            assert_eq!(lab.may(mode, uid, gid), may, "{mode:o} {uid} {gid}");
        }
        assert!(Who { uid: 0, ..lab }.may(0, 1, 1));
    }

    #[test]
    fn the_service_has_its_groups() {
        let fake = Fake::pi5();
        fake.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nbiosigd:x:990:991::/var/lib/biosigd:/usr/sbin/nologin\n");
        let who = fake.machine().service().expect("it is there");
        assert_eq!(who, Who { name: "biosigd".to_owned(), uid: 990, gids: vec![991, 989, 986], is_service: true });
        assert_eq!(fake.machine().name_of("/etc/group", 989), "spi");
        assert_eq!(fake.machine().name_of("/etc/group", 12_345), "12345");
        fake.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nbiosigd\n");
        assert_eq!(fake.machine().service(), None);
    }

    #[test]
    fn boards_by_their_device_tree() {
        let fake = Fake::pi5();
        assert_eq!(fake.machine().board(), Board::Pi5);
        fake.file("proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0");
        assert_eq!(fake.machine().board(), Board::OlderPi);
        assert_eq!(Fake::empty().machine().board(), Board::Other);
    }

    #[test]
    fn small_files() {
        let fake = Fake::empty();
        fake.file("sys/a", " 17 \n");
        fake.file("sys/b", "x");
        assert_eq!(fake.machine().number("/sys/a"), Some(17));
        assert_eq!(fake.machine().number("/sys/b"), None);
        assert_eq!(fake.machine().bytes::<4>("/sys/b"), None);
        assert_eq!(fake.machine().bytes::<1>("/sys/b"), Some(*b"x"));
        assert_eq!(fake.machine().names("/sys", ""), ["a", "b"]);
        assert_eq!(fake.machine().names("/none", ""), Vec::<String>::new());
    }
}
