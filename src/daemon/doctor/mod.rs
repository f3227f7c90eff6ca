//! `biosigd doctor`: what on this machine would cost samples, each with its remedy.
//!
//! A check is a small function from what the machine tells ([`machine`]) and what the configuration asks of it
//! ([`rig`]) to findings ([`report`]); so each is tested with made-up machines. Two things nobody tells, and they are
//! measured: how long the disk stalls, and how late a thread wakes.
//!
//! The source is built as for `check`, and its hardware stays closed.

mod clock;
mod cores;
mod devices;
mod disk;
#[cfg(test)]
mod fake;
mod gpio;
mod interrupts;
mod kernel;
mod machine;
mod power;
mod privileges;
mod report;
mod rig;
mod spi;
mod wake_up;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use self::machine::Machine;
use self::report::{Finding, Level, count};
use self::rig::Rig;
use super::{Failure, load, log, settings};
use crate::rt;

/// How long each measurement lasts without `--seconds`.
const SECONDS: f64 = 3.0;

/// How `doctor` was called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// One JSON document instead of text.
    pub(super) json: bool,
    /// How long each measurement lasts; given, it is also done beside a daemon that runs.
    pub(super) seconds: Option<f64>,
}

/// A question that needs no measurement.
type Check = fn(&Machine, &Rig) -> Vec<Finding>;

/// Them all, in the order in which a person would look: the wires first, then the machine from the inside out.
const CHECKS: &[Check] = &[
    devices::nodes,
    gpio::chip,
    spi::bufsiz,
    spi::clock,
    kernel::version,
    kernel::preemption,
    cores::isolation,
    interrupts::affinity,
    cores::idle,
    cores::governor,
    power::throttling,
    privileges::priority,
    privileges::throttling,
];

/// Looks at everything, and writes what it finds to `out`.
///
/// # Errors
/// As `check` where the configuration is wrong; [`Failure::Unfit`] when there is a fault, after all has been written.
pub(super) fn doctor(file: Option<&Path>, request: &Request, out: &mut impl Write) -> Result<(), Failure> {
    let loaded = load::load(file, |_| drop(log::start(settings::Level::Warn)))?;
    let mut machine = Machine::this(&loaded.name);
    let rig = Rig::of(&loaded, &machine);
    if let Some(hardware) = &rig.hardware {
        machine.chips = gpio::list(&machine, hardware);
    }
    let mut report = Report { as_json: request.json, findings: Vec::new(), out };
    report.begin(&machine, &rig)?;
    for check in CHECKS {
        report.tell(check(&machine, &rig))?;
    }
    report.tell(vec![
        privileges::memory_lock(&machine, &rig, rt::lock_memory()),
        kernel::pages(rustix::param::page_size()),
        clock::synchronisation(&machine, &rig, rt::clock_discipline()),
    ])?;
    report.tell(disk::space(&machine, &rig))?;
    measure(&machine, &rig, request, &mut report)?;
    report.end(&rig)
}

/// What must be measured, unless it would disturb a daemon that acquires.
fn measure<W: Write>(
    machine: &Machine,
    rig: &Rig,
    request: &Request,
    report: &mut Report<'_, W>,
) -> Result<(), Failure> {
    if let (Some(address), None) = (rig.busy_at, request.seconds) {
        let reason = format!(
            "something answers at {address}: a daemon, to which measuring may cost frames. Stop it, or insist with \
             --seconds"
        );
        return report.tell(vec![Finding::skipped("write stall", &*reason), Finding::skipped("wake-up", reason)]);
    }
    let time = Duration::from_secs_f64(request.seconds.unwrap_or(SECONDS));
    if !request.json && std::io::stderr().is_terminal() {
        // Standard error may be closed; the wait is the same.
        drop(writeln!(std::io::stderr(), "measuring the disk and the wake-ups, {:.1} s each ...", time.as_secs_f64()));
    }
    report.tell(disk::stalls(machine, rig, time))?;
    report.tell(wake_up::latency(rig, time))
}

/// The findings on their way out.
struct Report<'o, W> {
    as_json: bool,
    findings: Vec<Finding>,
    out: &'o mut W,
}

