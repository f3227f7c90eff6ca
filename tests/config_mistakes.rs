//! Wrong configurations through the real binary: each mistake with its file, line, part and what would be right, all
//! of them at once, word for word; exit code 78; nothing started.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use biosigd::rt::Cores;
use common::{Ended, dir_with, is_root, names_in, run};

/// Checks and runs a configuration that must be refused: both commands say the same, and neither leaves a file.
fn refuse(config: &[u8]) -> Ended {
    let dir = dir_with(config);
    let checked = run(&["check", "-c", "rig.toml"], dir.path());
    let ran = run(&["run", "-c", "rig.toml"], dir.path());
    assert_eq!((checked.code, &checked.lines), (ran.code, &ran.lines), "check and run differ");
    assert_eq!(checked.stdout, "");
    checked.assert_no_panic();
    assert_eq!(names_in(dir.path()), [PathBuf::from("rig.toml")], "nothing was started");
    checked
}

/// Refuses `config` with these lines, each without `rig.toml:`, and their number.
fn says(config: &str, expected: &[&str]) {
    let ended = refuse(config.as_bytes());
    let mut lines: Vec<String> = expected.iter().map(|line| format!("rig.toml:{line}")).collect();
    let s = if lines.len() == 1 { "" } else { "s" };
    lines.push(format!("{} mistake{s}, nothing was started", lines.len()));
    assert_eq!(ended.lines, lines, "in\n{config}");
    assert_eq!(ended.code, Some(78));
}

