//! Wrong command lines through the real binary: the message says what was wrong, the exit code is 64, nothing is done.

mod common;

use common::{dir_with, run};

#[test]
fn the_command_line() {
    let dir = dir_with(b"");
    for (arguments, message) in [
        (["chek"].as_slice(), "there is no command `chek`; known: run, check, kinds, verify, recover, doctor"),
        (&["check", "x"], "`check` takes no FILE and no --counter"),
        (&["check", "-c"], "missing argument for option '-c'"),
        (&["--nope"], "invalid option '--nope'"),
        (&["check", "-c", "a", "-c", "b"], "-c stands twice"),
        (&["verify"], "`verify` needs a FILE"),
        (&["recover"], "`recover` needs a PATH"),
        (&["recover", "--counter", "x"], "`recover` takes no --counter"),
        (&["kinds", "-c", "x"], "`kinds` takes no -c"),
    ] {
        let ended = run(arguments, dir.path());
        let expected = format!("biosigd: {message}; `biosigd --help` shows what there is");
        assert_eq!((ended.code, ended.stderr()), (Some(64), expected));
    }
}
