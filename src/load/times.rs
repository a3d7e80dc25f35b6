//! Times in a histogram, so that the rare slow ones are not averaged away.

use std::{fmt, time::Duration};

use hdrhistogram::{CreationError, Histogram};
use serde_json::{Value, json};

/// An hour, in microseconds.
const HIGHEST: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// What the columns of [`Times`] are.
pub const COLUMNS: &str = "      p50      p90      p99    p99.9      max";

/// Times with three digits, from a microsecond to an hour.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    /// No times.
    ///
    /// # Errors
    /// Never: the bounds are good.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, HIGHEST, DIGITS)?))
    }

    /// Adds a time; what is longer than an hour counts as an hour.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all times of another.
    pub fn add(&mut self, other: &Self) {
        for value in other.0.iter_recorded() {
            self.0.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that half of them stay below.
    pub fn median(&self) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(0.5))
    }

    /// The columns, in milliseconds.
    fn milliseconds(&self) -> [f64; 5] {
        [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// The columns with their names, in milliseconds.
    pub fn to_value(&self) -> Value {
        let [p50, p90, p99, p999, max] = self.milliseconds();
        json!({
            "samples": self.0.len(),
            "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "p99_9_ms": p999, "max_ms": max,
        })
    }
}

impl fmt::Display for Times {
    /// The columns, in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.milliseconds().iter().try_for_each(|ms| write!(f, "{ms:>9.1}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_times() {
        let (mut some, mut others) = (Times::new().expect("bounds"), Times::new().expect("bounds"));
        (1..=900).for_each(|ms| some.record(Duration::from_millis(ms)));
        (901..=1000).for_each(|ms| others.record(Duration::from_millis(ms)));
        others.record(Duration::from_secs(100_000));
        some.add(&others);
        assert_eq!(some.count(), 1001);
        let value = some.to_value();
        let near = |name: &str, ms: f64| (value[name].as_f64().expect("a number") / ms - 1.0).abs() < 0.002;
        assert!(near("p50_ms", 501.0) && near("p90_ms", 901.0) && near("p99_ms", 991.0), "{value}");
        assert!(near("max_ms", 3_600_000.0), "{value}");
    }
}
