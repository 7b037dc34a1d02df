//! `[server]`: data, logs, and this server's place among several on one database.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Data and logs, and the place among several servers on one database.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerSection {
    /// Database, images, key.
    pub data_dir: PathBuf,
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,mrp_bmc=debug`.
    pub log: String,
    /// What this server does.
    pub roles: Vec<Role>,
    /// This server's name among several; by default one that is made at the first start.
    pub id: Option<String>,
    /// Where the other servers reach this one's `peer_listen`.
    pub url: Option<String>,
    /// Address and port of the door for other servers; opened where `url` is set.
    pub peer_listen: SocketAddr,
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// People's HTTP.
    Api,
    /// TFTP and machines' HTTP.
    Netboot,
    /// Drives BMCs.
    Bmc,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            data_dir: super::default_data_dir(),
            log: "info".into(),
            roles: vec![Role::Api, Role::Netboot, Role::Bmc],
            id: None,
            url: None,
            peer_listen: SocketAddr::from(([0, 0, 0, 0], 8082)),
        }
    }
}

impl ServerSection {
    /// True if this server does that.
    pub fn does(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    pub(super) fn check(&self, on_postgres: bool) -> Result<(), String> {
        if self.roles.is_empty() {
            return Err(
                "server.roles: a server without a role does nothing; name \"api\", \"netboot\" or \"bmc\""
                    .into(),
            );
        }
        let alone = self.roles.len() == 3 && self.url.is_none() && self.id.is_none();
        if !on_postgres && !alone {
            return Err("server.roles, server.id and server.url are for several servers on one PostgreSQL database; set \
                        database.url"
                .into());
        }
        if let Some(url) = &self.url
            && !url.starts_with("http://")
        {
            return Err(
                "server.url: write \"http://this-server:8082\"; requests are proved by the key".into()
            );
        }
        match &self.id {
            Some(id) if id.is_empty() || id.len() > 100 || !id.chars().all(|c| c.is_ascii_graphic()) => {
                Err("server.id: write 1 to 100 letters, digits, - or .".into())
            }
            _ => Ok(()),
        }
    }
}
