//! Many simulated BMCs in one process: `sim_farm COUNT ADDRESS:PORT ports|addresses`.
//!
//! The BMCs listen on consecutive ports, or on consecutive IPv4 addresses with the same port; account `admin`, password
//! `admin`. Their addresses go to standard output, one a line, and an empty line when all listen. An interrupt, or the end
//! of standard input, ends the program.
//!
//! Each line on standard input is an order, answered by a line with a number once it is carried out:
//! - an empty line: how many datagrams came so far;
//! - `consoles`: how many serial consoles are open;
//! - `faults DEAD SLOW MS`: of each hundred BMCs DEAD never answer, and SLOW answer MS milliseconds late; how many are dead;
//! - `print SECONDS`: each machine prints 1,024 characters a second, in lines that [`mrp_bmc::sim::printed_line`] makes, and
//!   waits until its console has acknowledged them, for ten seconds at most; how many characters nobody has acknowledged.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mrp_bmc::sim::{BmcSimulator, Faults, PRINTED_LINE, SimConfig, printed_line};

/// The machines print in so many groups one after the other, so that the load is even.
const GROUPS: u64 = 48;
const CHARACTERS_PER_SECOND: u64 = 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((count, first, by_address)) = parse(&arguments) else {
        eprintln!("usage: sim_farm COUNT ADDRESS:PORT ports|addresses");
        std::process::exit(2);
    };
    let mut farm = Vec::new();
    for number in 0..count {
        let Some(address) = nth(first, number, by_address) else {
            return Err(io::Error::other(format!("there is no BMC number {number} after {first}")));
        };
        farm.push(BmcSimulator::start(address, SimConfig::default()).await?);
    }
    let mut out = io::stdout();
    for bmc in &farm {
        writeln!(out, "{}", bmc.local_addr())?;
    }
    writeln!(out)?;
    out.flush()?;
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    // A thread of its own, since reading a terminal cannot be cancelled.
    std::thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| asked.send(line))
    });
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            line = asking.recv() => {
                let Some(line) = line else { return Ok(()) };
                writeln!(out, "{}", carry_out(&line, &farm).await?)?;
                out.flush()?;
            }
        }
    }
}

async fn carry_out(order: &str, farm: &[BmcSimulator]) -> io::Result<u64> {
    let unknown = || io::Error::other(format!("there is no order {order:?}"));
    let mut words = order.split_whitespace();
    let order = words.next();
    let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
    match (order, numbers.map_err(|_| unknown())?.as_slice()) {
        (None, []) => Ok(farm.iter().map(BmcSimulator::requests).sum()),
        (Some("consoles"), []) => Ok(farm.iter().filter(|bmc| bmc.console_is_open()).count() as u64),
        (Some("faults"), [dead, slow, ms]) => Ok(set_faults(farm, *dead, *slow, Duration::from_millis(*ms))),
        (Some("print"), [seconds]) => Ok(print(farm, *seconds).await),
        _ => Err(unknown()),
    }
}

fn set_faults(farm: &[BmcSimulator], dead: u64, slow: u64, delay: Duration) -> u64 {
    let mut count = 0;
    for (number, bmc) in (0..).zip(farm) {
        let of_hundred: u64 = number % 100;
        let silent = of_hundred < dead;
        let late = !silent && of_hundred < dead + slow;
        let delay = if late { delay } else { Duration::ZERO };
        bmc.set_faults(Faults { silent, delay, ..Faults::default() });
        count += u64::from(silent);
    }
    count
}

async fn print(farm: &[BmcSimulator], seconds: u64) -> u64 {
    let line = PRINTED_LINE as u64;
    let lines = seconds * CHARACTERS_PER_SECOND / line;
    let every = Duration::from_secs(1).mul_f64(line as f64 / (CHARACTERS_PER_SECOND * GROUPS) as f64);
    let mut ticks = tokio::time::interval(every);
    for number in 0..lines {
        for group in 0..GROUPS {
            ticks.tick().await;
            for (index, bmc) in (0..).zip(farm).filter(|(index, _)| index % GROUPS == group) {
                bmc.print(printed_line(index, number));
            }
        }
    }
    let acknowledged = async {
        while farm.iter().any(|bmc| bmc.unacknowledged() > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What is left is the answer.
    let _ = tokio::time::timeout(Duration::from_secs(10), acknowledged).await;
    farm.iter().map(|bmc| bmc.unacknowledged() as u64).sum()
}

fn parse(arguments: &[String]) -> Option<(u32, SocketAddr, bool)> {
    let [count, first, by] = arguments else { return None };
    let by_address = match by.as_str() {
        "addresses" => true,
        "ports" => false,
        _ => return None,
    };
    Some((count.parse().ok()?, first.parse().ok()?, by_address))
}

fn nth(first: SocketAddr, number: u32, by_address: bool) -> Option<SocketAddr> {
    match first.ip() {
        IpAddr::V4(ip) if by_address => {
            let ip = Ipv4Addr::from(u32::from(ip).checked_add(number)?);
            Some(SocketAddr::from((ip, first.port())))
        }
        IpAddr::V6(_) if by_address => None,
        ip => Some(SocketAddr::from((ip, first.port().checked_add(u16::try_from(number).ok()?)?))),
    }
}
