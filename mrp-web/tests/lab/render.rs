//! A renderer without templates' language: enough to see what the service hands to one. mrp-netboot's own tests hold
//! the words of boot configurations.

use async_trait::async_trait;
use mrp_core::boot::{BootPlan, Dialect};
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer};

#[derive(Debug)]
pub(crate) struct PlainRenderer;

#[async_trait]
impl Renderer for PlainRenderer {
    fn boot_config(&self, dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError> {
        Ok(match plan {
            BootPlan::Local { reason } => format!("{dialect:?} local: {reason}\n"),
            BootPlan::Chain { loader } => format!("{dialect:?} chain: {loader}\n"),
            BootPlan::Linux(linux) => {
                format!("{dialect:?} {} {:?} {}\n", linux.kernel, linux.initrd, linux.arguments)
            }
        })
    }

    async fn answer_file(&self, template: &str, context: &AnswerContext) -> Result<Rendered, RenderError> {
        if let Some(line) = template.lines().position(|line| line.contains("{% if %}")) {
            let message = "expected an expression".to_owned();
            return Err(RenderError { message, line: Some(line + 1) });
        }
        let undefined = template.lines().position(|line| line.contains("{{ nosuch }}"));
        let warnings =
            undefined.map(|line| RenderError { message: "nosuch is undefined".into(), line: Some(line + 1) });
        let text = template
            .replace("{{ hostname }}", &context.hostname)
            .replace("{{ phone_home_url }}", &context.phone_home_url)
            .replace("{{ nosuch }}", "");
        Ok(Rendered { text, warnings: warnings.into_iter().collect() })
    }

    async fn kernel_options(&self, options: &str, _context: &AnswerContext) -> Result<String, RenderError> {
        Ok(options.to_owned())
    }
}
