//! The command line, one file a noun. A command is: arguments, one or a few requests, output.

#![allow(rustdoc::bare_urls, reason = "the doc comments of arguments are help texts")]

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mrp_core::bmc::Drivers;

use crate::client::Client;
use crate::exit::{self, Exit};
use crate::output::Format;

pub mod access;
pub mod arch;
pub mod assignment;
pub mod audit;
pub mod backup;
pub mod bmc;
pub mod bootloader;
pub mod completions;
pub mod console;
pub mod dhcp;
pub mod discovered;
pub mod dnsmasq;
pub mod doctor;
pub mod event;
mod field;
pub mod image;
pub mod import;
pub mod interface;
pub mod kea;
pub mod key;
pub mod machine;
pub mod network;
pub mod password;
pub mod plugin;
pub mod power;
pub mod preseed;
pub mod render_worker;
pub mod reservation;
pub mod run;
pub mod serve;
pub mod subarch;
pub mod time;
pub mod token;
pub mod user;

/// How much later than others somebody may be told of a signal.
const MOMENT: Duration = Duration::from_millis(100);

const AFTER_HELP: &str = "\
Server and token come from `mrp login`, or from MRP_URL and MRP_TOKEN (and MRP_CA, a PEM file).
Names are accepted wherever ids are. Exit codes: 0 done, 1 refused or the run failed, 2 wrong usage, 3 server unreachable.
With -o json an error is one JSON object on standard error.";

/// Provisions and manages the bare-metal servers of a lab: server and client.
#[derive(Debug, Parser)]
#[command(name = "mrp", version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Arguments {
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// The server [default: MRP_URL, else that of the last login]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

impl Arguments {
    /// The arguments of this program. What is wrong with them, and the help, is printed.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            if !error.use_stderr() || !asks_for_json(std::env::args_os()) {
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            let words = error.render().to_string();
            let words = words.split("\n\n").next().unwrap_or_default();
            exit::usage(words.trim_start_matches("error: ").trim(), Format::Json)
        })
    }

    pub(crate) fn output(&self) -> Format {
        self.output
    }
}

/// Whether arguments that were not understood ask for JSON.
fn asks_for_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let mut before = String::new();
    for argument in arguments {
        let argument = argument.to_string_lossy().into_owned();
        let asks = matches!(argument.as_str(), "-ojson" | "-o=json" | "--output=json");
        if asks || (argument == "json" && matches!(before.as_str(), "-o" | "--output")) {
            return true;
        }
        before = argument;
    }
    false
}

