//! What a source with chips says reaches everyone: files, clients, metrics, status, health.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::Message;

use super::fake::{self, LEAD_OFF, N_CHANNELS, N_CHIPS, RATE_HZ, SUSPECT, TRIGGER, TRIGGER_TEXT, lost, word};
use super::{BOUND, Daemon, load, next};
use crate::block::{Cause, ChipStatus, Flags};
use crate::daemon::{plan, verify::verify_file};
use crate::edf::{Annotation, Header, decode, parse_tals};
use crate::source::ChipFault;

/// Blocks of 40 ms make the links to clients 160 ms deep.
const CONFIG: &str = "[source]\nkind = \"fake\"\n[acquire]\nblock_frames = 40\n[[chain.live.stage]]\nkind = \"high_pass\"\n\
     [[chain.slow.stage]]\nkind = \"decimate\"\nfactor = 50\n[chain.copy]\nfrom = \"slow\"\n";

/// The flags that a source sets.
const OF_SOURCE: u8 = Flags::SUSPECT.0 | Flags::LEAD_OFF.0;

#[test]
fn flags_gaps_markers_and_words_reach_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(CONFIG, dir.path());
    let mut client = daemon.client("streams=raw,live,slow,copy");
    let Message::Text(hello) = next(&mut client) else { panic!("hello comes first") };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(hello["source"]["proof"]["group_delay_s"], 0.001_5);

    let (mut seen, mut next_frames, mut markers) = ([0_u8; 4], [None; 4], Vec::new());
    let deadline = Instant::now() + BOUND;
    while seen != [OF_SOURCE; 4] || markers.len() < 2 || next_frames[0] < Some(2 * RATE_HZ) {
        assert!(Instant::now() < deadline, "flags {seen:?}, markers {markers:?}");
        let bytes = match next(&mut client) {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => {
                markers.push(serde_json::from_str::<Value>(&text).unwrap());
                continue;
            }
            _ => continue,
        };
        let (id, flags) = (usize::from(bytes[6]), bytes[7]);
        let first = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        let n_frames = u64::from(u16::from_le_bytes(bytes[24..26].try_into().unwrap()));
        let missing = u64::from(u32::from_le_bytes(bytes[28..32].try_into().unwrap()));
        let name = hello["streams"].as_array().unwrap().iter().position(|stream| stream["id"] == id).unwrap();
        assert_eq!(first, next_frames[name].unwrap_or(first) + missing, "the header says what is missing");
        assert_eq!(flags & Flags::GAP.0 > 0, missing > 0);
        next_frames[name] = Some(first + n_frames);
        seen[name] |= flags & OF_SOURCE;
        if name < 2 {
            assert_eq!(flags & OF_SOURCE, fake::flags(first..first + n_frames).0, "frames from {first}");
            assert!((first..first + n_frames).all(|frame| lost(frame).is_none()), "frames from {first}");
        }
    }
    for marker in &markers {
        assert_eq!((&marker["type"], &marker["text"]), (&json!("marker"), &json!(TRIGGER_TEXT)));
        assert_eq!(marker["frame"].as_u64().unwrap() % RATE_HZ, TRIGGER);
    }
    shown(&daemon);
    // Its name once the stop has finished it.
    let file = dir.path().join(daemon.status()["recording"]["file"].as_str().unwrap().replace(".part.bdf", ".bdf"));
    drop(client);

    for (consumer, account) in daemon.stop() {
        assert!(account.adds_up(), "{consumer}: {account:?}");
        if consumer == "recorder" || consumer == "process" {
            let of = |cause| (0..account.expected).filter(|frame| lost(*frame) == Some(cause)).count() as u64;
            assert_eq!(account.lost.get(Cause::Spi), of(Cause::Spi), "{consumer}");
            assert_eq!(account.lost.get(Cause::Reinit), of(Cause::Reinit), "{consumer}");
            assert_eq!(account.lost.total(), of(Cause::Spi) + of(Cause::Reinit), "{consumer}");
            assert!(account.expected > 2 * RATE_HZ, "{consumer}");
        }
    }
    recorded(&file, markers[1]["frame"].as_u64().unwrap());
}

/// What status and metrics show after more than a second.
fn shown(daemon: &Daemon) {
    let status = daemon.status();
    assert_eq!(status["source"]["proof"]["chips"], json!([{"id": 62}, {"id": 62}]));
    let signs = &status["source"]["signs"];
    assert_eq!(
        (&signs["failing"], &signs["reinits"], &signs["spi_errors"]["io"]),
        (&json!(false), &json!(0), &json!(0))
    );
    assert!(signs["sync_errors"][1].as_u64() >= Some(SUSPECT.end - SUSPECT.start), "{signs}");
    assert_eq!(signs["sync_errors"][0], 0);
    let electrodes = signs["electrodes"].as_array().unwrap();
    assert_eq!((electrodes.len(), &electrodes[0]["channel"]), (2, &json!("E2")));
    assert!(electrodes[0]["off"].is_boolean(), "{signs}");
    assert_eq!((&electrodes[1]["channel"], &electrodes[1]["off"]), (&json!("E4"), &json!(null)));
    assert_eq!(electrodes[1]["impedance_ohms"], 5100.0);

    let (_, metrics) = daemon.get("/metrics");
    let value = |series: &str| metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    assert!(value("biosigd_sync_errors_total{chip=\"2\"}").is_some_and(|n| n != "0"), "{metrics}");
    assert_eq!(value("biosigd_sync_errors_total{chip=\"1\"}"), Some("0"));
    assert_eq!(value("biosigd_spi_errors_total{kind=\"timeout\"}"), Some("0"));
    assert_eq!(value("biosigd_reinits_total"), Some("0"));
    assert!(value("biosigd_lead_off{channel=\"E2\"}").is_some(), "{metrics}");
    assert_eq!(value("biosigd_lead_off{channel=\"E1\"}"), None, "nobody watches it");
    assert_eq!(value("biosigd_electrode_impedance_ohms{channel=\"E4\"}"), Some("5100"));
}

