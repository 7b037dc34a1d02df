//! What people write as templates, rendered without files, with bounded work, depth and output.
//!
//! The engine charges steps, visited items and most of the bytes that a template makes to its fuel, before it makes them; so
//! loops, multiplied strings and deep recursion end with an error that names the line. What it does not charge, such as the
//! text of a list that holds another many times, is for the process's limits to stop.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, OutputSpanKind, UndefinedBehavior, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use mrp_core::render::{AnswerContext, RenderError, Rendered};
use serde::{Deserialize, Serialize};

use super::template_error;

/// Steps that a template may take; one also pays for 64 bytes.
const FUEL: u64 = 1_000_000;
/// Steps within a moment, a millisecond.
const MOMENT: u64 = 2_000;
/// Largest answer file.
pub(super) const OUTPUT: usize = 4 << 20;
/// Undefined variables that are named.
const WARNINGS: usize = 20;
/// Stands for an undefined value while they are looked for; a noncharacter, which no text has.
const MARK: &str = "\u{FDD0}";

/// A template and its variables.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) template: String,
    pub(super) context: AnswerContext,
    /// An undefined variable is an error; otherwise it renders empty and becomes a warning.
    pub(super) strict: bool,
}

/// Renders a template that is done in a moment; `None` for one that is not, or that something is to be said about.
pub(super) fn at_once(job: &Job) -> Option<Rendered> {
    // A panic of the engine is the other way's to tell.
    let text = || text(&SHORT, &job.template, &Value::from(Serde(&job.context)));
    let text = catch_unwind(AssertUnwindSafe(text)).ok()?.ok()?;
    Some(Rendered { text, warnings: Vec::new() })
}

/// Renders a template.
pub(super) fn render(job: &Job) -> Result<Rendered, RenderError> {
    let (source, values) = (job.template.as_str(), Value::from(Serde(&job.context)));
    match text(&STRICT, source, &values) {
        Ok(text) => Ok(Rendered { text, warnings: Vec::new() }),
        Err(error) => match undefined(source, &error) {
            None => Err(template_error(&error)),
            Some(first) if job.strict => Err(first),
            Some(first) => {
                let text = text(&engine(UndefinedBehavior::Chainable), source, &values);
                let text = text.map_err(|error| template_error(&error))?;
                Ok(Rendered { text, warnings: warnings(source, &values, first) })
            }
        },
    }
}

fn engine(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_recursion_limit(50);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment
}

/// Each undefined value that is printed, and the first use of any kind.
fn warnings(source: &str, values: &Value, first: RenderError) -> Vec<RenderError> {
    let mut found = BTreeSet::from([(first.line, first.message)]);
    let mut marking = engine(UndefinedBehavior::Chainable);
    marking.set_formatter(|out, state, value| match value.is_undefined() {
        true => Ok(out.write_str(MARK)?),
        false => minijinja::escape_formatter(out, state, value),
    });
    let marked = marking.template_from_str(source).and_then(|t| t.render_with_spans(values.clone()));
    if let Ok((text, spans)) = marked {
        let printed = spans.iter().filter(|span| {
            let output = text.get(span.output_range()).unwrap_or_default();
            span.kind() == OutputSpanKind::Expression && output.contains(MARK)
        });
        found.extend(printed.take(WARNINGS).filter_map(|span| {
            let name = source.get(span.source_range())?;
            Some((Some(span.line()), is_undefined(name)))
        }));
    }
    found.into_iter().take(WARNINGS).map(|(line, message)| RenderError { message, line }).collect()
}

fn is_undefined(name: &str) -> String {
    format!("{} is undefined", name.trim())
}

/// What is undefined, if that is the error.
fn undefined(source: &str, error: &minijinja::Error) -> Option<RenderError> {
    if error.kind() != ErrorKind::UndefinedError {
        return None;
    }
    let name = error.range().and_then(|range| source.get(range));
    let named = |name| RenderError { message: is_undefined(name), line: error.line() };
    Some(name.map_or_else(|| template_error(error), named))
}

/// What most templates are rendered by; made once, since it takes longer than most templates.
static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::SemiStrict));
/// The same for a moment.
static SHORT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = engine(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(MOMENT));
    environment
});

fn text(engine: &Environment<'_>, source: &str, values: &Value) -> Result<String, minijinja::Error> {
    let mut output = Capped(Vec::new());
    engine.template_from_str(source)?.render_captured_to(values.clone(), &mut output)?;
    String::from_utf8(output.0)
        .map_err(|_| minijinja::Error::new(ErrorKind::WriteFailure, "the text is no UTF-8"))
}

/// Takes so much and no more.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_at_once_is_what_would_be_rendered_otherwise() {
        let context = AnswerContext {
            ssh_keys: vec!["ssh-ed25519 A a@b".into(), "ssh-rsa B <&> é".into()],
            ssh_key: String::new(),
            hostname: "node-01".into(),
            interfaces: Vec::new(),
            kernel: None,
            initrd: None,
            kernel_options: "console=ttyS0".into(),
            phone_home_url: "http://10.0.0.1:8081/phone-home/1".into(),
            machine_name: "node.01".into(),
            server_url: "http://10.0.0.1:8081".into(),
        };
        let job =
            |template: &str, strict| Job { template: template.into(), context: context.clone(), strict };
        for template in [
            "",
            "a\n\n",
            "{{ hostname }}{{ ssh_keys }}{{ kernel }}{{ interfaces }}\n",
            "{% for key in ssh_keys -%}\n{{ loop.index }} {{ key }}\n{% endfor %}",
            "{% if \"console=\" in kernel_options %}yes{% elif hostname == 'x' %}no{% else %}{% endif %}",
        ] {
            for strict in [false, true] {
                let (now, otherwise) = (at_once(&job(template, strict)), render(&job(template, strict)));
                assert_eq!(now, otherwise.ok(), "{template:?}");
                assert!(now.is_some(), "{template:?}");
            }
        }
        let long = format!("{{% for a in hostname %}}{}{{% endfor %}}", "{{ hostname }}".repeat(1_000));
        for template in ["{{ nothing }}", "{{ 1 / 0 }}", "{% if %}", &long] {
            assert_eq!(at_once(&job(template, false)), None, "{template:.40?}");
        }
    }
}
