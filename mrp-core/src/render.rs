//! What turns templates into text. The service decides what is in them; a renderer knows no policy.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::answer_file::AnswerFileKind;
use crate::boot::{BootPlan, Dialect};
use crate::lint::Finding;

/// Why a template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", line.map(|line| format!(" - line: {line}")).unwrap_or_default())]
pub struct RenderError {
    /// What is wrong, in words that name the construct.
    pub message: String,
    /// The template's line, from 1.
    pub line: Option<usize>,
}

/// An answer file as the machine gets it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Undefined variables, which rendered empty: what and in which line.
    pub warnings: Vec<RenderError>,
}

/// The image as a template sees it (`kernel.name`, `kernel.filename`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateImage {
    /// `<owner>/<file>.<8 hex>`.
    pub name: String,
    /// The same; mr-provisioner's word for it.
    pub filename: String,
    /// For people.
    pub description: Option<String>,
}

/// A statically addressed interface as a template sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateInterface {
    /// Its identifier (`eth0`).
    pub name: Option<String>,
    /// Address.
    pub static_ipv4: String,
    /// Prefix length.
    pub prefix: u8,
    /// Netmask.
    pub netmask: String,
    /// MAC address.
    pub mac: String,
}

/// The variables of an answer file; the names are mr-provisioner's, but for the last three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerContext {
    /// The holder's SSH keys, one a line.
    pub ssh_key: String,
    /// The same as a list.
    pub ssh_keys: Vec<String>,
    /// The machine's host name.
    pub hostname: String,
    /// The machine's statically addressed interfaces.
    pub interfaces: Vec<TemplateInterface>,
    /// Kernel.
    pub kernel: Option<TemplateImage>,
    /// Initrd.
    pub initrd: Option<TemplateImage>,
    /// The machine's own kernel options.
    pub kernel_options: String,
    /// Where the machine reports that it is installed.
    pub phone_home_url: String,
    /// The machine's name.
    pub machine_name: String,
    /// Where the machine reaches mrp.
    pub server_url: String,
}

/// Renders boot configurations and answer files.
#[async_trait]
pub trait Renderer: fmt::Debug + Send + Sync {
    /// The configuration that a boot loader reads. Every value is quoted for the loader's own language.
    fn boot_config(&self, dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError>;

    /// An answer file for a machine, within limits on time and size.
    async fn answer_file(&self, template: &str, context: &AnswerContext) -> Result<Rendered, RenderError>;

    /// What is wrong with a rendered answer file in the language of its installer, as far as that can be said without
    /// it. By default nothing is looked at.
    async fn check(&self, kind: AnswerFileKind, text: String) -> Vec<Finding> {
        let _ = (kind, text);
        Vec::new()
    }

    /// Kernel options may use `{{ phone_home_url }}` and the other variables; renders them, one line.
    async fn kernel_options(&self, options: &str, context: &AnswerContext) -> Result<String, RenderError>;
}

/// Renders nothing: for programs that only switch power.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRenderer;

fn nothing() -> RenderError {
    RenderError { message: "this program has no renderer; give one to the builder".into(), line: None }
}

#[async_trait]
impl Renderer for NoRenderer {
    fn boot_config(&self, _dialect: Dialect, _plan: &BootPlan) -> Result<String, RenderError> {
        Err(nothing())
    }

    async fn answer_file(&self, _template: &str, _context: &AnswerContext) -> Result<Rendered, RenderError> {
        Err(nothing())
    }

    async fn kernel_options(&self, _options: &str, _context: &AnswerContext) -> Result<String, RenderError> {
        Err(nothing())
    }
}