impl<W: Write> Report<'_, W> {
    fn begin(&mut self, machine: &Machine, rig: &Rig) -> Result<(), Failure> {
        if self.as_json {
            return Ok(());
        }
        let who = if machine.who.is_service { "for the service's account" } else { "for" };
        let text = format!(
            "biosigd {}, configuration: {}, {who} {}\n{}\n\n",
            env!("CARGO_PKG_VERSION"),
            rig.configuration,
            machine.who.name,
            rig.title()
        );
        self.write(&text)
    }

    /// Text goes out at once: a measurement may follow.
    fn tell(&mut self, findings: Vec<Finding>) -> Result<(), Failure> {
        if !self.as_json {
            let text: String = findings.iter().map(Finding::to_string).collect();
            self.write(&text)?;
        }
        self.findings.extend(findings);
        Ok(())
    }

    fn n_of(&self, level: Level) -> u64 {
        self.findings.iter().filter(|finding| finding.level == level).count() as u64
    }

    /// The summary, or the whole document.
    fn end(&mut self, rig: &Rig) -> Result<(), Failure> {
        let [n_faults, n_warnings] = [Level::Fault, Level::Warning].map(|level| self.n_of(level));
        let text = if self.as_json {
            let worst = self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
            let document = json!({
                "biosigd": env!("CARGO_PKG_VERSION"),
                "configuration": rig.configuration,
                "source": rig.to_json(),
                "verdict": worst.max(Level::Fine).name(),
                "faults": n_faults,
                "warnings": n_warnings,
                "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            });
            format!("{document:#}\n")
        } else {
            format!("\n{}, {}\n", count(n_faults, "fault"), count(n_warnings, "warning"))
        };
        self.write(&text)?;
        if n_faults > 0 { Err(Failure::Unfit { n_faults }) } else { Ok(()) }
    }

    /// A reader that went away (`biosigd doctor | head`) is no failure, and the exit code still tells.
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::System { what: "cannot write to standard output", source: error })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{self, Fake};
    use super::*;

    /// Every check over a machine, as lines.
    fn look(machine: &Machine, rig: &Rig) -> Vec<Finding> {
        CHECKS.iter().flat_map(|check| check(machine, rig)).collect()
    }

    #[test]
    fn a_pi_as_it_comes_has_warnings_and_one_that_was_tuned_has_none() {
        let chip = gpio::Chip {
            name: "gpiochip0".to_owned(),
            told: Ok(gpio::Told { label: "pinctrl-rp1".to_owned(), n_lines: 54, in_use: Default::default() }),
        };
        let fake = Fake::pi5();
        let mut machine = fake.machine();
        machine.chips = vec![chip];
        let named = |findings: &[Finding], level| -> Vec<&'static str> {
            findings.iter().filter(|finding| finding.level == level).map(|finding| finding.check).collect()
        };
        let findings = look(&machine, &fake::ads1299());
        assert_eq!(named(&findings, Level::Fault), [""; 0]);
        let warnings = ["preemption", "isolation", "interrupts", "governor", "priority"];
        assert_eq!(named(&findings, Level::Warning), warnings);

        fake.file("sys/kernel/realtime", "1");
        fake.file("proc/irq/106/smp_affinity_list", "0-1");
        for core in [2, 3] {
            fake.file(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"), "performance");
        }
        fake.limits("95", "unlimited");
        let tuned = Rig { isolated: vec![2, 3], allowed: vec![0, 1], ..fake::ads1299() };
        let findings = look(&machine, &tuned);
        assert_eq!(named(&findings, Level::Warning), [""; 0]);
        assert!(named(&findings, Level::Fine).len() >= 12, "{findings:#?}");
    }

    #[test]
    fn what_is_not_there_is_skipped_and_no_fault() {
        for rig in [fake::synthetic(), fake::free()] {
            let findings = look(&Fake::empty().machine(), &rig);
            assert!(findings.iter().all(|finding| finding.level <= Level::Fine), "{findings:#?}");
        }
    }

    #[test]
    fn what_should_be_done_says_how() {
        let (empty, pi) = (Fake::empty(), Fake::pi5());
        for machine in [empty.machine(), pi.machine()] {
            for finding in look(&machine, &fake::ads1299()) {
                assert_eq!(finding.remedy.is_some(), finding.level > Level::Fine, "{finding:?}");
                assert_eq!(finding.why.is_empty(), finding.level == Level::Skipped, "{finding:?}");
            }
        }
    }

    #[test]
    fn a_daemon_that_runs_is_not_disturbed() {
        let mut out = Vec::new();
        let rig = Rig { busy_at: Some(std::net::SocketAddr::from(([127, 0, 0, 1], 8707))), ..fake::ads1299() };
        let request = Request { json: false, seconds: None };
        let mut report = Report { as_json: false, findings: Vec::new(), out: &mut out };
        measure(&Fake::empty().machine(), &rig, &request, &mut report).expect("written");
        assert!(report.findings.iter().all(|finding| finding.level == Level::Skipped));
        report.end(&rig).expect("no fault");
        assert!(String::from_utf8(out).expect("text").ends_with("\n0 faults, 0 warnings\n"));
    }

    #[test]
    fn a_fault_is_a_failure_after_everything_was_written() {
        let mut out = Vec::new();
        let mut report = Report { as_json: true, findings: Vec::new(), out: &mut out };
        report.tell(look(&Fake::empty().machine(), &fake::ads1299())).expect("kept");
        assert!(matches!(report.end(&fake::ads1299()), Err(Failure::Unfit { n_faults: 2 })));
        let document: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!((&document["verdict"], &document["faults"]), (&json!("fault"), &json!(2)));
    }
}
