//! Owns what the process tells of itself: processor time and memory, under the names that Prometheus' own clients give them
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). What the system does not tell is left out.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::clock;

/// Processor time of all threads so far.
pub(crate) const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Memory that is in use now.
pub(crate) const RESIDENT_BYTES: &str = "process_resident_memory_bytes";

/// Reads both whenever somebody asks.
#[derive(Debug)]
pub(super) struct Usage;

impl Collector for Usage {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        if let Some(seconds) = clock::cpu_seconds() {
            let (counter, help) = (ConstCounter::new(seconds), "Processor time used, of all threads");
            let to = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), counter.metric_type())?;
            counter.encode(to)?;
        }
        if let Some(bytes) = resident_bytes() {
            let (gauge, help) = (ConstGauge::new(bytes), "Memory in use");
            let to =
                encoder.encode_descriptor("process_resident_memory", help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(to)?;
        }
        Ok(())
    }
}

/// As Linux tells it; elsewhere there is no such file.
fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The line `VmRSS:   1234 kB` of a process' status, where kB are 1024 bytes (proc_pid_status(5)).
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_one_line_of_many() {
        assert_eq!(resident("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1234 * 1024));
        for strange in ["", "VmRSS:", "VmRSS:\t12 MB", "VmRSS:\t-1 kB", "VmRSS:\t18446744073709551615 kB"] {
            assert_eq!(resident(strange), None, "{strange}");
        }
    }
}
