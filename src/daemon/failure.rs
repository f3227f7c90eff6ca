//! Why a command failed, and the exit code that says so to a script (sysexits.h).

use std::path::PathBuf;
use std::process::ExitCode;

use super::convert::ConvertError;
use super::recover::RecoverError;
use super::verify::VerifyError;
use crate::config::Mistakes;
use crate::sink::SinkError;
use crate::source::SourceError;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{0}; `biosigd --help` shows what there is")]
    Usage(String),
    /// The configuration is wrong; every mistake has its line.
    #[error("{0}")]
    Config(Mistakes),
    /// The configuration file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    NoConfig {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The source cannot be opened.
    #[error("the source cannot be opened")]
    Source(#[from] SourceError),
    /// The converter was opened and did not prove itself.
    #[error("the converter is not as it should be")]
    Unproven(#[source] SourceError),
    /// The source ended before its time.
    #[error("{0}")]
    BrokeOff(String),
    /// Nothing can be recorded where it should be.
    #[error("nothing can be recorded")]
    Output(#[source] SinkError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Port {
        /// The address.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something was refused that `strict = true` insists on.
    #[error("{0} (an error because daemon.strict = true)")]
    Strict(crate::rt::Refused),
    /// Frames did not reach the disk, or a thread did not end in the time that a stop has.
    #[error("{0}")]
    Unfinished(String),
    /// A recording is missing or damaged.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A recording could not be made whole.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A recording could not be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// This machine would lose frames, as `doctor` found.
    #[error("{n_faults} {}: this machine would lose frames", if *n_faults == 1 { "fault" } else { "faults" })]
    Unfit {
        /// How many faults.
        n_faults: u64,
    },
    /// The system refused something basic.
    #[error("{what}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A mistake of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Failure {
    /// The whole chain of reasons, down to the system's.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        ExitCode::from(match self {
            Failure::Usage(_) => 64,
            Failure::Source(error) | Failure::Unproven(error) => source_code(error),
            Failure::BrokeOff(_) => 65,
            Failure::Verify(VerifyError::Damaged { .. }) => 65,
            Failure::Verify(VerifyError::NoInput { .. }) => 66,
            Failure::Recover(RecoverError::Damaged { .. }) => 65,
            Failure::Recover(RecoverError::NoInput { .. }) => 66,
            Failure::Recover(RecoverError::Refused { .. }) => 73,
            Failure::Recover(RecoverError::Output(_)) => 74,
            Failure::Convert(error) => convert_code(error),
            Failure::NoConfig { source, .. } if source.kind() == NotFound => 66,
            Failure::Port { .. } | Failure::Unfit { .. } => 69,
            Failure::Internal(_) | Failure::System { .. } => 70,
            Failure::Output(SinkError::Io { source, .. }) if source.kind() == PermissionDenied => 73,
            Failure::Output(_) => 73,
            Failure::Unfinished(_) | Failure::Verify(VerifyError::Output(_)) => 74,
            Failure::NoConfig { source, .. } if source.kind() == PermissionDenied => 77,
            Failure::Strict(_) => 77,
            Failure::NoConfig { .. } => 66,
            Failure::Config(_) => 78,
        })
    }
}

fn convert_code(error: &ConvertError) -> u8 {
    match error {
        ConvertError::Unusable { .. } => 65,
        ConvertError::NoInput { .. } => 66,
        ConvertError::Exists { .. } | ConvertError::Create { .. } => 73,
        ConvertError::Read { .. } | ConvertError::Write { .. } | ConvertError::Report(_) => 74,
        ConvertError::Stopped { .. } => 74,
    }
}

fn source_code(error: &SourceError) -> u8 {
    match error {
        SourceError::Unusable { .. } => 65,
        SourceError::NoInput(_) => 66,
        SourceError::Unavailable { .. } | SourceError::Converter(_) => 69,
        SourceError::Permission(_) | SourceError::NotAllowed(_) => 77,
    }
}
