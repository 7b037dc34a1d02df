//! Prometheus text: requests by operation and status with their durations, and the lab in figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mrp_core::health::{BmcHealth, BmcState};
use mrp_core::machine::MachineState;
use mrp_core::store::{EventFilter, RunFilter};
use mrp_core::{Actor, Error, Provisioner};

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0];

/// Durations of one operation's answers with one status.
#[derive(Debug, Clone, Copy, Default)]
struct Timing {
    count: u64,
    seconds: f64,
    buckets: [u64; BOUNDS.len()],
}

/// What one door has answered.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<(&'static str, u16), Timing>>);

impl Metrics {
    /// Counts an answer.
    pub(crate) fn note(&self, operation: &'static str, status: u16, took: Duration) {
        let mut timings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let timing = timings.entry((operation, status)).or_default();
        let seconds = took.as_secs_f64();
        timing.count += 1;
        timing.seconds += seconds;
        for (bound, bucket) in BOUNDS.iter().zip(&mut timing.buckets) {
            *bucket += u64::from(seconds <= *bound);
        }
    }

    fn write(&self, out: &mut String) {
        let timings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = "mrp_http_request_duration_seconds";
        head(out, name, "histogram", "Time from a request's head to its answer's head.");
        for ((operation, status), timing) in timings {
            let labels = format!("operation=\"{operation}\",status=\"{status}\"");
            for (bound, count) in BOUNDS.iter().zip(timing.buckets) {
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let Timing { count, seconds, .. } = timing;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}");
            let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
        }
    }
}

/// The whole text of a scrape, without what others add.
pub(crate) async fn text(metrics: &Metrics, service: &Provisioner) -> Result<String, Error> {
    let actor = Actor::system();
    let counts = service.machines().count(&actor).await?;
    let active = service.runs().list(&actor, RunFilter { active: true, ..RunFilter::default() }).await?;
    let last = service.events().list(&actor, EventFilter { last: 1, ..EventFilter::default() }).await?;
    let mut out = String::new();
    head(&mut out, "mrp_machines", "gauge", "Machines by state.");
    for state in [MachineState::Unknown, MachineState::Ready, MachineState::Provisioning, MachineState::Error]
    {
        let count: u64 = counts.iter().filter(|count| count.state == state).map(|count| count.count).sum();
        let _ = writeln!(out, "mrp_machines{{state=\"{state}\"}} {count}");
    }
    head(&mut out, "mrp_machines_netboot", "gauge", "Machines that netboot when they start.");
    let armed: u64 = counts.iter().filter(|count| count.netboot).map(|count| count.count).sum();
    let _ = writeln!(out, "mrp_machines_netboot {armed}");
    head(&mut out, "mrp_runs_active", "gauge", "Provision runs under way.");
    let _ = writeln!(out, "mrp_runs_active {}", active.len());
    head(&mut out, "mrp_events_total", "counter", "Events written since the store was made.");
    let _ = writeln!(out, "mrp_events_total {}", last.first().map_or(0, |event| event.id.get()));
    let held = service.holdings(&actor).await?;
    head(&mut out, "mrp_rows", "gauge", "Rows in the database.");
    for (what, rows) in &held.rows {
        let _ = writeln!(out, "mrp_rows{{of=\"{what}\"}} {rows}");
    }
    head(&mut out, "mrp_database_bytes", "gauge", "Size of the database.");
    let _ = writeln!(out, "mrp_database_bytes {}", held.database_bytes);
    head(&mut out, "mrp_image_bytes", "gauge", "Size of all images, each content once.");
    let _ = writeln!(out, "mrp_image_bytes {}", held.image_bytes);
    bmcs(&mut out, service, &actor).await?;
    metrics.write(&mut out);
    Ok(out)
}

/// How BMCs have been of late, each by its name.
async fn bmcs(out: &mut String, service: &Provisioner, actor: &Actor) -> Result<(), Error> {
    let (entries, health) = (service.bmcs().list(actor).await?, service.bmcs().health(actor).await?);
    let known: Vec<(&str, &BmcHealth)> =
        entries.iter().filter_map(|entry| Some((entry.name.as_str(), health.get(&entry.id)?))).collect();
    head(out, "mrp_bmcs", "gauge", "BMCs by state.");
    for state in BmcState::ALL {
        let unknown = if state == BmcState::Unknown { entries.len() - known.len() } else { 0 };
        let count = known.iter().filter(|(_, health)| health.state == state).count() + unknown;
        let _ = writeln!(out, "mrp_bmcs{{state=\"{state}\"}} {count}");
    }
    let mut each = |name: &str, help: &str, value: fn(&BmcHealth) -> Option<f64>| {
        head(out, name, "gauge", help);
        for (bmc, health) in &known {
            if let Some(value) = value(health) {
                let _ = writeln!(out, "{name}{{bmc=\"{}\"}} {value}", escaped(bmc));
            }
        }
    };
    each("mrp_bmc_success_ratio", "Share of a BMC's last 64 commands that succeeded.", |health| {
        (health.commands > 0).then(|| f64::from(health.succeeded) / f64::from(health.commands))
    });
    each("mrp_bmc_median_seconds", "Median time of a BMC's last commands.", |health| {
        health.p50_ms.map(|time| f64::from(time) / 1000.0)
    });
    each("mrp_bmc_p95_seconds", "Time that 95 of 100 of a BMC's last commands stayed below.", |health| {
        health.p95_ms.map(|time| f64::from(time) / 1000.0)
    });
    each("mrp_bmc_last_contact_seconds", "When a BMC last answered, in seconds since 1970.", |health| {
        health.last_contact.map(|at| at.0 as f64 / 1000.0)
    });
    Ok(())
}

/// A label's value (Prometheus text format 0.0.4).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
