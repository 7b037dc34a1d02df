//! How an answer file would look on a machine, and what is wrong with it, before any machine asks for it.

use super::{AnswerFiles, check_content};
use crate::actor::Actor;
use crate::answer_file::{AnswerFileId, AnswerFileKind};
use crate::error::Error;
use crate::lint::{Finding, Severity};
use crate::machine::MachineId;
use crate::render::{AnswerContext, RenderError, Rendered, TemplateImage, TemplateInterface};

impl AnswerFiles<'_> {
    /// Renders an answer file as a machine would get it: for holders of the machine and admins.
    pub async fn preview(
        &self,
        actor: &Actor,
        id: AnswerFileId,
        machine: MachineId,
    ) -> Result<Rendered, Error> {
        let file = self.get(actor, id).await?.answer_file;
        self.preview_text(actor, file.content.as_deref().unwrap_or(""), machine).await
    }

    /// Renders a template that is not saved.
    pub async fn preview_text(
        &self,
        actor: &Actor,
        content: &str,
        machine: MachineId,
    ) -> Result<Rendered, Error> {
        check_content(content)?;
        let context = self.machine_context(actor, machine).await?;
        Ok(self.0.0.renderer.answer_file(content, &context).await?)
    }

    /// What is wrong with an answer file that one may use: on a machine, or on one made up.
    pub async fn lint(
        &self,
        actor: &Actor,
        id: AnswerFileId,
        machine: Option<MachineId>,
    ) -> Result<Vec<Finding>, Error> {
        let file = self.get(actor, id).await?.answer_file;
        self.lint_text(actor, file.kind, file.content.as_deref().unwrap_or(""), machine).await
    }

    /// What is wrong with a template that is not saved. The worst findings come first.
    pub async fn lint_text(
        &self,
        actor: &Actor,
        kind: AnswerFileKind,
        content: &str,
        machine: Option<MachineId>,
    ) -> Result<Vec<Finding>, Error> {
        check_content(content)?;
        let context = match machine {
            Some(machine) => self.machine_context(actor, machine).await?,
            None => sample(),
        };
        let renderer = &self.0.0.renderer;
        let Rendered { text, warnings } = match renderer.answer_file(content, &context).await {
            Ok(rendered) => rendered,
            Err(error) => return Ok(vec![in_template(Severity::Error, error)]),
        };
        let mut findings = renderer.check(kind, text).await;
        findings.extend(warnings.into_iter().map(|warning| in_template(Severity::Warning, warning)));
        findings.sort_by_key(|finding| finding.severity);
        Ok(findings)
    }

    /// A machine's variables, without the power to report for it.
    async fn machine_context(&self, actor: &Actor, machine: MachineId) -> Result<AnswerContext, Error> {
        self.0.machine_of_holder(actor, machine).await?;
        let facts = self.0.store().boot_facts(machine).await?;
        let facts = facts.ok_or_else(|| Error::not_found("machine", machine))?;
        let base = self.0.base_url(&facts.interfaces, None);
        let mut context = self.0.answer_context(&facts, &base);
        context.phone_home_url = format!("{base}/phone-home/preview");
        Ok(context)
    }
}

fn in_template(severity: Severity, RenderError { message, line }: RenderError) -> Finding {
    Finding::in_template(severity, line, message)
}

/// A machine that has everything, so that what is undefined is undefined on every machine.
fn sample() -> AnswerContext {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNhbXBsZQ== sample".to_owned();
    let image = |name: &str| {
        Some(TemplateImage { name: name.into(), filename: name.into(), description: Some("sample".into()) })
    };
    AnswerContext {
        ssh_key: key.clone(),
        ssh_keys: vec![key],
        hostname: "sample".into(),
        interfaces: vec![TemplateInterface {
            name: Some("eth0".into()),
            static_ipv4: "192.0.2.10".into(),
            prefix: 24,
            netmask: "255.255.255.0".into(),
            mac: "52:54:00:12:34:56".into(),
        }],
        kernel: image("sample/linux.00000000"),
        initrd: image("sample/initrd.00000000"),
        kernel_options: "console=ttyS0".into(),
        phone_home_url: "http://192.0.2.1:8081/phone-home/preview".into(),
        machine_name: "sample".into(),
        server_url: "http://192.0.2.1:8081".into(),
    }
}
