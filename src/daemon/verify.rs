//! Reads recordings back: is the file whole, and does its ledger add up?
//!
//! One pass over each file, one record in memory at a time. A file without a sidecar is checked as far as it goes. Files of one
//! recording that are given one after the other must follow one another without a seam.
//!
//! A recording whose recorder was killed has a sidecar that still says `recording` and speaks of the records that were
//! there when it was last written. Such a file is well when those add up; what stands after them, also an unfinished
//! record, is reported and is no damage, because every reader opens the file. The same tail on a file that was finished, or
//! that nobody speaks of, is damage.

mod account;
mod chain;
mod counter;
mod pass;
mod report;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use self::account::Account;
use self::chain::Chain;
use self::pass::Pass;
pub use self::report::Report;
use crate::edf::Header;
use crate::format::{Fault, Reader};
use crate::sink::recorder::Summing;

/// Why `verify` is not content.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file cannot be opened: exit code 66.
    #[error("cannot open {}", path.display())]
    NoInput {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Files are damaged, or their ledgers do not add up: exit code 65.
    #[error("{n_damaged} of {n_files} recordings are damaged or do not add up")]
    Damaged {
        /// How many.
        n_damaged: usize,
        /// Of how many that were read.
        n_files: usize,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Output(#[source] std::io::Error),
}

/// Reads every file and writes what it found to `out`, file by file. With `counter` every code is compared with
/// the counter signal's (design, section 4).
///
/// # Errors
/// After all files were read: [`VerifyError::Damaged`] when one is not well, else [`VerifyError::NoInput`] for the
/// first that could not be opened. [`VerifyError::Output`] at once.
pub fn verify(files: &[PathBuf], counter: bool, out: &mut impl Write) -> Result<(), VerifyError> {
    let mut missing = None;
    let (mut n_damaged, mut n_files) = (0, 0);
    let mut chain = Chain::default();
    for path in files {
        match read(path, counter) {
            Ok((mut report, account)) => {
                chain.next(path, account.as_ref(), &mut report);
                n_files += 1;
                n_damaged += usize::from(!report.is_well());
                write!(out, "{}\n{report}", path.display()).map_err(VerifyError::Output)?;
            }
            Err(source) => {
                writeln!(out, "{}\n  cannot open: {source}", path.display()).map_err(VerifyError::Output)?;
                missing.get_or_insert(VerifyError::NoInput { path: path.clone(), source });
            }
        }
    }
    match missing {
        _ if n_damaged > 0 => Err(VerifyError::Damaged { n_damaged, n_files }),
        Some(missing) => Err(missing),
        None => Ok(()),
    }
}

/// Reads one file.
///
/// # Errors
/// When it cannot be opened. What is wrong inside is in the report.
pub fn verify_file(path: &Path, counter: bool) -> std::io::Result<Report> {
    Ok(read(path, counter)?.0)
}

fn read(path: &Path, counter: bool) -> std::io::Result<(Report, Option<Account>)> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut report = Report::default();
    let opened = Reader::open(BufReader::with_capacity(1 << 16, Summing::new(file)), file_bytes);
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(fault) => {
            report.damage(with_source(&fault));
            return Ok((report, None));
        }
    };
    let header = reader.header().clone();
    let account = Account::read(path, reader.format(), &mut report);
    if reader.format().is_edf() {
        counted(&header, file_bytes, account.as_ref(), &mut report);
    }
    let mut pass = Pass::new(&header, account.as_ref(), counter, &mut report);
    match pass.run(&mut reader, &mut report) {
        Ok(()) => {}
        Err(fault @ Fault::Torn { .. }) if account.as_ref().is_some_and(Account::is_running) => {
            report.note(format!("{fault}; the recorder was killed, `biosigd recover` removes them"));
        }
        Err(fault) => report.damage(format!("record {}: {}", reader.n_records(), with_source(&fault))),
    }
    pass.summary(&reader, &mut report);
    if let Some(account) = &account {
        account.check(&reader, &pass, &mut report);
        if let Some(due) = &account.sha256 {
            match reader.into_inner().into_inner().finish() {
                Ok(sum) if sum == *due => report.note(format!("SHA-256 {sum}, as the sidecar has it")),
                Ok(sum) => report.damage(format!("the SHA-256 of the file is {sum}, the sidecar has {due}")),
                Err(error) => report.damage(format!("cannot read the file to its end: {error}")),
            }
        }
    }
    Ok((report, account))
}

/// A fault and what caused it, in one line.
fn with_source(fault: &Fault) -> String {
    let source = std::error::Error::source(fault).map_or(String::new(), |source| format!(": {source}"));
    format!("{fault}{source}")
}

/// Whether the size of a BDF or EDF file agrees with the number of records in its header.
fn counted(header: &Header, file_bytes: u64, account: Option<&Account>, report: &mut Report) {
    let n_whole = header.records_in(file_bytes);
    let n_records = header.n_records.unwrap_or(n_whole);
    let due_bytes = header.header_bytes() + n_records.saturating_mul(header.record_bytes() as u64);
    if header.n_records.is_none() {
        report.note("the number of records is -1: the recorder did not finish the file".to_owned());
    }
    if file_bytes < due_bytes {
        report.damage(format!(
            "the header counts {n_records} records, which end at byte {due_bytes}; the file ends at byte {file_bytes}, {} \
             bytes are missing",
            due_bytes - file_bytes
        ));
    } else if file_bytes > due_bytes {
        let tail = format!(
            "torn tail: {} bytes follow the last of {n_records} records, which ends at byte {due_bytes}",
            file_bytes - due_bytes
        );
        if account.is_some_and(Account::is_running) {
            report.note(format!("{tail}; the recorder was killed, `biosigd recover` removes them"));
        } else {
            report.damage(tail);
        }
    }
}