#[derive(Debug, Subcommand)]
enum Command {
    Login(access::Login),
    Logout(access::Logout),
    Whoami(access::Whoami),
    Reserve(reservation::Reserve),
    Release(reservation::Release),
    Provision(run::Provision),
    Power(power::PowerCommand),
    State(machine::StateCommand),
    Console(console::Console),
    #[command(subcommand)]
    Run(run::RunCommand),
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    #[command(subcommand)]
    Interface(interface::InterfaceCommand),
    #[command(subcommand)]
    Image(image::ImageCommand),
    #[command(subcommand)]
    Bootloader(bootloader::BootloaderCommand),
    #[command(subcommand)]
    Preseed(preseed::PreseedCommand),
    #[command(subcommand)]
    Assignment(assignment::AssignmentCommand),
    #[command(alias = "event")]
    Events(event::Events),
    Audit(audit::Audit),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Arch(arch::ArchCommand),
    #[command(subcommand)]
    Subarch(subarch::SubarchCommand),
    #[command(subcommand)]
    Bmc(bmc::BmcCommand),
    #[command(subcommand)]
    Network(network::NetworkCommand),
    #[command(subcommand)]
    Discovered(discovered::DiscoveredCommand),
    #[command(subcommand)]
    Dhcp(dhcp::DhcpCommand),
    Completions(completions::Completions),
    #[command(subcommand)]
    Import(import::ImportCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    Serve(serve::Serve),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Doctor(doctor::Doctor),
    Demo(crate::demo::Demo),
    #[command(subcommand)]
    Kea(kea::KeaCommand),
    #[command(subcommand)]
    Dnsmasq(dnsmasq::DnsmasqCommand),
    DnsmasqEvent(dnsmasq::DnsmasqEvent),
    RenderWorker(render_worker::RenderWorker),
}

/// A server, and how results are printed.
#[derive(Debug)]
pub struct Session {
    /// The server.
    pub client: Client,
    /// How results are printed.
    pub output: Format,
}

/// Does what the command line says.
pub async fn run(arguments: Arguments, drivers: Drivers) -> Result<()> {
    let Arguments { output, command, url } = arguments;
    match command {
        Command::Serve(command) => return command.run(drivers).await,
        Command::Demo(command) => return command.run(drivers).await,
        Command::Doctor(command) => return command.run(drivers, output).await,
        Command::Import(command) => return command.run(drivers, output).await,
        Command::Backup(command) => return command.run(output).await,
        Command::Restore(command) => return command.run(output).await,
        Command::Kea(command) => return command.run(),
        Command::Dnsmasq(command) => return command.run(),
        Command::Key(command) => return command.run().await,
        Command::Plugin(command) => return command.run(drivers, output).await,
        Command::DnsmasqEvent(command) => return command.run().await,
        Command::RenderWorker(command) => return command.run(),
        Command::Completions(command) => return command.run(output),
        Command::User(user::UserCommand::ResetPassword(command)) => return command.run(drivers).await,
        _ => {}
    }
    let mut client = pin!(run_client(command, output, url));
    tokio::select! {
        outcome = &mut client => return outcome,
        _ = tokio::signal::ctrl_c() => {}
    }
    // A command that has something to say at Ctrl-C, or to put in order, sees it too: at the latest in a moment, since those
    // who wait for a signal are told one after another.
    tokio::select! {
        biased;
        outcome = client => outcome,
        () = tokio::time::sleep(MOMENT) => Err(Exit::INTERRUPTED.into()),
    }
}

async fn run_client(command: Command, output: Format, url: Option<String>) -> Result<()> {
    if let Command::Login(command) = command {
        return command.run(output).await;
    }
    let session = Session { client: Client::choose(url.as_deref())?, output };
    match command {
        Command::Logout(command) => command.run(&session).await,
        Command::Whoami(command) => command.run(&session).await,
        Command::Reserve(command) => command.run(&session).await,
        Command::Release(command) => command.run(&session).await,
        Command::Provision(command) => command.run(&session).await,
        Command::Power(command) => command.run(&session).await,
        Command::State(command) => command.run(&session).await,
        Command::Console(command) => command.run(&session).await,
        Command::Run(command) => command.run(&session).await,
        Command::Machine(command) => command.run(&session).await,
        Command::Interface(command) => command.run(&session).await,
        Command::Image(command) => command.run(&session).await,
        Command::Bootloader(command) => command.run(&session).await,
        Command::Preseed(command) => command.run(&session).await,
        Command::Assignment(command) => command.run(&session).await,
        Command::Events(command) => command.run(&session).await,
        Command::Audit(command) => command.run(&session).await,
        Command::User(command) => command.run(&session).await,
        Command::Token(command) => command.run(&session).await,
        Command::Arch(command) => command.run(&session).await,
        Command::Subarch(command) => command.run(&session).await,
        Command::Bmc(command) => command.run(&session).await,
        Command::Network(command) => command.run(&session).await,
        Command::Discovered(command) => command.run(&session).await,
        Command::Dhcp(command) => command.run(&session).await,
        Command::Completions(_)
        | Command::Key(_)
        | Command::Plugin(_)
        | Command::Import(_)
        | Command::Serve(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Demo(_)
        | Command::Doctor(_)
        | Command::Kea(_)
        | Command::Dnsmasq(_)
        | Command::DnsmasqEvent(_)
        | Command::RenderWorker(_)
        | Command::Login(_) => unreachable!("these have run above, without a session"),
    }
}