/// What stands in the file and its sidecar. A marker at `marker` was told while it was recorded.
fn recorded(file: &Path, marker: u64) {
    let report = verify_file(file, true).unwrap();
    assert!(report.is_well(), "{report}");
    let sidecar: Value = serde_json::from_slice(&std::fs::read(file.with_extension("json")).unwrap()).unwrap();
    assert_eq!(sidecar["source"]["proof"]["group_delay_s"], 0.001_5);
    assert_eq!(sidecar["TriggerChannelCount"], N_CHIPS);
    assert_eq!(sidecar["source"]["kernel"]["release"], crate::rt::kernel().unwrap().release);
    let (first_frame, n_frames) = ["first_frame", "frames_written"].map(|key| sidecar[key].as_u64().unwrap()).into();
    assert_eq!(first_frame, 0);

    let bytes = std::fs::read(file).unwrap();
    let header = Header::read(&mut bytes.as_slice()).unwrap();
    let (mut words, mut annotations) = (vec![Vec::new(); N_CHIPS], Vec::new());
    for record in bytes[usize::try_from(header.header_bytes()).unwrap()..].chunks_exact(header.record_bytes()) {
        for (i, (signal, range)) in header.signal_ranges().enumerate() {
            if signal.is_annotations() {
                parse_tals(&record[range], &mut annotations).unwrap();
            } else if signal.is_status() {
                let words = &mut words[i - N_CHANNELS];
                let start = words.len();
                words.resize(start + signal.samples_per_record, 0);
                decode(3, &record[range], &mut words[start..]);
            }
        }
    }
    for (chip, words) in words.iter().enumerate() {
        let mut last = ChipStatus::default();
        for (frame, found) in (0..n_frames).zip(words) {
            last = if lost(frame).is_some() { last.with(ChipStatus::SUSPECT) } else { word(frame, chip) };
            assert_eq!(u32::try_from(*found), Ok(last.0), "frame {frame} of chip {chip}");
        }
    }
    let first_second = words[0].iter().take(1000);
    let n_lead_off = first_second.filter(|found| ChipStatus(found.unsigned_abs()).positive_off() != 0).count() as u64;
    assert_eq!(n_lead_off, LEAD_OFF.end - LEAD_OFF.start);

    let trigger = annotations.iter().find(|annotation: &&Annotation| annotation.text == TRIGGER_TEXT).unwrap();
    assert_eq!(trigger.onset_ns, 800_000_000);
    let due_ns = i64::try_from(marker * 1_000_000).unwrap();
    assert!(annotations.iter().any(|found| found.text == TRIGGER_TEXT && found.onset_ns == due_ns), "{annotations:?}");
    let gaps: Vec<_> = annotations.iter().filter(|annotation| annotation.text == "BAD_ACQ_SKIP").collect();
    assert_eq!((gaps[0].onset_ns, gaps[0].duration_ns), (200_000_000, Some(5_000_000)));
    assert_eq!((gaps[1].onset_ns, gaps[1].duration_ns), (300_000_000, Some(70_000_000)));
}

#[test]
fn a_converter_that_is_set_up_again_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(CONFIG, dir.path());
    daemon.wait_for("a recorded frame", |status| status["ledger"]["recorder"]["delivered"].as_u64() > Some(0));
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
    daemon.signs.failing.store(true, Relaxed);
    assert_eq!(daemon.get("/healthz"), (503, "the converter is being set up again\n".to_owned()));
    let status = daemon.status();
    assert_eq!(status["source"]["signs"]["failing"], true);
    assert_eq!(status["complaints"], json!(["the converter is being set up again"]));
    daemon.signs.chip_fails(1, ChipFault::StatusWord);
    let named = "chip 2 fails: status word wrong; the converter is being set up again";
    assert_eq!(daemon.get("/healthz"), (503, format!("{named}\n")));
    daemon.signs.failing.store(false, Relaxed);
    daemon.signs.n_reinits.store(1, Relaxed);
    assert_eq!(daemon.get("/healthz").0, 200);
    assert!(daemon.get("/metrics").1.contains("\nbiosigd_reinits_total 1\n"));
    daemon.stop();
}

#[test]
fn a_converter_that_does_not_prove_itself_ends_the_start_and_no_check() {
    let dir = tempfile::tempdir().unwrap();
    let mut loaded = load("[source]\nkind = \"fake\"\nproves = false\n", dir.path()).unwrap();
    let plan = plan::plan(&loaded);
    assert!(plan.contains("fake: 4 channels of 2 chips at 1000 Hz"), "{plan}");
    let failure = loaded.prove(&AtomicBool::new(false)).unwrap_err();
    let cause = std::error::Error::source(&failure).unwrap();
    assert_eq!(failure.to_string(), "the converter is not as it should be");
    assert_eq!(cause.to_string(), "chip 2: register ID reads 0x00, 0x3E is due; look at MISO");
    assert_eq!(format!("{:?}", failure.exit_code()), format!("{:?}", ExitCode::from(69)));
    let mut about = loaded.about_source();
    let kernel = about.as_object_mut().unwrap().remove("kernel").unwrap();
    assert_eq!(about, json!({"kind": "fake", "simulated": false}));
    let expected = crate::rt::kernel().unwrap();
    assert_eq!(kernel, json!({"release": expected.release, "preemption": expected.preemption}));
}
