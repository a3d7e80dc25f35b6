//! Makes families of figures and registers them.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

/// A figure for each value of a label, found without a lock. The last one is for all other values.
#[derive(Debug)]
pub(super) struct ByLabel<T>(Vec<(&'static str, T)>);

impl<T> ByLabel<T> {
    pub(super) fn of(labels: &[&'static str], make: impl Fn(&'static str) -> T) -> Self {
        assert!(!labels.is_empty(), "a family without labels");
        Self(labels.iter().map(|label| (*label, make(label))).collect())
    }

    pub(super) fn get(&self, label: &str) -> &T {
        let found = self.0.iter().find(|(known, _)| *known == label);
        &found.unwrap_or(&self.0[self.0.len() - 1]).1
    }
}

const VALID: &str = "constant names that are used once are valid";

/// The families of a registry.
#[derive(Default)]
pub(super) struct Families {
    pub(super) registry: Registry,
}

impl Families {
    fn registered<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let family = made.expect(VALID);
        self.registry.register(Box::new(family.clone())).expect(VALID);
        family
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(Gauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.registered(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::new(name, help))
    }

    pub(super) fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}
