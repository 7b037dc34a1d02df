//! The Kea hook: the table that it answers from, kept current, and what it reports.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::api::kea::{MOST_REPORTS, Report, Reports, Seen, TableClient, TableHead, TableLine};
use crate::error::Error;
use crate::id::Timestamp;
use crate::lease::Discovered;
use crate::machine::{DhcpEntry, hostname_of};
use crate::service::{Provisioner, discovery};
use crate::store::DhcpMark;

/// Shortest and longest time between two looks at the table.
const PACE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(300));
/// The table is read whole so often, should a word of a change be lost.
const LOOK: Duration = Duration::from_secs(10);
/// A report that was kept back for longer tells of an address, but of no boot that goes on now.
const FRESH_MS: u64 = 5 * 60 * 1000;
/// Hooks whose reports are told apart at the same time.
const MOST_HOOKS: usize = 64;

/// The last report that was taken of each hook's life, and when.
pub(crate) type Taken = HashMap<String, (u64, Timestamp)>;

/// What the Kea hook gets and tells.
#[derive(Debug)]
pub struct Kea<'a>(&'a Provisioner);

impl Provisioner {
    /// What the Kea hook gets and tells.
    pub fn kea(&self) -> Kea<'_> {
        Kea(self)
    }
}

impl Kea<'_> {
    /// Follows the table: whole at first, then changes as they happen.
    pub fn follow(&self) -> TableFollower {
        TableFollower { service: self.0.clone(), changed: self.0.0.changed.subscribe(), told: None }
    }

    /// Takes a batch of reports. One that comes again changes nothing.
    pub async fn report(&self, batch: Reports) -> Result<(), Error> {
        let Reports { source, reports } = batch;
        let named = (1..=64).contains(&source.len()) && source.chars().all(|c| c.is_ascii_alphanumeric());
        if !named {
            return Err(Error::invalid("source", "1 to 64 letters and digits are needed"));
        }
        if reports.len() > MOST_REPORTS {
            return Err(Error::invalid("reports", format!("at most {MOST_REPORTS} come at once")));
        }
        // One batch at a time: that a batch comes again is seen also while its first copy is being taken.
        let mut taken = self.0.0.kea_reports.lock().await;
        for report in reports {
            let now = self.0.now();
            let (last, at) = taken.entry(source.clone()).or_insert((0, now));
            *at = now;
            if report.number > *last {
                let number = report.number;
                self.take(report, now).await?;
                *last = number;
            }
        }
        if taken.len() > MOST_HOOKS
            && let Some(oldest) = taken.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone())
        {
            taken.remove(&oldest);
        }
        Ok(())
    }

    async fn take(&self, report: Report, now: Timestamp) -> Result<(), Error> {
        let Report { mac, age_ms, what, .. } = report;
        let (discovery, fresh) = (self.0.discovery(), age_ms < FRESH_MS);
        match what {
            Seen::Asked { discover, hostname, client_arch, firmware } => {
                if fresh {
                    let seen = discovery::Seen { mac, hostname, client_arch, discover };
                    return discovery.seen_by(seen, firmware).await.map(drop);
                }
                if self.0.interfaces().owner_of(mac).await?.is_none() {
                    let last_seen = Timestamp(now.0.saturating_sub_unsigned(age_ms));
                    let (hostname, vendor_class) = (hostname.map(discovery::printable), None);
                    let client = Discovered { mac, hostname, client_arch, vendor_class, last_seen };
                    self.0.store().put_discovered(&client).await?;
                }
                Ok(())
            }
            Seen::Lease { ipv4, seconds, firmware } if fresh => {
                discovery.lease_of(mac, ipv4, Some(firmware), Some(seconds)).await
            }
            Seen::Lease { ipv4, .. } => discovery.lease_repeated(mac, ipv4).await,
            Seen::Released { ipv4 } | Seen::Expired { ipv4 } => discovery.lease_ended(mac, ipv4).await,
            Seen::Declined { ipv4 } => {
                discovery.lease_ended(mac, ipv4).await?;
                let Some((machine, _)) = self.0.interfaces().owner_of(mac).await? else { return Ok(()) };
                let text = format!("{mac} refuses {ipv4}: somebody else on its network uses it");
                let data = json!({"mac": mac, "ipv4": ipv4, "declined": true});
                self.0.record_event(discovery.machine_event(&machine, text, data)).await
            }
        }
    }
}

