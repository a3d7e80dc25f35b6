//! The figures: a line of the table each, or JSON at the end.

use std::time::Duration;

use rstuf::load::times::{COLUMNS, Times};
use serde_json::{Value, json};

/// What the figures are compared with.
pub(crate) enum Aim {
    /// The median is at most so many times that of the floor.
    Ratio(f64),
    /// The median is at most this.
    Median(Duration),
}

impl Aim {
    fn verdict(&self, service: f64, ratio: Option<f64>) -> String {
        let (met, text) = match self {
            Self::Ratio(most) => (ratio.is_some_and(|ratio| ratio <= *most), format!("≤ {most} × floor")),
            Self::Median(most) => (service <= most.as_secs_f64() * 1000.0, format!("≤ {} ms", most.as_millis())),
        };
        verdict(met, &text)
    }
}

fn verdict(met: bool, aim: &str) -> String {
    format!("{aim}: {}", if met { "met" } else { "missed" })
}

/// The figures of a run.
pub(crate) struct Report {
    json: bool,
    values: Vec<Value>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        if !json {
            println!("in milliseconds{COLUMNS}");
        }
        Self { json, values: Vec::new() }
    }

    /// Times of the service, of its floor, and the ratio of their medians.
    pub(crate) fn times(&mut self, what: String, service: &Times, floor: Option<&Times>, aim: Option<Aim>) {
        let median = |times: &Times| times.median().as_secs_f64() * 1000.0;
        let ratio = floor.map(|floor| median(service) / median(floor));
        let verdict = aim.map(|aim| aim.verdict(median(service), ratio));
        let mut text = format!("{what}\n    service    {service}");
        if let (Some(floor), Some(ratio)) = (floor, ratio) {
            text += &format!("\n    floor      {floor}    service/floor {ratio:.2}");
        }
        let value = json!({
            "what": what, "service": service.to_value(), "floor": floor.map(Times::to_value),
            "ratio": ratio, "aim": verdict,
        });
        self.push(text, verdict, value);
    }

    /// How much longer something takes than before.
    pub(crate) fn change(&mut self, what: &str, before: Duration, after: Duration, most: f64) {
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        let verdict = verdict(ratio <= most, &format!("≤ {most}"));
        let value = json!({ "what": what, "ratio": ratio, "aim": verdict });
        self.push(format!("{what}: {ratio:.2}"), Some(verdict), value);
    }

    /// Bytes of memory.
    pub(crate) fn memory(&mut self, what: String, bytes: u64, most: u64) {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let verdict = verdict(bytes < most, &format!("< {} MiB", mib(most)));
        let value = json!({ "what": what, "bytes": bytes, "aim": verdict });
        self.push(format!("{what}: {:.1} MiB", mib(bytes)), Some(verdict), value);
    }

    fn push(&mut self, mut text: String, verdict: Option<String>, value: Value) {
        if let Some(verdict) = verdict {
            text += &format!("    aim {verdict}");
        }
        match self.json {
            true => self.values.push(value),
            false => println!("{text}"),
        }
    }

    /// Prints what is printed at the end.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(&self.values)?);
        }
        Ok(())
    }
}
