//! Simulated BMCs in a process of their own, `sim_farm` of `mrp-bmc`: on IPMI's port, since a peer cannot be given another,
//! each on an address of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::program::{cpu_seconds_of, example};

/// The simulators' account.
pub const USER: &str = "admin";
/// See [`USER`].
pub const PASSWORD: &str = "admin";
/// Where the first BMC listens; the rest on the addresses behind it.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 1);

/// The simulators' process; ended when dropped.
#[derive(Debug)]
pub struct Farm {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Farm {
    /// Starts so many BMCs and waits until all listen.
    pub fn start(bmcs: u32) -> io::Result<Self> {
        let mut command = Command::new(example("sim_farm")?);
        command.args([&bmcs.to_string(), &format!("{FIRST}:623"), "addresses"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || io::Error::other("the farm has no pipe");
        let ask = child.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut farm = Self { child, ask, answers };
        for _ in 0..bmcs {
            if farm.line()?.is_empty() {
                return Err(io::Error::other(
                    "the farm did not start: is port 623 of 127.10.0.1 and following free?",
                ));
            }
        }
        farm.line()?;
        Ok(farm)
    }

    /// Where a BMC listens, on port 623; the first is number 0.
    pub fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(FIRST) + number)
    }

    /// Has an order carried out, as `sim_farm` knows them, and tells the number that answers it.
    pub fn order(&mut self, order: &str) -> io::Result<u64> {
        writeln!(self.ask, "{order}")?;
        self.line()?.parse().map_err(io::Error::other)
    }

    /// Datagrams that came so far, and CPU seconds.
    pub fn figures(&mut self) -> io::Result<(u64, f64)> {
        Ok((self.order("")?, cpu_seconds_of(self.child.id())?))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
