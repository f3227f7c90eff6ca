//! The first run: without a configuration the daemon runs simulated chips, through the driver and its proof; and whoever looks
//! at it from anywhere is told that nothing was measured.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::Path;

use biosigd::edf::Header;
use common::{Daemon, names_in, run};
use serde_json::{Value, json};
use tungstenite::Message;

/// What runs without a configuration file, at a port of the system's choice.
fn built_in() -> String {
    let text = include_str!("../config/simulated.toml");
    format!("{text}min_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n")
}

#[test]
fn without_a_file_and_without_a_source_the_chips_are_simulated() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty.toml"), "").unwrap();
    let mut plans = vec![run(&["check", "-c", "empty.toml"], dir.path())];
    if Path::new("/etc/biosigd/biosigd.toml").exists() {
        println!("left out, because this machine has a configuration: what runs without one");
    } else {
        plans.push(run(&["check"], dir.path()));
    }
    for plan in plans {
        assert_eq!((plan.code, plan.stderr().as_str()), (Some(0), ""));
        for line in [
            "source      ads1299, simulated: 32 channels of 4 chips at 4000 Hz, blocks of 40 frames (10.000 ms)\n",
            "chips       4 ADS1299 in a daisy chain: simulated; gain 24 (+-187.5 mV)\n",
            "spi         a frame on a Pi 5, which makes 8333333 Hz of 8333334: 109 bytes at 8.333 MHz 104.6 us + 1 transfer by DMA about \
             50.0 us + 2.0 us before the next edge = 156.6 of 250.0 us; 93.4 us are left for waking up\n",
        ] {
            assert!(plan.stdout.contains(line), "{line} is not in\n{}", plan.stdout);
        }
    }
}

#[test]
fn a_simulated_recording_is_never_taken_for_a_real_one() {
    let daemon = Daemon::start_with(&built_in());
    let status = daemon.status();
    assert_eq!((&status["source"]["kind"], &status["source"]["simulated"]), (&json!("ads1299"), &json!(true)));
    assert_eq!(status["source"]["proof"]["chips"].as_array().unwrap().len(), 4);
    let url = format!("ws://{}/v1/stream?streams=raw", daemon.address);
    let (mut client, _) = tungstenite::connect(url).unwrap();
    let Message::Text(hello) = client.read().unwrap() else { panic!("hello comes first") };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(hello["source"]["simulated"], true);
    drop(client);
    // The proof is over before a person is told where to look.
    let (ended, dir) = daemon.stop();
    let at =
        |text: &str| ended.lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{ended:?}"));
    assert!(at("INFO source ads1299, simulated: 32 channels of 4 chips") < at("INFO ads1299: 4 chips proven: "));
    assert!(at(" WARN the source is simulated: nothing of what is shown") < at("INFO ads1299: 4 chips proven: "));
    assert!(at("INFO ads1299: 4 chips proven: ") < at("INFO look at http://"));

    // It was finished by the stop.
    let name = &status["recording"]["file"].as_str().unwrap().replace(".part.bdf", ".bdf");
    let (header, sidecar) = recording(Path::new(name));
    assert_eq!((&sidecar["source"]["simulated"], &sidecar["source"]["kind"]), (&json!(true), &json!("ads1299")));
    let verified = run(&["verify", name], dir.path());
    assert!(verified.stdout.contains("\n  simulated: nothing in it was measured\n"), "{}", verified.stdout);
    assert!(header.recording.contains(" X X simulated_ads1299_biosigd_"), "{}", header.recording);

    // Neither is a replay of it.
    let again = format!(
        "[source]\nkind = \"replay\"\nfile = \"{name}\"\nloop = true\n[recorder]\ndir = \"again\"\nmin_free_gb = 0\n[http]\n\
         listen = \"127.0.0.1:0\"\n"
    );
    let daemon = Daemon::start_with(&again);
    assert_source(&daemon, &json!({"kind": "replay", "simulated": true}));
    let name = daemon.status()["recording"]["file"].as_str().unwrap().to_owned();
    let (header, sidecar) = recording(Path::new(&name));
    assert_eq!(sidecar["source"]["simulated"], true);
    assert!(header.recording.contains(" X X simulated_replay_biosigd_"), "{}", header.recording);
    daemon.stop();
}

/// What the status says of the source: so much, and the kernel that ran.
fn assert_source(daemon: &Daemon, expected: &Value) {
    let mut source = daemon.status()["source"].take();
    let kernel = source.as_object_mut().unwrap().remove("kernel").unwrap();
    assert_eq!(kernel["release"].as_str(), biosigd::rt::kernel().map(|kernel| kernel.release).as_deref());
    assert_eq!(source, *expected);
}

/// The header, in which every channel says so too, and the sidecar.
fn recording(file: &Path) -> (Header, Value) {
    let header = Header::read(&mut fs::File::open(file).unwrap()).unwrap();
    for signal in header.signals.iter().filter(|signal| signal.label.starts_with("Fp")) {
        assert_eq!(signal.transducer, "simulated");
    }
    (header, serde_json::from_slice(&fs::read(file.with_extension("json")).unwrap()).unwrap())
}

#[test]
fn a_measured_recording_is_not_called_simulated() {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny.bdf");
    let config = format!(
        "[source]\nkind = \"replay\"\nfile = \"{tiny}\"\nloop = true\n[recorder]\nmin_free_gb = 0\n[http]\n\
         listen = \"127.0.0.1:0\"\n"
    );
    let daemon = Daemon::start_with(&config);
    assert_source(&daemon, &json!({"kind": "replay", "simulated": false}));
    let name = daemon.status()["recording"]["file"].as_str().unwrap().to_owned();
    let header = Header::read(&mut fs::File::open(name).unwrap()).unwrap();
    assert!(header.recording.contains(" X X replay_biosigd_"), "{}", header.recording);
    let (ended, _dir) = daemon.stop();
    assert!(!ended.stderr().contains("simulated"), "{}", ended.stderr());
}

#[test]
fn a_stop_while_the_chips_are_proven_is_heard_before_anything_begins() {
    // The self-test takes five seconds.
    let config = "[source]\nkind = \"ads1299\"\nself_test = true\n[recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n";
    let (ended, dir) = Daemon::stopped_at(config, "the source is simulated");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    let last = ended.lines.last().unwrap();
    assert!(
        last.contains("asked to stop before it began: nothing was read, nothing is recorded"),
        "{}",
        ended.stderr()
    );
    assert!(!ended.stderr().contains("proven") && !ended.stderr().contains("look at http"), "{}", ended.stderr());
    assert_eq!(names_in(dir.path()), [Path::new("rig.toml")], "no recording was begun");
}
