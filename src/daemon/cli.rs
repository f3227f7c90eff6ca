//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lexopt::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::convert;
use super::doctor::Request;
use super::settings::Level;
use super::{Failure, doctor, kinds, load, log, plan, run};
use crate::format::{FileFormat, Values};

const HELP: &str = "\
biosigd: acquires biosignals, shows them live, and records every sample or says which ones are missing.
Research use only, not a medical device.

usage: biosigd [run] [-c FILE]           the daemon
       biosigd check [-c FILE]           every mistake of a configuration, or what it means; starts nothing
       biosigd kinds                     every source, stage and section with its keys
       biosigd verify [--counter] FILE.. reads recordings back and checks their ledgers
       biosigd recover PATH..            makes recordings whole that were not finished (files, or all in a directory)
       biosigd convert [--codes] IN OUT  a recording as OUT: .bdf, .edf, .raw or .csv (in units, or codes)
       biosigd doctor [-c FILE] [--json] [--seconds N]
                                         what on this machine would cost samples, each with its remedy
       biosigd --version | --help

Without -c: /etc/biosigd/biosigd.toml if it exists, else four simulated ADS1299, 32 channels at 4 kHz.

convert changes no sample: what OUT cannot hold is refused. It never replaces a file, and leaves none when it fails. A .csv
has values in units (--units, the default) or codes (--codes), and gaps and markers in OUT_events.tsv beside it.

doctor measures the disk and the wake-up latency for N seconds each, 3 unless told, and opens no converter. Beside a
daemon that runs it measures only when N is given. It ends with 0 (fine, or warnings alone) or 69 (a fault: frames would
be lost).

Exit codes (sysexits.h): 0 well, 64 usage, 65 unusable input data, 66 no input file, 69 device or port unavailable,
70 internal, 73 cannot create output, 74 output failed, 77 permission, 78 configuration.
";

/// What was asked for.
enum Command {
    Run(Option<PathBuf>),
    Check(Option<PathBuf>),
    Kinds,
    Verify { files: Vec<PathBuf>, counter: bool },
    Recover(Vec<PathBuf>),
    Convert(convert::Request),
    Doctor { file: Option<PathBuf>, request: Request },
    Version,
    Help,
}

/// Does what the arguments ask for. Failures are printed with their causes, one line each.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = parse(lexopt::Parser::from_iter(arguments)).and_then(execute);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = match &failure {
                Failure::Config(mistakes) => mistakes.to_string(),
                _ => format!("biosigd: {}", failure.in_full()),
            };
            // Standard error may be closed; the exit code still tells.
            drop(writeln!(std::io::stderr(), "{text}"));
            failure.exit_code()
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let usage = |error: lexopt::Error| Failure::Usage(error.to_string());
    let (mut command, mut file, mut files, mut counter) = (None::<String>, None, Vec::new(), false);
    let (mut json, mut seconds, mut values) = (false, None, None);
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Short('c') | Long("config") => {
                let value = PathBuf::from(parser.value().map_err(usage)?);
                if file.replace(value).is_some() {
                    return Err(Failure::Usage("-c stands twice".to_owned()));
                }
            }
            Long("counter") => counter = true,
            Long("json") => json = true,
            Long("codes") => values = Some(Values::Codes),
            Long("units") => values = Some(Values::Units),
            Long("seconds") => seconds = Some(seconds_of(&parser.value().map_err(usage)?)?),
            Value(value) if command.is_none() => command = Some(value.to_string_lossy().into_owned()),
            Value(value) => files.push(PathBuf::from(value)),
            other => return Err(usage(other.unexpected())),
        }
    }
    let command = command.unwrap_or_else(|| "run".to_owned());
    let verifies = command == "verify";
    let examines = command == "doctor";
    let configures = examines || command == "run" || command == "check";
    let (recovers, converts) = (command == "recover", command == "convert");
    if (recovers || converts) && counter {
        return Err(Failure::Usage(format!("`{command}` takes no --counter")));
    }
    if !converts && values.is_some() {
        return Err(Failure::Usage(format!("`{command}` takes no --codes and no --units")));
    }
    if !verifies && !recovers && !converts && (counter || !files.is_empty()) {
        return Err(Failure::Usage(format!("`{command}` takes no FILE and no --counter")));
    }
    if !examines && (json || seconds.is_some()) {
        return Err(Failure::Usage(format!("`{command}` takes no --json and no --seconds")));
    }
    if !configures && file.is_some() {
        return Err(Failure::Usage(format!("`{command}` takes no -c")));
    }
    match command.as_str() {
        "run" => Ok(Command::Run(file)),
        "check" => Ok(Command::Check(file)),
        "kinds" => Ok(Command::Kinds),
        "doctor" => Ok(Command::Doctor { file, request: Request { json, seconds } }),
        "verify" if files.is_empty() => Err(Failure::Usage("`verify` needs a FILE".to_owned())),
        "verify" => Ok(Command::Verify { files, counter }),
        "recover" if files.is_empty() => Err(Failure::Usage("`recover` needs a PATH".to_owned())),
        "recover" => Ok(Command::Recover(files)),
        "convert" => Ok(Command::Convert(conversion(files, values)?)),
        other => {
            let known = "run, check, kinds, verify, recover, convert, doctor";
            Err(Failure::Usage(format!("there is no command `{other}`; known: {known}")))
        }
    }
}

/// IN and OUT, and what OUT's ending says.
fn conversion(files: Vec<PathBuf>, values: Option<Values>) -> Result<convert::Request, Failure> {
    let Ok([input, output]) = <[PathBuf; 2]>::try_from(files) else {
        return Err(Failure::Usage("`convert` needs IN and OUT, and no more".to_owned()));
    };
    let Some(target) = FileFormat::of(&output) else {
        let output = output.display();
        return Err(Failure::Usage(format!(
            "OUT must end in .bdf, .edf, .csv or .raw, which says what is written: {output}"
        )));
    };
    if values.is_some() && target != FileFormat::Csv {
        return Err(Failure::Usage("--codes and --units are for a .csv; the others hold both".to_owned()));
    }
    Ok(convert::Request { input, output, target, values: values.unwrap_or(Values::Units) })
}

/// Converts until it is done or a signal comes, so that nothing is left where somebody gave up.
fn convert(request: &convert::Request) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register(signal, Arc::clone(&stop));
        registered.map_err(|source| Failure::System { what: "cannot wait for signals", source })?;
    }
    Ok(convert::convert(request, &stop, &mut std::io::stdout())?)
}

/// The value of `--seconds`; written so that NaN is refused.
fn seconds_of(value: &std::ffi::OsStr) -> Result<f64, Failure> {
    let text = value.to_string_lossy();
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err(Failure::Usage(format!("--seconds {text} must be 0.1 to 3600"))),
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(file) => run::run(file.as_deref()),
        Command::Check(file) => print(&plan::plan(&load::load(file.as_deref(), |_| drop(log::start(Level::Warn)))?)),
        Command::Kinds => print(&kinds::kinds()),
        Command::Verify { files, counter } => Ok(super::verify::verify(&files, counter, &mut std::io::stdout())?),
        Command::Recover(paths) => Ok(super::recover::recover(&paths, &mut std::io::stdout())?),
        Command::Convert(request) => convert(&request),
        Command::Doctor { file, request } => doctor::doctor(file.as_deref(), &request, &mut std::io::stdout()),
        Command::Version => print(&format!("biosigd {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Help => print(HELP),
    }
}

/// Writes to standard output. A reader that went away (`biosigd kinds | head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::System { what: "cannot write to standard output", source: error })
        }
        _ => Ok(()),
    }
}
