//! Command lines through the real binary. Where one is wrong the message says what, the exit code is 64, nothing is done.

mod common;

use common::{dir_with, run};

#[test]
fn the_command_line() {
    let dir = dir_with(b"");
    for (arguments, message) in [
        (["chek"].as_slice(), "there is no command `chek`; known: run, check, kinds, verify, recover, convert, doctor"),
        (&["check", "x"], "`check` takes no FILE and no --counter"),
        (&["check", "-c"], "missing argument for option '-c'"),
        (&["--nope"], "invalid option '--nope'"),
        (&["check", "-c", "a", "-c", "b"], "-c stands twice"),
        (&["verify"], "`verify` needs a FILE"),
        (&["recover"], "`recover` needs a PATH"),
        (&["recover", "--counter", "x"], "`recover` takes no --counter"),
        (&["kinds", "-c", "x"], "`kinds` takes no -c"),
        (&["convert", "a.bdf"], "`convert` needs IN and OUT, and no more"),
        (&["convert", "a.bdf", "b.edf", "c.edf"], "`convert` needs IN and OUT, and no more"),
        (&["convert", "a.bdf", "b.xdf"], "OUT must end in .bdf, .edf, .csv or .raw, which says what is written: b.xdf"),
        (&["convert", "--codes", "a.bdf", "b.edf"], "--codes and --units are for a .csv; the others hold both"),
        (&["convert", "--counter", "a.bdf", "b.edf"], "`convert` takes no --counter"),
        (&["convert", "-c", "x", "a.bdf", "b.edf"], "`convert` takes no -c"),
        (&["verify", "--codes", "a.bdf"], "`verify` takes no --codes and no --units"),
    ] {
        let ended = run(arguments, dir.path());
        let expected = format!("biosigd: {message}; `biosigd --help` shows what there is");
        assert_eq!((ended.code, ended.stderr()), (Some(64), expected));
    }
}

/// Microamperes are allowed where comparators tell on from off, and nobody who puts them on skin was not told.
#[test]
fn check_warns_of_a_current_that_is_not_for_skin() {
    for (mode, current_na, warns) in
        [("dc", 6, false), ("dc", 24, false), ("dc", 6000, true), ("dc", 24_000, true), ("off", 24_000, false)]
    {
        let text =
            format!("[source]\nkind = \"ads1299\"\n[source.lead_off]\nmode = \"{mode}\"\ncurrent_na = {current_na}\n");
        let ended = run(&["check", "-c", "rig.toml"], dir_with(text.as_bytes()).path());
        let warning =
            format!("lead_off: current_na = {current_na} is a direct current for a bench; on skin 6 or 24 is right");
        assert_eq!((ended.code, ended.lines.len()), (Some(0), usize::from(warns)), "{text}{}", ended.stderr());
        assert!(ended.lines.iter().all(|line| line.contains(&warning)), "{}", ended.stderr());
    }
}

#[test]
fn frames_that_the_kernel_is_thought_to_have_no_time_for_are_warned_of() {
    for (rate_hz, too_many_us) in [(4000, Some("10.3")), (2000, None)] {
        let text = format!(
            "[source]\nkind = \"ads1299\"\nbus = \"spidev\"\nn_chips = 8\nrate_hz = {rate_hz}\ndrdy_line = 17\n"
        );
        let ended = run(&["check", "-c", "rig.toml"], dir_with(text.as_bytes()).path());
        assert_eq!(
            (ended.code, ended.lines.len()),
            (Some(0), usize::from(too_many_us.is_some())),
            "{}",
            ended.stderr()
        );
        let warning = format!("spi: a frame takes {} us more than there are", too_many_us.unwrap_or_default());
        assert!(ended.lines.iter().all(|line| line.contains(&warning)), "{}", ended.stderr());
    }
}
