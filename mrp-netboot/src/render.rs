//! Renders boot configurations and answer files: the implementation of [`Renderer`].
//!
//! Boot configurations come from this program's templates or a site's own. Answer files and kernel options are what
//! people write in Jinja2, as mr-provisioner's were. The engine's limits stop loops and long texts, but not every
//! template: a small list may hold itself 2^60 times. So a server renders all but the plain ones in processes of their own,
//! which the kernel limits and which may die: [`MiniRenderer::isolated`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use minijinja::ErrorKind;
use mrp_core::answer_file::AnswerFileKind;
use mrp_core::boot::{BootPlan, Dialect};
use mrp_core::lint::{Finding, Severity};
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::lint;

mod boot;
mod isolation;
mod plain;
mod quote;
mod sandbox;
mod worker;

use boot::BootTemplates;
pub use boot::TemplateError;
use isolation::Isolation;
use sandbox::Job;
pub use worker::worker;

/// Templates rendered at the same time: each may take a core and its memory for a moment.
const AT_ONCE: usize = 4;
/// Longest wait for a turn.
const QUEUE: Duration = Duration::from_secs(15);
/// Longest time of a rendering; its processor time has a limit of its own.
const LONGEST: Duration = Duration::from_secs(10);
/// Longest kernel options after rendering; the kernel itself takes 2,048 bytes on x86.
const MAX_OPTIONS: usize = 8192;

/// Renders with minijinja, an engine for the Jinja2 language.
#[derive(Debug)]
pub struct MiniRenderer {
    boot: BootTemplates,
    isolation: Option<Isolation>,
    turns: Arc<Semaphore>,
}

impl MiniRenderer {
    /// With the templates of a folder in place of the built-in ones of the same name.
    ///
    /// Renders in this process, with limits on steps, depth of calls and output alone: for templates whose authors are trusted
    /// not to use up its memory. See [`Self::isolated`] for all others.
    pub fn new(templates: Option<PathBuf>) -> Result<Self, TemplateError> {
        Ok(Self {
            boot: BootTemplates::new(templates.as_deref())?,
            isolation: None,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Renders what people write in processes of their own, with limits on memory and time, unless it is plain: text,
    /// variables, conditions and loops. A process is kept for the next template, unless one failed in it or left much memory.
    ///
    /// `command` is a program and its arguments; the program calls [`worker`].
    #[must_use]
    pub fn isolated(self, command: Vec<OsString>) -> Self {
        Self { isolation: Some(Isolation::new(command)), ..self }
    }

    async fn render(&self, job: Job) -> Result<Rendered, RenderError> {
        if plain::is_plain(&job.template)
            && let Some(rendered) = sandbox::at_once(&job)
        {
            return Ok(rendered);
        }
        let turn = timeout(QUEUE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| failure("other templates take all the time there is; try again"))?;
        let work = async {
            match &self.isolation {
                Some(isolation) => isolation.render(&job).await,
                None => {
                    // The turn ends with the work, also where nobody waits for it any more.
                    let work = tokio::task::spawn_blocking(move || (worker::on_large_stack(&job), turn));
                    work.await.map_or_else(
                        |_| Err(failure("the template made the renderer fail")),
                        |(done, _)| done,
                    )
                }
            }
        };
        let late = || Err(failure(&format!("the template takes longer than {} s", LONGEST.as_secs())));
        timeout(LONGEST, work).await.unwrap_or_else(|_| late())
    }
}

#[async_trait]
impl Renderer for MiniRenderer {
    fn boot_config(&self, dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError> {
        self.boot.render(dialect, plan)
    }

    async fn answer_file(&self, template: &str, context: &AnswerContext) -> Result<Rendered, RenderError> {
        let template = template.to_owned();
        self.render(Job { template, context: context.clone(), strict: false }).await
    }

    async fn check(&self, kind: AnswerFileKind, text: String) -> Vec<Finding> {
        let Ok(Ok(_turn)) = timeout(QUEUE, self.turns.acquire()).await else {
            return vec![not_checked("others take all the time there is; try again")];
        };
        let check = tokio::task::spawn_blocking(move || lint::check(kind, &text));
        check.await.unwrap_or_else(|_| vec![not_checked("the text made the check fail")])
    }

    async fn kernel_options(&self, options: &str, context: &AnswerContext) -> Result<String, RenderError> {
        let template = options.to_owned();
        let text = if options.contains("{{") || options.contains("{%") {
            let rendered = self.render(Job { template, context: context.clone(), strict: true }).await;
            rendered.map_err(|error| failure(&format!("kernel options: {}", error.message)))?.text
        } else {
            template
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

fn not_checked(why: &str) -> Finding {
    Finding::in_text(Severity::Note, None, format!("not looked at: {why}"))
}

fn failure(message: &str) -> RenderError {
    RenderError { message: message.to_owned(), line: None }
}

/// What the engine says, in words for the template's author.
fn template_error(error: &minijinja::Error) -> RenderError {
    /// The engine may quote a value, of any length.
    const CHARACTERS: usize = 300;
    let detail = error.detail().map(|detail| detail.chars().take(CHARACTERS).collect::<String>());
    let message = match error.kind() {
        ErrorKind::OutOfFuel => {
            "the template does too much: its loops run too long, or a value is multiplied too often"
                .to_owned()
        }
        ErrorKind::WriteFailure => "the rendered text is larger than 4 MB".to_owned(),
        ErrorKind::SyntaxError => detail.unwrap_or_else(|| "unexpected text".to_owned()),
        kind => match detail {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    RenderError { message, line: error.line() }
}
