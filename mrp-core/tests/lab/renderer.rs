//! A renderer of one variable and two errors.

use async_trait::async_trait;
use mrp_core::boot::{BootPlan, Dialect};
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer};

#[derive(Debug)]
pub(crate) struct PlainRenderer;

#[async_trait]
impl Renderer for PlainRenderer {
    fn boot_config(&self, _dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError> {
        Ok(match plan {
            BootPlan::Local { reason } => format!("local: {reason}"),
            BootPlan::Chain { loader } => format!("chain: {loader}"),
            BootPlan::Linux(linux) if linux.arguments.contains('\\') => {
                return Err(RenderError { message: "a backslash cannot be passed".into(), line: None });
            }
            BootPlan::Linux(linux) => {
                let initrd = linux.initrd.as_deref().unwrap_or("none");
                format!("linux: {} initrd {initrd} {}", linux.kernel, linux.arguments)
            }
        })
    }

    async fn answer_file(&self, template: &str, context: &AnswerContext) -> Result<Rendered, RenderError> {
        if template.contains("{%") {
            return Err(RenderError { message: "unknown statement".into(), line: Some(3) });
        }
        let text = template.replace("{{ phone_home_url }}", &context.phone_home_url);
        Ok(Rendered { text, warnings: Vec::new() })
    }

    async fn kernel_options(&self, options: &str, context: &AnswerContext) -> Result<String, RenderError> {
        Ok(options.replace("{{ phone_home_url }}", &context.phone_home_url))
    }
}
