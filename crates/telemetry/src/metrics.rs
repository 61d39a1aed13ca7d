//! Metrics of one process. In: measurements. Out: `/metrics` in Prometheus text or OpenMetrics, and health, on a port.
//!
//! | module | what it holds |
//! |---|---|
//! | `instruments` | [`TelemetryInstruments`], [`Counter`], [`Histogram`], [`ActiveOperation`] |
//! | `exemplars` | the last measurement of each series that was made in a kept trace |
//! | `labels` | the names of labels as Prometheus takes them |
//! | `exposition`, `openmetrics` | what a scrape reads |
//! | `server` | `/metrics`, `/healthz`, `/readyz` |

mod exemplars;
mod exposition;
mod instruments;
mod labels;
mod openmetrics;
#[cfg(test)]
mod scraped;
pub(crate) mod server;

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{Gauge, Meter, MeterProvider, NoopMeterProvider, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;

use crate::error::TelemetryError;
use exemplars::Exemplars;

pub use exposition::Exposition;
pub use instruments::{ActiveOperation, Counter, Histogram, TelemetryInstruments};

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// The instruments of one process and the registry that a scrape reads. Every clone is the same metrics.
///
/// An instrument is exposed under the name that it was given; `.`, `-` and `/` become `_`. Nothing here panics: an
/// instrument that cannot be made (its name or unit is not one of OpenTelemetry, its bounds do not increase, its name belongs
/// to an instrument of another kind) is reported in a warning and records nothing. Whoever asks for a name a second time
/// gets the instrument of the first time.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// `None`: nothing is recorded.
    provider: Option<SdkMeterProvider>,
    meter: Meter,
    /// By exposed name in lower case: to OpenTelemetry `Jobs` and `jobs` are the same.
    made: Arc<Mutex<HashMap<String, Made>>>,
}

/// What a name stands for.
#[derive(Debug)]
struct Made {
    instrument: Box<dyn Any + Send + Sync>,
    exemplars: Option<Arc<Exemplars>>,
}

impl Metrics {
    /// Metrics of the process that `resource` describes, which is exposed as `target_info`.
    ///
    /// # Errors
    /// The registry does not take the instruments.
    pub(crate) fn new(resource: &Resource) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| prometheus::Error::Msg(error.to_string()))?;
        let provider =
            SdkMeterProvider::builder().with_reader(reader).with_resource(resource.clone()).build();
        let meter = provider.meter(SCOPE);
        Ok(Self { registry, provider: Some(provider), meter, made: Arc::default() })
    }

    /// Metrics that record nothing. The registry is an empty one.
    pub(crate) fn disabled() -> Self {
        Self { registry: Registry::new(), provider: None, meter: idle_meter(), made: Arc::default() }
    }

    /// The registry behind [`render`](Self::render).
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The provider of the meters, to make it known to the process; `None` when disabled.
    pub(crate) fn provider(&self) -> Option<&SdkMeterProvider> {
        self.provider.as_ref()
    }

    /// A meter for instruments by the OpenTelemetry API. They have no exemplars, and two meters that use one name expose
    /// the same series twice.
    pub(crate) fn meter(&self, scope: &'static str) -> Meter {
        self.provider.as_ref().map_or_else(idle_meter, |provider| provider.meter(scope))
    }

    /// A counter. OpenMetrics has counters only with names in `_total`; any other is of unknown type there.
    pub(crate) fn counter(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Counter {
        self.create(name, unit, Some(&[]), |meter, exemplars| {
            let counter = meter.u64_counter(name).with_unit(unit).with_description(description);
            Counter::new(counter.build(), exemplars)
        })
    }

    /// A histogram whose buckets end at `bounds`.
    pub(crate) fn histogram(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        bounds: &[f64],
    ) -> Histogram {
        self.create(name, unit, Some(bounds), |meter, exemplars| {
            let histogram = meter.f64_histogram(name).with_unit(unit).with_description(description);
            Histogram::new(histogram.with_boundaries(bounds.to_vec()).build(), exemplars)
        })
    }

    /// A gauge.
    pub(crate) fn gauge(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Gauge<f64> {
        self.create(name, unit, None, |meter, _| {
            meter.f64_gauge(name).with_unit(unit).with_description(description).build()
        })
    }

    /// An up-down counter.
    pub(crate) fn up_down_counter(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> UpDownCounter<i64> {
        self.create(name, unit, None, |meter, _| {
            meter.i64_up_down_counter(name).with_unit(unit).with_description(description).build()
        })
    }

    /// Everything in the registry, for a reader that sent this `Accept` header.
    pub(crate) fn render(&self, accept: Option<&str>) -> Exposition {
        exposition::render(self.registry.gather(), accept, |name| {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.get(&name.to_ascii_lowercase())?.exemplars.clone()
        })
    }

    /// The instrument of this name. `bounds` are those of the buckets that keep an exemplar each.
    fn create<T: Clone + Send + Sync + 'static>(
        &self,
        name: &'static str,
        unit: &str,
        bounds: Option<&[f64]>,
        build: impl Fn(&Meter, Option<Arc<Exemplars>>) -> T,
    ) -> T {
        if self.provider.is_none() {
            return build(&self.meter, None);
        }
        let made = match problem(name, unit, bounds.unwrap_or_default()) {
            Some(reason) => Err(reason),
            None => self.made_once(name, bounds, &build),
        };
        made.unwrap_or_else(|reason| {
            tracing::warn!(metric = name, reason, "the metric records nothing");
            build(&idle_meter(), None)
        })
    }

    fn made_once<T: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        bounds: Option<&[f64]>,
        build: impl Fn(&Meter, Option<Arc<Exemplars>>) -> T,
    ) -> Result<T, &'static str> {
        let exposed = name.replace(['.', '-', '/'], "_").to_ascii_lowercase();
        match self.made.lock().unwrap_or_else(PoisonError::into_inner).entry(exposed) {
            Entry::Occupied(made) => made
                .get()
                .instrument
                .downcast_ref::<T>()
                .cloned()
                .ok_or("its name belongs to an instrument of another kind"),
            Entry::Vacant(place) => {
                let exemplars = bounds.map(|bounds| Arc::new(Exemplars::new(bounds)));
                let instrument = build(&self.meter, exemplars.clone());
                place.insert(Made { instrument: Box::new(instrument.clone()), exemplars });
                Ok(instrument)
            }
        }
    }
}

/// A meter whose instruments do nothing.
fn idle_meter() -> Meter {
    NoopMeterProvider::new().meter(SCOPE)
}

/// Why the SDK would not take this instrument. It is asked here because the SDK says nothing: it hands out an instrument
/// that does nothing.
fn problem(name: &str, unit: &str, bounds: &[f64]) -> Option<&'static str> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_.-/".contains(character);
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        Some("its name does not begin with a letter of ASCII")
    } else if !name.chars().all(allowed) {
        Some("its name holds something else than letters and digits of ASCII, `_`, `.`, `-` and `/`")
    } else if name.len() > 255 {
        Some("its name is longer than 255 characters")
    } else if !unit.is_ascii() || unit.len() > 63 {
        Some("its unit is longer than 63 characters or not ASCII")
    } else if !bounds.iter().all(|bound| bound.is_finite()) {
        Some("its bounds are not all finite; the last bucket is without end anyway")
    } else if !bounds.is_sorted_by(|left, right| left < right) {
        Some("its bounds do not increase")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
