//! `mrp image uploads`.

use anyhow::Result;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::field::field;

/// List uploads that were cut; mrp image upload of the same file goes on with them
///
/// Example:
///   mrp image uploads
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Uploads {}

impl Uploads {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let mut uploads: Vec<Value> = session.client.list("/upload", &[]).await?;
        // Those that became an image are kept for a while, for a client that did not hear of it.
        uploads.retain(|upload| upload["image_id"].is_null());
        session.output.list(
            &uploads,
            &[
                ("FILE", &|upload| field(upload, "file_name")),
                ("TYPE", &|upload| field(upload, "type")),
                ("ARCH", &|upload| field(upload, "arch")),
                ("BYTES", &|upload| format!("{} of {}", field(upload, "offset"), field(upload, "length"))),
                ("EXPIRES", &|upload| field(upload, "expires")),
            ],
        )
    }
}
