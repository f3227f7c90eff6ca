//! The command line and its exit code; no logic.

fn main() -> std::process::ExitCode {
    biosigd::daemon::cli::main(std::env::args_os())
}
