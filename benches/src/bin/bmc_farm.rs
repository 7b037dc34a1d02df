//! Simulated BMCs in a process of their own: `bmc_farm COUNT USER PASSWORD-FILE`.
//!
//! They listen on 127.10.0.1:623 and following, 250 in each third byte. When all do, a line `ready` is printed; for each
//! line on standard input the number of datagrams that came so far is printed; its end ends the program.

use std::io::{self, BufRead, Write};

use mrp_bmc::sim::{BmcSimulator, SimConfig};
use mrp_core::secret::Secret;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, username, password] = &arguments[..] else {
        return Err(io::Error::other("usage: bmc_farm COUNT USER PASSWORD-FILE"));
    };
    let count: u32 = count.parse().map_err(io::Error::other)?;
    let password = Secret::new(std::fs::read_to_string(password)?.trim());
    benches::program::allow_many_files()?;
    let mut farm = Vec::new();
    for index in 0..count {
        let config =
            SimConfig { username: username.clone(), password: password.clone(), ..SimConfig::default() };
        farm.push(BmcSimulator::start(benches::bmc_address(index), config).await?);
    }
    println!("ready");
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).try_for_each(|_| asked.send(()))
    });
    while asking.recv().await.is_some() {
        println!("{}", farm.iter().map(BmcSimulator::requests).sum::<u64>());
        io::stdout().flush()?;
    }
    Ok(())
}
