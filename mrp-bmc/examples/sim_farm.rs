//! Many simulated BMCs in one process: `sim_farm COUNT ADDRESS:PORT ports|addresses`.
//!
//! The BMCs listen on consecutive ports, or on consecutive IPv4 addresses with the same port; account `admin`, password
//! `admin`. Their addresses go to standard output, one a line, and an empty line when all listen. For each line on standard
//! input the number of datagrams that came so far is printed. An interrupt, or the end of standard input, ends the program.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mrp_bmc::sim::{BmcSimulator, SimConfig};

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
        io::stdin().lock().lines().map_while(Result::ok).try_for_each(|_| asked.send(()))
    });
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            line = asking.recv() => {
                let Some(()) = line else { return Ok(()) };
                writeln!(out, "{}", farm.iter().map(BmcSimulator::requests).sum::<u64>())?;
                out.flush()?;
            }
        }
    }
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
