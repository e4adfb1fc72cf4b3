//! Numbers that a service says about itself: counters, gauges and histograms, exported by OTLP with the spans.
//!
//! Instruments are statics beside the code that uses them; they come to life at their first use after [`super::init`]
//! (the SDK hands out dead ones before). Invariants: using one costs nothing when no metrics are exported, and never fails.
//! Does not: decide what is worth a number. Names are listed in docs/telemetry.md.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

pub use opentelemetry::KeyValue;
use opentelemetry::{global, metrics as otel};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};

/// Whether a meter provider is installed: instruments made before would stay dead.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Makes this provider the process's. Later calls change nothing.
pub(crate) fn install(provider: SdkMeterProvider) {
    if !INSTALLED.load(Ordering::Acquire) {
        global::set_meter_provider(provider);
        INSTALLED.store(true, Ordering::Release);
    }
}

/// Of histograms: from a call within the machine to a rider's wait, seconds.
const BOUNDARIES: [f64; 17] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
    900.0,
];

fn meter() -> Option<otel::Meter> {
    INSTALLED
        .load(Ordering::Acquire)
        .then(|| global::meter("hexcab"))
}

macro_rules! instrument {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $value:ty, $builder:ident $(.$with:ident($bounds:expr))?, $verb:ident, $(#[$verb_doc:meta])*) => {
        $(#[$doc])*
        pub struct $name {
            name: &'static str,
            unit: &'static str,
            description: &'static str,
            inner: OnceLock<$inner>,
        }

        impl $name {
            /// An instrument: its name (`hexcab.…`), its unit (UCUM: `s`, `By`, `{retry}`), and what it says.
            pub const fn new(
                name: &'static str,
                unit: &'static str,
                description: &'static str,
            ) -> Self {
                Self { name, unit, description, inner: OnceLock::new() }
            }

            $(#[$verb_doc])*
            pub fn $verb(&self, value: $value, attributes: &[KeyValue]) {
                let inner = match self.inner.get() {
                    Some(inner) => inner,
                    None => {
                        let Some(meter) = meter() else { return };
                        self.inner.get_or_init(|| {
                            meter
                                .$builder(self.name)
                                .with_unit(self.unit)
                                .with_description(self.description)
                                $(.$with($bounds))?
                                .build()
                        })
                    }
                };
                inner_call!($verb, inner, value, attributes);
            }
        }
    };
}

macro_rules! inner_call {
    (add, $inner:ident, $value:ident, $attributes:ident) => {
        $inner.add($value, $attributes)
    };
    ($verb:ident, $inner:ident, $value:ident, $attributes:ident) => {
        $inner.record($value, $attributes)
    };
}

instrument!(
    /// What only grows.
    Counter, otel::Counter<u64>, u64, u64_counter, add,
    /// Counts so many more.
);
instrument!(
    /// What is so much now.
    Gauge, otel::Gauge<f64>, f64, f64_gauge, set,
    /// Says how much it is now.
);
instrument!(
    /// What is so much each time, such as a latency.
    Histogram, otel::Histogram<f64>, f64, f64_histogram.with_boundaries(BOUNDARIES.to_vec()), record,
    /// Records one.
);

/// What was measured in this process, for tests: counters and gauges by name, read at any time.
///
/// There is one meter provider a process; tests of one binary share it, so look at differences and at attributes of one's
/// own.
#[derive(Debug, Clone)]
pub struct Measured {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

/// Keeps this process's metrics in memory. Call it before the first instrument is used; every call gives the same.
pub fn in_memory() -> Measured {
    static MEASURED: OnceLock<Measured> = OnceLock::new();
    MEASURED
        .get_or_init(|| {
            let exporter = InMemoryMetricExporter::default();
            let provider = SdkMeterProvider::builder()
                .with_reader(PeriodicReader::builder(exporter.clone()).build())
                .build();
            install(provider.clone());
            Measured { exporter, provider }
        })
        .clone()
}

impl Measured {
    /// The newest value of a counter or gauge, summed over the series whose attributes contain all of these; 0 when there
    /// is none. Of a histogram: how many were recorded.
    pub fn value(&self, name: &str, attributes: &[KeyValue]) -> f64 {
        let _ = self.provider.force_flush();
        let exported = self.exporter.get_finished_metrics().unwrap_or_default();
        exported
            .iter()
            .rev()
            .flat_map(|resource| resource.scope_metrics())
            .flat_map(|scope| scope.metrics())
            .find(|metric| metric.name() == name)
            .map_or(0.0, |metric| sum(metric.data(), attributes))
    }
}

fn sum(data: &AggregatedMetrics, wanted: &[KeyValue]) -> f64 {
    match data {
        AggregatedMetrics::F64(data) => sum_of(data, wanted, |value| value),
        AggregatedMetrics::U64(data) => sum_of(data, wanted, |value| value as f64),
        AggregatedMetrics::I64(data) => sum_of(data, wanted, |value| value as f64),
    }
}

fn sum_of<T: Copy>(data: &MetricData<T>, wanted: &[KeyValue], read: impl Fn(T) -> f64) -> f64 {
    let fits = |mut has: Box<dyn Iterator<Item = &KeyValue> + '_>| {
        let has: Vec<&KeyValue> = has.by_ref().collect();
        wanted.iter().all(|wanted| has.contains(&wanted))
    };
    match data {
        MetricData::Gauge(gauge) => gauge
            .data_points()
            .filter(|point| fits(Box::new(point.attributes())))
            .map(|point| read(point.value()))
            .sum(),
        MetricData::Sum(sum) => sum
            .data_points()
            .filter(|point| fits(Box::new(point.attributes())))
            .map(|point| read(point.value()))
            .sum(),
        MetricData::Histogram(histogram) => histogram
            .data_points()
            .filter(|point| fits(Box::new(point.attributes())))
            .map(|point| point.count() as f64)
            .sum(),
        MetricData::ExponentialHistogram(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TRIES: Counter = Counter::new("test.tries", "{try}", "tries of this test");
    static DEPTH: Gauge = Gauge::new("test.depth", "1", "depth of this test");
    static TOOK: Histogram = Histogram::new("test.took", "s", "length of this test");

    #[test]
    fn what_is_counted_set_and_recorded_is_read_back_by_its_attributes() {
        let measured = in_memory();
        let (a, b) = (KeyValue::new("who", "a"), KeyValue::new("who", "b"));
        TRIES.add(2, std::slice::from_ref(&a));
        TRIES.add(3, std::slice::from_ref(&b));
        TRIES.add(1, std::slice::from_ref(&b));
        DEPTH.set(7.0, &[]);
        DEPTH.set(5.0, &[]);
        TOOK.record(0.1, &[]);
        TOOK.record(0.2, &[]);
        assert_eq!(measured.value("test.tries", &[a]), 2.0);
        assert_eq!(measured.value("test.tries", &[b]), 4.0);
        assert_eq!(measured.value("test.tries", &[]), 6.0);
        assert_eq!(measured.value("test.depth", &[]), 5.0);
        assert_eq!(measured.value("test.took", &[]), 2.0);
        assert_eq!(measured.value("test.nothing", &[]), 0.0);
    }
}
