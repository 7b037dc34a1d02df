//! `mrp render-worker`: the process that the server starts for each template of people's.

use anyhow::{Context, Result};

/// Render one template, from standard input to standard output, within limits.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct RenderWorker {}

impl RenderWorker {
    pub(super) fn run(self) -> Result<()> {
        mrp_netboot::render::worker().context("render-worker")
    }
}
