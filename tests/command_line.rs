//! Wrong command lines through the real binary: the message says what was wrong, the exit code is 64, nothing is done.

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
