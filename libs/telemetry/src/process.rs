//! What a process says of itself: memory, processor time, open files. Semantic conventions `process.*`.
//!
//! Read from /proc when numbers are exported, and only then. Does not: fail; what cannot be read is not said.

use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use procfs::{
    WithCurrentSystemInfo as _,
    process::{Process, Stat},
};

/// Name, unit and description of what is said, for the list of all of them.
pub const LISTED: [(&str, &str, &str); 4] = [
    (
        "process.memory.usage",
        "By",
        "resident memory of the process",
    ),
    ("process.cpu.time", "s", "processor time, by cpu.mode"),
    (
        "process.unix.file_descriptor.count",
        "{file_descriptor}",
        "open files and connections",
    ),
    ("process.thread.count", "{thread}", "threads"),
];

/// Tells them with every export.
pub fn observe(provider: &SdkMeterProvider) {
    let meter = provider.meter("hexcab");
    let [memory, cpu, files, threads] = LISTED;
    meter
        .u64_observable_gauge(memory.0)
        .with_unit(memory.1)
        .with_description(memory.2)
        .with_callback(|told| {
            if let Some(stat) = stat() {
                told.observe(stat.rss_bytes().get(), &[]);
            }
        })
        .build();
    meter
        .f64_observable_counter(cpu.0)
        .with_unit(cpu.1)
        .with_description(cpu.2)
        .with_callback(|told| {
            let Some(stat) = stat() else { return };
            let second = procfs::ticks_per_second() as f64;
            for (mode, ticks) in [("user", stat.utime), ("system", stat.stime)] {
                told.observe(ticks as f64 / second, &[KeyValue::new("cpu.mode", mode)]);
            }
        })
        .build();
    meter
        .u64_observable_gauge(files.0)
        .with_unit(files.1)
        .with_description(files.2)
        .with_callback(|told| {
            if let Ok(count) = Process::myself().and_then(|me| me.fd_count()) {
                told.observe(count as u64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge(threads.0)
        .with_unit(threads.1)
        .with_description(threads.2)
        .with_callback(|told| {
            if let Some(stat) = stat() {
                told.observe(stat.num_threads.unsigned_abs(), &[]);
            }
        })
        .build();
}

fn stat() -> Option<Stat> {
    Process::myself().and_then(|me| me.stat()).ok()
}
