//! Which cores the machine has, which are kept free, and which two the road should take.

use std::fs;

use super::thread::CORE_MAX;

/// The cores of this machine, as the kernel lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cores {
    /// Cores that can ever be used (`/sys/devices/system/cpu/possible`).
    pub possible: Vec<usize>,
    /// Cores that this process may use: a container or a unit may allow fewer.
    pub allowed: Vec<usize>,
    /// Cores kept free of other work (`isolcpus=`; `/sys/devices/system/cpu/isolated`).
    pub isolated: Vec<usize>,
}

impl Cores {
    /// Asks the kernel. Where sysfs is not mounted the number of processors of this process has to do.
    #[must_use]
    pub fn of_this_machine() -> Cores {
        let list = |name: &str| {
            fs::read_to_string(format!("/sys/devices/system/cpu/{name}"))
                .map(|text| parse_core_list(&text))
                .unwrap_or_default()
        };
        let mut possible = list("possible");
        if possible.is_empty() {
            possible = (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
        }
        let allowed = match rustix::thread::sched_getaffinity(None) {
            // A core beyond the mask is none that could be asked for.
            Ok(mask) => possible.iter().copied().filter(|core| *core <= CORE_MAX && mask.is_set(*core)).collect(),
            // Not to know is no reason to refuse.
            Err(_) => possible.clone(),
        };
        Cores { possible, allowed, isolated: list("isolated") }
    }
}

/// The cores for acquisition and processing. `None` in the wish means `auto`: isolated cores first, then the last
/// ones, and two different ones where there are two.
#[must_use]
pub fn choose_cores(cores: &Cores, acquire: Option<usize>, process: Option<usize>) -> (usize, usize) {
    // The mask of a process leaves isolated cores out, although they can be asked for.
    let can_be_had = |core: &&usize| cores.allowed.contains(core) || cores.isolated.contains(core);
    let mut by_preference: Vec<usize> = cores.possible.iter().filter(can_be_had).copied().collect();
    by_preference.sort_by_key(|core| (!cores.isolated.contains(core), std::cmp::Reverse(*core)));
    let pick = |taken: Option<usize>| {
        let free = by_preference.iter().copied().find(|core| Some(*core) != taken);
        free.or(by_preference.first().copied()).unwrap_or(0)
    };
    let acquire_core = acquire.unwrap_or_else(|| pick(process));
    (acquire_core, process.unwrap_or_else(|| pick(Some(acquire_core))))
}

/// Reads the kernel's list format, `0-3,5` (Documentation/admin-guide/cputopology).
#[must_use]
pub fn parse_core_list(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last);
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(possible: &str, isolated: &str) -> Cores {
        Cores {
            possible: parse_core_list(possible),
            allowed: parse_core_list(possible),
            isolated: parse_core_list(isolated),
        }
    }

    #[test]
    fn the_kernel_s_list_format() {
        assert_eq!(parse_core_list("0-3,5\n"), [0, 1, 2, 3, 5]);
        assert_eq!(parse_core_list("\n"), Vec::<usize>::new());
    }

    #[test]
    fn auto_takes_isolated_cores_first_then_the_last() {
        assert_eq!(choose_cores(&cores("0-3", ""), None, None), (3, 2));
        assert_eq!(choose_cores(&cores("0-3", "1-2"), None, None), (2, 1));
        assert_eq!(choose_cores(&cores("0-3", "2"), None, None), (2, 3));
        assert_eq!(choose_cores(&cores("0-3", ""), None, Some(3)), (2, 3));
        assert_eq!(choose_cores(&cores("0-1", ""), None, None), (1, 0));
        assert_eq!(choose_cores(&cores("0", ""), None, None), (0, 0));
        let container = Cores { allowed: vec![0, 1], ..cores("0-3", "") };
        assert_eq!(choose_cores(&container, None, None), (1, 0));
    }
}
