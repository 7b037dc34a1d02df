//! `mrp image replace`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::commands::Session;
use crate::commands::field::field;
use crate::output::{Format, clean, note};
use crate::resolve::any_image;

/// Let everything that uses an image use another one, where you may change it
///
/// Example:
///   mrp image replace alice/vmlinuz.1a2b3c4d --by alice/vmlinuz.5e6f7a8b
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Replace {
    /// Name, id, or the name of the file that was uploaded
    image: String,
    /// The other image
    #[arg(long, value_name = "IMAGE")]
    by: String,
}

impl Replace {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let old = any_image(&session.client, &self.image).await?;
        let new = any_image(&session.client, &self.by).await?;
        let done: Value =
            session.client.post(&format!("/image/{}/replace", old.id), &json!({"by": new.id})).await?;
        let all = |object: &Value, name: &str| object[name].as_array().cloned().unwrap_or_default();
        let mut users: Vec<String> =
            all(&done["changed"], "machines").iter().map(|user| field(user, "name")).collect();
        users.extend(all(&done["changed"], "subarchs").iter().map(|user| field(user, "name")));
        if session.output == Format::Table {
            for kept in all(&done, "kept") {
                let (name, reason) = (field(&kept, "name"), field(&kept, "reason"));
                note(format!("{} keeps {}: {}", clean(&name, ' '), old.name, clean(&reason, ' ')));
            }
        }
        let users = if users.is_empty() { "nothing".to_owned() } else { users.join(", ") };
        session.output.done(&done, format!("{users} was changed to {}", new.name))
    }
}
