//! Metrics in Prometheus' text format.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use alft_runtime::plugins::PluginSet;
use alft_runtime::stats::StepStats;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Counter<f64, AtomicU64>;

/// The metrics of a service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    request_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    samples: Counter,
    calls: Family<Labels<1>, Counter>,
    items: Family<Labels<1>, Counter>,
    fuel: Family<Labels<1>, Counter>,
    failures: Family<Labels<2>, Counter>,
    plugin_seconds: Family<Labels<1>, Seconds>,
    plugin_latency: Family<Labels<1>, Histogram, fn() -> Histogram>,
    pub(crate) waiting: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
}

/// From 0.1 ms to 100 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 10f64.powf(0.5), 13))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("alft"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            samples: Counter::default(),
            calls: Family::default(),
            items: Family::default(),
            fuel: Family::default(),
            failures: Family::default(),
            plugin_seconds: Family::default(),
            plugin_latency: Family::new_with_constructor(seconds),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests by route and status", metrics.requests.clone());
        let help = "Time from a request's head to its answer";
        registry.register_with_unit("request", help, Unit::Seconds, metrics.request_seconds.clone());
        registry.register("samples", "Completions that were scored", metrics.samples.clone());
        registry.register("plugin_calls", "Calls of a plugin", metrics.calls.clone());
        let help = "Completions, answers and bundles that a plugin was asked about";
        registry.register("plugin_items", help, metrics.items.clone());
        registry.register("plugin_fuel", "Fuel that a plugin used", metrics.fuel.clone());
        registry.register("plugin_failures", "Items that a plugin failed on, by kind", metrics.failures.clone());
        registry.register_with_unit("plugin", "Time within a plugin", Unit::Seconds, metrics.plugin_seconds.clone());
        let help = "Time within a plugin for one request";
        registry.register_with_unit("plugin_request", help, Unit::Seconds, metrics.plugin_latency.clone());
        registry.register("requests_waiting", "Requests that wait for an answer to begin", metrics.waiting.clone());
        registry.register("requests_in_flight", "Requests that plugins work on", metrics.in_flight.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        metrics
    }

    /// Counts a request.
    pub(crate) fn request(&self, route: &str, status: u16, time: Duration) {
        let route = ("route", route.to_owned());
        self.requests.get_or_create(&[route.clone(), ("status", status.to_string())]).inc();
        self.request_seconds.get_or_create(&[route]).observe(time.as_secs_f64());
    }

    /// Counts the plugins' calls of a request.
    pub(crate) fn scored(&self, samples: usize, plugins: &PluginSet, stats: &StepStats) {
        self.samples.inc_by(samples as u64);
        for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
            let name = ("plugin", plugin.name.clone());
            let labels = [name.clone()];
            self.calls.get_or_create(&labels).inc_by(stats.usage.calls);
            self.items.get_or_create(&labels).inc_by(stats.asked());
            self.fuel.get_or_create(&labels).inc_by(stats.usage.fuel);
            let time = stats.usage.time.as_secs_f64();
            self.plugin_seconds.get_or_create(&labels).inc_by(time);
            self.plugin_latency.get_or_create(&labels).observe(time);
            for (kind, (count, _)) in &stats.failures {
                self.failures.get_or_create(&[name.clone(), ("kind", (*kind).to_owned())]).inc_by(*count);
            }
        }
    }

    /// All metrics as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a text can be written to");
        text
    }
}
