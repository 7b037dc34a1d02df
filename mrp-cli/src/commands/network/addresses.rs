//! `mrp network free` and `mrp network addresses`.

use anyhow::Result;
use clap::ValueEnum;
use mrp_core::api;

use crate::commands::Session;
use crate::output::or_none;
use crate::resolve::find;

/// Show how many addresses of a network are free, and the first of them
///
/// Examples:
///   mrp network free lab
///   mrp network free lab --pool reserved --limit 10
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Free {
    /// Name or id
    network: String,
    /// Which range
    #[arg(long, value_enum, default_value_t)]
    pool: Pool,
    /// How many are listed
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Put into machines by their answer files
    #[default]
    Static,
    /// Given by DHCP, always the same
    Reserved,
}

impl Free {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let network: api::Network = find(&session.client, &self.network).await?;
        let pool = if self.pool == Pool::Static { "static" } else { "reserved" };
        let parameters = [("pool", pool.to_owned()), ("limit", self.limit.to_string())];
        let free: api::FreeAddresses =
            session.client.query(&format!("/network/{}/free", network.id), &parameters).await?;
        let facts = [
            ("pool", format!("{} {}", free.pool, free.range)),
            ("free", format!("{} of {}", free.free, free.size)),
            ("first", free.addresses.join(" ")),
        ];
        session.output.object(&free, &facts)
    }
}

/// List the addresses of a network that interfaces have
///
/// Example:
///   mrp network addresses lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Addresses {
    /// Name or id
    network: String,
}

impl Addresses {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let network: api::Network = find(&session.client, &self.network).await?;
        let path = format!("/network/{}/addresses", network.id);
        let taken: Vec<api::NetworkAddress> = session.client.list(&path, &[]).await?;
        session.output.list(
            &taken,
            &[
                ("ADDRESS", &|taken| taken.ipv4.clone()),
                ("ADDRESSING", &|taken| taken.config_type_v4.clone()),
                ("MACHINE", &|taken| taken.machine.clone()),
                ("INTERFACE", &|taken| or_none(taken.identifier.as_ref())),
                ("MAC", &|taken| taken.mac.clone()),
            ],
        )
    }
}