/// Follows the table for one hook.
#[derive(Debug)]
pub struct TableFollower {
    service: Provisioner,
    changed: watch::Receiver<u64>,
    told: Option<Told>,
}

/// What a hook knows.
#[derive(Debug)]
struct Told {
    mark: DhcpMark,
    /// Sorted by MAC address.
    clients: Vec<TableClient>,
    /// How long the next look waits at least.
    pace: Duration,
}

impl TableFollower {
    /// The next lines, at least one; waits for them. A change is told as soon as it is known here, a burst of them
    /// within fractions of a second.
    pub async fn next(&mut self) -> Result<Vec<TableLine>, Error> {
        loop {
            let pace = match &self.told {
                None => return self.whole().await,
                Some(told) => told.pace,
            };
            sleep(pace).await;
            let unheard = match timeout(LOOK, self.changed.changed()).await {
                Ok(Ok(())) => false,
                Ok(Err(_)) => return Err(Error::Conflict("the server is shutting down".into())),
                Err(_) => true,
            };
            let started = Instant::now();
            // The mark first: what changes between the two is seen at the next look.
            let mark = self.service.store().dhcp_mark().await?;
            let mut lines = Vec::new();
            if unheard || self.told.as_ref().is_none_or(|told| told.mark != mark) {
                let clients = self.read().await?;
                if let Some(told) = &mut self.told {
                    lines = difference(&told.clients, &clients);
                    (told.mark, told.clients) = (mark, clients);
                }
            }
            if let Some(told) = &mut self.told {
                told.pace = (started.elapsed() * 4).clamp(PACE.0, PACE.1);
            }
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    async fn whole(&mut self) -> Result<Vec<TableLine>, Error> {
        self.changed.mark_unchanged();
        let mark = self.service.store().dhcp_mark().await?;
        let clients = self.read().await?;
        let settings = self.service.settings();
        let next_server = match settings.next_server {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        };
        let head = TableHead { next_server, http_port: settings.machine_http_port };
        let count = clients.len() as u64;
        let lines = std::iter::once(TableLine::Begin(head));
        let lines = lines.chain(clients.iter().cloned().map(TableLine::Client));
        let lines = lines.chain([TableLine::Complete(count)]).collect();
        self.told = Some(Told { mark, clients, pace: PACE.0 });
        Ok(lines)
    }

    async fn read(&self) -> Result<Vec<TableClient>, Error> {
        Ok(self.service.store().dhcp_table().await?.into_iter().map(client).collect())
    }
}

fn client(entry: DhcpEntry) -> TableClient {
    TableClient {
        mac: entry.mac,
        ipv4: entry.addressing.address(),
        hostname: hostname_of(&entry.machine_name),
        netboot: entry.netboot,
        boot_loader: entry.boot_loader,
        server_url: entry.server_url,
    }
}

/// What makes the one table of the other; both are sorted by MAC address.
fn difference(old: &[TableClient], new: &[TableClient]) -> Vec<TableLine> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut lines = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return lines,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.mac.cmp(&new.mac),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        match (before, after) {
            (Some(before), None) => lines.push(TableLine::Gone(before.mac)),
            (before, Some(after)) if before != Some(after) => lines.push(TableLine::Client(after.clone())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::MacAddr;

    fn entry(last: u8, netboot: bool) -> TableClient {
        TableClient {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            ipv4: None,
            hostname: format!("node-{last}"),
            netboot,
            boot_loader: None,
            server_url: None,
        }
    }

    #[test]
    fn a_difference_is_what_changed() {
        let old = [entry(1, false), entry(2, false), entry(4, false)];
        let new = [entry(0, false), entry(2, true), entry(4, false), entry(5, true)];
        let expected = vec![
            TableLine::Client(entry(0, false)),
            TableLine::Gone(entry(1, false).mac),
            TableLine::Client(entry(2, true)),
            TableLine::Client(entry(5, true)),
        ];
        assert_eq!(difference(&old, &new), expected);
        assert_eq!(difference(&new, &new), []);
        assert_eq!(difference(&[], &old[..1]), [TableLine::Client(entry(1, false))]);
    }
}
