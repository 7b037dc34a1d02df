//! What does a call into a plugin cost? The same driver's power status in-process, isolated, and by an executable, beside a
//! process for each call, which is what a script for `ipmitool` costs before it has said anything.
//!
//! The BMCs are in the plugin's memory, so that the carrier is all there is: `plugins/example-c`, and lines of Python.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use benches::program::{ended_cpu_seconds, own_cpu_seconds};
use futures_util::future::try_join_all;
use mrp_bmc::plugin::{Carrier, Limits, Plugin};
use mrp_core::bmc::{Bmc, BmcConfig, Node, Privilege};
use mrp_core::secret::Secret;

const CALLS: u32 = 20_000;
/// A process a call is slow enough to be known from fewer.
const PROCESSES: u32 = 200;
/// Calls under way at once, in the second column.
const AT_ONCE: u32 = 32;

const LINES: &str = "#!/usr/bin/env python3
import json, sys
print(json.dumps({'mrp_plugin': 1, 'driver': 'lines'}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if 'call' in message:
        reply = {'power': 'on'} if message['call'] == 'power' else {}
        print(json.dumps({'id': message['id'], 'reply': reply}), flush=True)
";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    // The process of the isolated library is this program.
    if let [_, host, memory_mb, path] = arguments.as_slice()
        && host == "host"
    {
        let memory_mb = memory_mb.parse().map_err(io::Error::other)?;
        match mrp_bmc::plugin::host(Path::new(path), memory_mb).map_err(io::Error::other)? {}
    }
    let folder = tempfile::tempdir()?;
    let library = compile(folder.path())?;
    let lines = folder.path().join("lines");
    std::fs::write(&lines, LINES)?;
    std::fs::set_permissions(&lines, std::fs::Permissions::from_mode(0o755))?;
    println!("{:<28} {:>12} {:>18} {:>16}", "a power status", "µs a call", "µs, 32 at once", "CPU µs a call");
    for (name, path, carrier) in [
        ("library, in-process", &library, Carrier::InProcess),
        ("library, isolated", &library, host()),
        ("executable (Python)", &lines, host()),
    ] {
        measure(name, path, carrier)?;
    }
    process_a_call()
}

fn host() -> Carrier {
    Carrier::Process(["/proc/self/exe", "host"].iter().map(OsString::from).collect())
}

fn compile(folder: &Path) -> io::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/example-c/example.c");
    let library = folder.join("example-c.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-std=c99", "-fPIC", "-shared", "-o"]).arg(&library).arg(source);
    if cc.status()?.success() { Ok(library) } else { Err(io::Error::other("cc failed")) }
}

#[tokio::main(flavor = "current_thread")]
async fn measure(name: &str, path: &Path, carrier: Carrier) -> io::Result<()> {
    let plugin = Plugin::start(path, carrier, Limits::default()).await.map_err(io::Error::other)?;
    let config = BmcConfig {
        address: "memory".into(),
        username: String::new(),
        password: Secret::default(),
        privilege: Privilege::Admin,
        options: serde_json::Map::new(),
    };
    let (bmc, node) = (plugin.open(config).await.map_err(io::Error::other)?, Node::default());
    let ask = async |calls| -> io::Result<()> {
        for _ in 0..calls {
            bmc.power(&node).await.map_err(io::Error::other)?;
        }
        Ok(())
    };
    ask(CALLS / 10).await?;
    let start = Instant::now();
    ask(CALLS).await?;
    let one = start.elapsed();
    let (start, cpu) = (Instant::now(), own_cpu_seconds()?);
    try_join_all((0..AT_ONCE).map(|_| ask(CALLS / AT_ONCE))).await?;
    let (many, cpu) = (start.elapsed(), own_cpu_seconds()? - cpu);
    let micros = |seconds: f64| seconds * 1e6 / f64::from(CALLS);
    println!(
        "{name:<28} {:>12.1} {:>18.1} {:>16.1}",
        micros(one.as_secs_f64()),
        micros(many.as_secs_f64()),
        micros(cpu)
    );
    Ok(())
}

fn process_a_call() -> io::Result<()> {
    let (start, cpu) = (Instant::now(), ended_cpu_seconds()?);
    for _ in 0..PROCESSES {
        Command::new("true").status()?;
    }
    let (one, cpu) = (start.elapsed().as_secs_f64(), ended_cpu_seconds()? - cpu);
    let micros = |seconds: f64| seconds * 1e6 / f64::from(PROCESSES);
    println!("{:<28} {:>12.1} {:>18} {:>16.1}", "a process (true)", micros(one), "", micros(cpu));
    Ok(())
}