/// Accepts `config`.
fn accepts(config: &[u8]) -> String {
    let dir = dir_with(config);
    let ended = run(&["check", "-c", "rig.toml"], dir.path());
    assert_eq!((ended.code, ended.stderr().as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with("rig.toml is right; nothing was started.\n"), "{}", ended.stdout);
    assert_eq!(names_in(dir.path()), [PathBuf::from("rig.toml")]);
    ended.stdout
}

#[test]
fn a_value_of_the_wrong_type() {
    says(
        "[source]\nkind = \"synthetic\"\nrate_hz = \"fast\"\nn_channels = 3.5\n[recorder]\ndir = 5\n[http]\n\
         allow_unauthenticated = 1\n[websocket]\nstreams = \"raw\"\n[acquire]\nblock_frames = -1\ncore = \"last\"\n",
        &[
            "3: synthetic: rate_hz = \"fast\" must be a number",
            "4: synthetic: n_channels = 3.5 must be a whole number, 0 or more",
            "6: recorder: dir = 5 must be text in quotes",
            "8: http: allow_unauthenticated = 1 must be true or false",
            "10: websocket: streams = \"raw\" must be a list in [ ]",
            "12: acquire: block_frames = -1 must be \"auto\" or a whole number",
            "13: acquire: core = \"last\" must be \"auto\" or a whole number",
        ],
    );
}

#[test]
fn a_misspelt_name_brings_the_nearest() {
    says(
        "[source]\nsignl = \"eeg\"\nkind = \"synthetic\"\n[recoder]\n[http]\nlistn = \"x\"\n[acquire]\nblock_frame = 5\n[recorder]\n\
         on_overflow = \"halt\"\n[log]\nlevel = \"inf\"\n",
        &[
            "2: synthetic: unknown field `signl`, expected one of `signal`, `n_channels`, `channels`, `rate_hz`, \
             `fifo_s`, `freq_hz` or `amplitude_uv`; did you mean `signal`?",
            "4: unknown section `recoder`; did you mean `recorder`? known: source, acquire, process, recorder, \
             websocket, http, log, daemon, chain",
            "6: http: unknown field `listn`, expected one of `listen`, `allow_unauthenticated`, `token_file` or `hosts`; did you mean \
             `listen`?",
            "8: acquire: unknown field `block_frame`, expected one of `block_frames`, `core` or `priority`; did you \
             mean `block_frames`?",
            "10: recorder: on_overflow = \"halt\" must be \"gap\" or \"stop\"",
            "12: log: level = \"inf\" must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\"; did you mean \
             \"info\"?",
        ],
    );
    says(
        "[source]\nkind = \"sinthetic\"\n",
        &["2: no source is called `sinthetic`; did you mean `synthetic`? known: ads1299, synthetic, replay"],
    );
    says(
        "[source]\nkind = \"ads1298\"\n",
        &["2: no source is called `ads1298`; did you mean `ads1299`? known: ads1299, synthetic, replay"],
    );
}

#[test]
fn an_unknown_stage_brings_the_nearest() {
    let known: Vec<&str> = biosigd::stage::KINDS.iter().map(|kind| kind.name).collect();
    let known = known.join(", ");
    says(
        "[chain.live]\n[[chain.live.stage]]\nkind = \"notsh\"\n[[chain.live.stage]]\nkind = \"wavelet\"\n\
         [[chain.live.stage]]\norder = 2\n",
        &[
            &format!("3: no stage is called `notsh`; did you mean `notch`? known: {known}"),
            &format!("5: no stage is called `wavelet`; known: {known}"),
            &format!("6: chain.live.stage: `kind` is missing: which stage is it? known: {known}"),
        ],
    );
}

#[test]
fn a_value_out_of_range() {
    says(
        "[source]\nn_channels = 0\nrate_hz = 64001\nfifo_s = 61\namplitude_uv = -1\nkind = \"synthetic\"\n[acquire]\nblock_frames = 4001\n\
         [recorder]\nstall_budget_s = 0\nsync_s = 0.01\nmin_free_gb = -1\ndir = \"\"\n[websocket]\nclients_max = 1025\n\
         client_buffer_kib = 15\n",
        &[
            "2: synthetic: n_channels = 0 must be 1 to 1024",
            "3: synthetic: rate_hz = 64001 must be 1 to 64000",
            "4: synthetic: fifo_s = 61 must be 0 to 60",
            "5: synthetic: amplitude_uv = -1 must be 0 to 187500",
            "8: acquire: block_frames = 4001 must be 1 to 4000",
            "10: recorder: stall_budget_s = 0 must be 0.1 to 3600",
            "11: recorder: sync_s = 0.01 must be 0.05 to 60",
            "12: recorder: min_free_gb = -1 must be 0 to 100000",
            "13: recorder: dir = \"\" must name a directory",
            "15: websocket: clients_max = 1025 must be 0 to 1024",
            "16: websocket: client_buffer_kib = 15 must be 16 to 65536",
        ],
    );
    // What is built to check the rest is not built from these.
    for block_frames in ["0", "9223372036854775807"] {
        says(
            &format!(
                "[acquire]\nblock_frames = {block_frames}\n[source]\nkind = \"synthetic\"\nn_channels = 1024\n[chain.live]\n"
            ),
            &[&format!("2: acquire: block_frames = {block_frames} must be 1 to 4000")],
        );
    }
}

#[test]
fn nan_and_infinity() {
    says(
        "[source]\nrate_hz = nan\nfifo_s = nan\namplitude_uv = nan\nkind = \"synthetic\"\n[recorder]\nstall_budget_s = nan\nsync_s = nan\n\
         min_free_gb = nan\n",
        &[
            "2: synthetic: rate_hz = NaN must be 1 to 64000",
            "3: synthetic: fifo_s = NaN must be 0 to 60",
            "4: synthetic: amplitude_uv = NaN must be 0 to 187500",
            "7: recorder: stall_budget_s = NaN must be 0.1 to 3600",
            "8: recorder: sync_s = NaN must be 0.05 to 60",
            "9: recorder: min_free_gb = NaN must be 0 to 100000",
        ],
    );
    says(
        "[recorder]\nstall_budget_s = inf\nsync_s = -inf\nmin_free_gb = +inf\n[source]\nrate_hz = 1e999\n",
        &[
            "2: recorder: stall_budget_s = inf must be 0.1 to 3600",
            "3: recorder: sync_s = -inf must be 0.05 to 60",
            "4: recorder: min_free_gb = inf must be 0 to 100000",
            "6: ads1299: rate_hz = 1e999 is too large",
        ],
    );
    says(
        "[source]\nkind = \"replay\"\nfile = \"x.bdf\"\nspeed = nan\nloop = 1\n",
        &["4: replay: speed = NaN must be above 0, or \"max\"", "5: replay: loop = 1 must be true or false"],
    );
}

#[test]
fn all_stages_that_do_not_fit_their_stream() {
    says(
        "[source]\nrate_hz = 250\n[chain.live]\n[[chain.live.stage]]\nkind = \"low_pass\"\ncorner_hz = 125\n\
         [[chain.live.stage]]\nkind = \"notch\"\n[[chain.live.stage]]\nkind = \"high_pass\"\ncorner_hz = nan\n\
         [chain.next]\nfrom = \"live\"\n[[chain.next.stage]]\norder = 9\nkind = \"low_pass\"\n",
        &[
            "6: low_pass: corner_hz = 125 must be below half the rate, 125",
            "11: high_pass: corner_hz = NaN must be at least a millionth of the rate, 0.00025",
            "15: low_pass: order = 9 must be 1 to 8",
        ],
    );
}

#[test]
fn chains_that_cannot_be_put_in_order() {
    says(
        "[chain.live]\nfrom = \"live\"\n",
        &["2: chain.live: from = \"live\" leads back to this chain: chains cannot read in a circle"],
    );
    says(
        "[chain.a]\nfrom = \"b\"\n[chain.b]\nfrom = \"a\"\n[chain.c]\nfrom = \"a\"\n",
        &[
            "2: chain.a: from = \"b\" leads back to this chain: chains cannot read in a circle",
            "4: chain.b: from = \"a\" leads back to this chain: chains cannot read in a circle",
        ],
    );
    says(
        "[chain.live]\nfrom = \"lve\"\n[chain.other]\nfrom = \"live\"\n",
        &["2: chain.live: from = \"lve\" must be raw or a chain; there are: raw, live, other"],
    );
    says(
        "[chain.raw]\n[chain.\"Live view\"]\n",
        &[
            "1: chain.raw: a chain cannot be called `raw`: 1 to 32 of a-z 0-9 _ -, and not raw",
            "2: chain.Live view: a chain cannot be called `Live view`: 1 to 32 of a-z 0-9 _ -, and not raw",
        ],
    );
    let many: String = (0..256).map(|i| format!("[chain.c{i}]\n")).collect();
    says(&many, &["256: chain.c255: there can be at most 255 chains"]);
    says(
        "[websocket]\nstreams = [\"lve\", \"raw\", \"raw\"]\n[chain.live]\n",
        &[
            "2: websocket: streams: there is no stream `lve`; there are: raw, live",
            "2: websocket: streams: `raw` stands twice",
        ],
    );
}

#[test]
fn several_mistakes_at_once_in_the_order_of_the_file() {
    says(
        "[source]\nrate_hz = 1000\n\n[acquire]\npriority = 100\n[chain.live]\nform = \"raw\"\n[[chain.live.stage]]\n\
         kind = \"high_pass\"\ncorner_hz = 500\n[[chain.live.stage]]\nkind = \"high_pass\"\ncorner = 0.5\n[recorder]\n\
         sync_s = 0\n[http]\nlisten = \"nonsense\"\n[websocket]\nstreams = [\"lve\"]\n[daemno]\nstrict = true\n",
        &[
            "5: acquire: priority = 100 must be 3 to 99",
            "7: chain.live: unknown field `form`, expected `from` or `stage`; did you mean `from`?",
            "10: high_pass: corner_hz = 500 must be below half the rate, 500",
            "13: high_pass: unknown field `corner`, expected `order` or `corner_hz`; did you mean `corner_hz`?",
            "15: recorder: sync_s = 0 must be 0.05 to 60",
            "17: http: listen = \"nonsense\" must be an address and a port, such as 127.0.0.1:8707",
            "19: websocket: streams: there is no stream `lve`; there are: raw, live",
            "20: unknown section `daemno`; did you mean `daemon`? known: source, acquire, process, recorder, \
             websocket, http, log, daemon, chain",
        ],
    );
}

#[test]
fn a_ring_larger_than_half_of_memory_is_refused_with_the_sum() {
    let text =
        "[source]\nkind = \"synthetic\"\nn_channels = 1024\nrate_hz = 64000\n[recorder]\nstall_budget_s = 3600\n";
    let ended = refuse(text.as_bytes());
    assert_eq!(ended.code, Some(78));
    let half_mb = biosigd::rt::installed_memory_bytes() / 2 / 1_000_000;
    // 1024 channels of 3 bytes at 64 kHz for an hour are 707 789 MB, the heads of 360 001 blocks come to 40; a record stays
    // below 15 MiB.
    let expected = format!(
        "rig.toml:6: recorder: stall_budget_s = 3600: 41.9 MB raw slabs + 0.0 MB chain slabs + 707829.1 MB recorder \
         ring + 15.7 MB record + 67.1 MB for clients at most = 707953 MB is more than half of this machine's memory, {half_mb} MB"
    );
    assert_eq!(ended.lines, [expected, "1 mistake, nothing was started".to_owned()]);
    // No recorder, no ring.
    accepts(b"[source]\nkind = \"synthetic\"\nn_channels = 1024\nrate_hz = 64000\n[recorder]\nstall_budget_s = 3600\nrecord = \"off\"\n");
}

#[test]
fn a_stream_that_bdf_cannot_hold() {
    says(
        "[source]\nrate_hz = 999.937\nkind = \"synthetic\"\n",
        &["2: source: rate_hz = 999.937 with 32 signals: no record of a BDF file that is exact in 8 characters and \
             below 15728640 bytes holds whole frames; to record nothing, set record = \"off\" in [recorder]"],
    );
    accepts(b"[source]\nkind = \"synthetic\"\nrate_hz = 999.937\n[recorder]\nrecord = \"off\"\n");
}

#[test]
fn addresses() {
    for text in ["8707", "localhost:8707", "127.0.0.1", "127.0.0.1:70000", "[::1:8707", "", " 127.0.0.1:1", "\u{e9}:1"]
    {
        says(
            &format!("[http]\nlisten = \"{text}\"\n"),
            &[&format!("2: http: listen = \"{text}\" must be an address and a port, such as 127.0.0.1:8707")],
        );
    }
    for text in ["0.0.0.0:8707", "192.168.1.5:80", "[::]:8707"] {
        says(
            &format!("[http]\nlisten = \"{text}\"\n"),
            &[&format!(
                "2: http: listen = \"{text}\" can be reached from the network, and biosignals are health data: name \
                 a token_file, whose token every request then needs, or listen on 127.0.0.1 and use `ssh -L`, or set \
                 allow_unauthenticated = true if whoever reaches it may read"
            )],
        );
        accepts(format!("[http]\nlisten = \"{text}\"\nallow_unauthenticated = true\n").as_bytes());
    }
    accepts(b"[http]\nlisten = \"[::1]:0\"\n");
}

#[test]
fn priorities_and_cores() {
    says(
        "[acquire]\npriority = 0\n[process]\npriority = 0\n",
        &["2: acquire: priority = 0 must be 3 to 99", "4: process: priority = 0 must be 2 to 98"],
    );
    says(
        "[acquire]\npriority = 100\n[process]\npriority = 100\n",
        &["2: acquire: priority = 100 must be 3 to 99", "4: process: priority = 100 must be 2 to 98"],
    );
    says("[process]\npriority = 80\n", &["2: process: priority = 80 must be below acquire.priority, 80"]);
    let there = Cores::of_this_machine().possible;
    says(
        "[acquire]\ncore = 4096\n[process]\ncore = 4097\n",
        &[
            &format!("2: acquire: core = 4096 does not exist here; there are {there:?}"),
            &format!("4: process: core = 4097 does not exist here; there are {there:?}"),
        ],
    );
    if there.len() > 1 {
        says(
            "[acquire]\ncore = 0\n[process]\ncore = 0\n",
            &["4: process: core = 0 is acquire's; the two threads need two cores"],
        );
    }
}

#[test]
fn faults_of_simulated_chips() {
    let fault = "[[source.simulated.fault]]\nwhat = \"nibble_bad\"\n";
    let part = "ads1299.simulated.fault";
    says(fault, &[&format!("1: {part}: a fault needs either at_frame, chance or at_start")]);
    says(&format!("{fault}chance = 2\n"), &[&format!("3: {part}: chance = 2 must be 0 to 1, for each conversion")]);
    says(&format!("{fault}at_frame = 1\nchip = 5\n"), &[&format!("4: {part}: chip = 5 must be 1 to 4")]);
}

#[test]
fn channels() {
    says(
        "[source]\nkind = \"synthetic\"\nn_channels = 5\nchannels = [\"Fp1\", \"Fp1\", \"\u{b5}\", \"a name that is too long\"]\n",
        &[
            "4: synthetic: channels names 4 channels, but n_channels = 5: they must be as many",
            "4: synthetic: channels: `Fp1` stands twice, names must differ",
            "4: synthetic: channels: `\u{b5}` must be 1 to 16 printable ASCII characters, as EDF has it",
            "4: synthetic: channels: `a name that is too long` must be 1 to 16 printable ASCII characters, as EDF has it",
        ],
    );
}

#[test]
fn texts_of_any_kind() {
    let all_defaults = accepts(b"");
    assert!(
        all_defaults.contains("source      ads1299, simulated: 32 channels of 4 chips at 4000 Hz"),
        "{all_defaults}"
    );
    let marked = accepts(b"\xEF\xBB\xBF[source]\r\nrate_hz = 500\r\n");
    assert!(marked.contains("32 channels of 4 chips at 500 Hz"), "{marked}");
    says("\u{feff}[source]\r\n\r\nrate_hz = 'a'\r\n", &["3: ads1299: rate_hz = 'a' must be a number"]);
    says("[source]\nkind = \"synthetic\n", &["2: invalid basic string, expected `\"`"]);
    says(&format!("x = {}", "[".repeat(100_000)), &["1: cannot recurse further; max recursion depth met"]);
    for (config, line) in [(b"[source]\n# \xE9\n".as_slice(), 2), (b"\xFF\xFE[\0s\0", 1)] {
        let ended = refuse(config);
        let expected = format!("rig.toml:{line}: the file is not UTF-8 from here on; save it as UTF-8");
        assert_eq!(ended.lines, [expected.as_str(), "1 mistake, nothing was started"]);
        assert_eq!(ended.code, Some(78));
    }
}

#[test]
fn ten_megabytes_of_garbage() {
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    let garbage: Vec<u8> = (0..10 << 20).map(|_| noise()).collect();
    let letters = vec![b'x'; 10 << 20];
    let keys: String = (0..1_000_000).map(|i| format!("k{i}=1\n")).collect();
    for config in [garbage.as_slice(), &letters, keys.as_bytes()] {
        let ended = refuse(config);
        let expected = "rig.toml:1: the file is larger than 1 MiB; a configuration is some KiB of text";
        assert_eq!(ended.lines, [expected, "1 mistake, nothing was started"]);
        assert_eq!(ended.code, Some(78));
    }
    // Small enough to be read, and still nothing that a person could want told in full.
    let keys: String = (0..10_000).map(|i| format!("k{i}=1\n")).collect();
    let ended = refuse(format!("[source]\n{keys}").as_bytes());
    assert_eq!(ended.lines.len(), 102);
    let first = "rig.toml:1: ads1299: this table has 100 mistakes or more; the others are not shown";
    assert_eq!(ended.lines[0], first);
}

#[test]
fn files_that_cannot_be_read() {
    let dir = dir_with(b"");
    let check = |file: &str, code: i32, message: &str| {
        for command in ["check", "run"] {
            let ended = run(&[command, "-c", file], dir.path());
            assert_eq!((ended.code, ended.stderr().as_str()), (Some(code), message));
        }
        assert_eq!(names_in(dir.path()), [PathBuf::from("rig.toml")]);
    };
    check("no.toml", 66, "biosigd: the configuration no.toml cannot be read: No such file or directory (os error 2)");
    check(".", 66, "biosigd: the configuration . cannot be read: Is a directory (os error 21)");
    check("rig.toml/x", 66, "biosigd: the configuration rig.toml/x cannot be read: Not a directory (os error 20)");
    let device = "biosigd: the configuration /dev/zero cannot be read: it is a pipe or a device, and has to be a file";
    check("/dev/zero", 66, device);
    if !is_root("a configuration without permission to read it") {
        fs::set_permissions(dir.path().join("rig.toml"), fs::Permissions::from_mode(0o000)).unwrap();
        check("rig.toml", 77, "biosigd: the configuration rig.toml cannot be read: Permission denied (os error 13)");
    }
}
