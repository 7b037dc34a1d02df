//! Renders boot configurations and answer files: the implementation of [`Renderer`].
//!
//! Boot configurations come from this program's templates or a site's own. Answer files are what people write in Jinja2,
//! as mr-provisioner's were; they are rendered in a sandbox with limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use minijinja::value::Serde;
use minijinja::{ErrorKind, Value};
use mrp_core::boot::{BootPlan, Dialect};
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

mod boot;
mod quote;
mod sandbox;

use boot::BootTemplates;
pub use boot::TemplateError;
use sandbox::Sandbox;

/// Answer files rendered at the same time: each may take a core and tens of megabytes for a moment.
const AT_ONCE: usize = 2;
/// Longest wait for an answer file, the queue included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Stack of a rendering, of which only what is used is taken.
const STACK: usize = 64 << 20;
/// Longest kernel options after rendering; the kernel itself takes 2,048 bytes on x86.
const MAX_OPTIONS: usize = 8192;

/// Renders with minijinja, an engine for the Jinja2 language.
#[derive(Debug)]
pub struct MiniRenderer {
    boot: BootTemplates,
    sandbox: Arc<Sandbox>,
    turns: Arc<Semaphore>,
}

impl MiniRenderer {
    /// With the templates of a folder in place of the built-in ones of the same name.
    pub fn new(templates: Option<PathBuf>) -> Result<Self, TemplateError> {
        Ok(Self {
            boot: BootTemplates::new(templates.as_deref())?,
            sandbox: Arc::new(Sandbox::new()),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }
}

#[async_trait]
impl Renderer for MiniRenderer {
    fn boot_config(&self, dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError> {
        self.boot.render(dialect, plan)
    }

    async fn answer_file(&self, template: &str, context: &AnswerContext) -> Result<Rendered, RenderError> {
        let (sandbox, turns) = (Arc::clone(&self.sandbox), Arc::clone(&self.turns));
        let (source, values) = (template.to_owned(), Value::from(Serde(context)));
        let work = async move {
            let turn = turns.acquire_owned().await;
            let (done, result) = oneshot::channel();
            // A thread with a stack that the parser cannot use up. The turn ends with the work, also where nobody waits
            // for it any more.
            let thread =
                std::thread::Builder::new().name("render".into()).stack_size(STACK).spawn(move || {
                    let _turn = turn;
                    let _ = done.send(sandbox.answer_file(&source, &values));
                });
            match thread {
                Ok(_) => result.await.unwrap_or_else(|_| Err(failure("the template made the renderer fail"))),
                Err(error) => Err(failure(&format!("no thread for rendering could be started: {error}"))),
            }
        };
        let late = || Err(failure("the template takes too long; simplify its loops"));
        timeout(PATIENCE, work).await.unwrap_or_else(|_| late())
    }

    fn kernel_options(&self, options: &str, context: &AnswerContext) -> Result<String, RenderError> {
        let text = if options.contains("{{") || options.contains("{%") {
            let rendered = self.sandbox.line(options, &Value::from(Serde(context)));
            rendered.map_err(|error| failure(&format!("kernel options: {}", error.message)))?
        } else {
            options.to_owned()
        };
        if let Some(name) = quote::control_character(&text) {
            return Err(failure(&format!("the kernel options contain {name}; write them in one line")));
        }
        if text.len() > MAX_OPTIONS {
            return Err(failure(&format!("the kernel options are longer than {MAX_OPTIONS} bytes")));
        }
        Ok(text)
    }
}

fn failure(message: &str) -> RenderError {
    RenderError { message: message.to_owned(), line: None }
}

/// What the engine says, in words for the template's author.
fn template_error(error: &minijinja::Error) -> RenderError {
    let detail = error.detail();
    let message = match error.kind() {
        ErrorKind::OutOfFuel => {
            "the template does too much: its loops run too long, or a value is multiplied too often"
                .to_owned()
        }
        ErrorKind::WriteFailure => "the rendered text is larger than 4 MB".to_owned(),
        ErrorKind::SyntaxError => detail.unwrap_or("unexpected text").to_owned(),
        kind => match detail {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    RenderError { message, line: error.line() }
}
