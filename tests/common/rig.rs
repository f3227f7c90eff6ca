//! Programs in the rig (`tests/rig/`): the library, built as this test was built, and what it says afterwards.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A rig with its settings, in a directory of its own.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
}

impl Rig {
    /// `settings` as `tests/rig/settings.rs` has them; tables come last, as TOML wants it.
    pub(crate) fn new(settings: &str) -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let place = |name: &str| toml::Value::String(dir.path().join(name).display().to_string());
        let text = format!("dev = {}\ntruth = {}\n{settings}", place("dev"), place("truth.json"));
        fs::write(dir.path().join("rig.toml"), text).expect("written");
        Rig { dir }
    }

    /// Puts the program into the rig.
    pub(crate) fn preload<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_PRELOAD", library()).env("BIOSIGD_RIG", self.dir.path().join("rig.toml"))
    }

    /// What the rig knows, once the program has ended.
    pub(crate) fn truth(&self) -> Value {
        let text =
            fs::read_to_string(self.dir.path().join("truth.json")).expect("the rig was used and wrote its truth");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// The library. Cargo builds examples before all tests, but not before a single one, and an old library would tell lies.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let profile_dir = Path::new(env!("CARGO_BIN_EXE_biosigd")).parent().expect("a directory");
        let mut target_dir = profile_dir.parent().expect("the target directory");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--offline", "--locked", "--example", "rig"]);
        if profile_dir.ends_with("release") {
            build.arg("--release");
        }
        // Where a target was named, such as aarch64-unknown-linux-gnu, its files stand in a folder of that name.
        let folder = target_dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if folder.starts_with(&format!("{}-", std::env::consts::ARCH)) {
            build.args(["--target", folder]);
            target_dir = target_dir.parent().expect("the target directory");
        }
        build.arg("--target-dir").arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
        let built = build.env_remove("LD_PRELOAD").status();
        assert!(built.is_ok_and(|status| status.success()), "the rig can be built: {build:?}");
        profile_dir.join("examples/librig.so")
    })
}
