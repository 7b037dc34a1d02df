//! What people write as templates, rendered without files, with bounded work, memory and output.
//!
//! The engine charges every step, visited item and byte that a template makes to its fuel, before it makes them; so loops,
//! multiplied strings and deep recursion end with an error that names the line.

use std::collections::BTreeSet;
use std::io;

use minijinja::{Environment, ErrorKind, OutputSpanKind, UndefinedBehavior, Value};
use mrp_core::render::{RenderError, Rendered};

use super::template_error;

mod methods;
mod weight;

/// Steps that a template may take; one also pays for 64 bytes.
const FUEL: u64 = 1_000_000;
/// Largest answer file.
const OUTPUT: usize = 4 << 20;
/// Undefined variables that are named.
const WARNINGS: usize = 20;
/// Stands for an undefined value while they are looked for; a noncharacter, which no text has.
const MARK: &str = "\u{FDD0}";

/// The engines for what people write.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// Stops at the first undefined value.
    strict: Environment<'static>,
    /// Undefined values are empty.
    lenient: Environment<'static>,
    /// Undefined values leave a mark.
    marking: Environment<'static>,
}

fn engine(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(methods::python);
    environment.set_recursion_limit(50);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    weight::weigh_texts(&mut environment);
    environment.set_formatter(|out, state, value| {
        weight::weigh(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    environment
}

impl Sandbox {
    pub(super) fn new() -> Self {
        let mut marking = engine(UndefinedBehavior::Chainable);
        marking.set_formatter(|out, state, value| {
            if value.is_undefined() {
                return Ok(out.write_str(MARK)?);
            }
            weight::weigh(state, value)?;
            minijinja::escape_formatter(out, state, value)
        });
        Self {
            strict: engine(UndefinedBehavior::SemiStrict),
            lenient: engine(UndefinedBehavior::Chainable),
            marking,
        }
    }

    /// Renders; undefined variables render empty and become warnings.
    pub(super) fn answer_file(&self, source: &str, values: &Value) -> Result<Rendered, RenderError> {
        check_tags(source)?;
        match render(&self.strict, source, values) {
            Ok(text) => Ok(Rendered { text, warnings: Vec::new() }),
            Err(error) if error.kind() == ErrorKind::UndefinedError => {
                let text = render(&self.lenient, source, values).map_err(|error| template_error(&error))?;
                Ok(Rendered { text, warnings: self.warnings(source, values, &error) })
            }
            Err(error) => Err(template_error(&error)),
        }
    }

    /// Renders one line; an undefined variable is an error.
    pub(super) fn line(&self, source: &str, values: &Value) -> Result<String, RenderError> {
        check_tags(source)?;
        render(&self.strict, source, values).map_err(|error| match undefined(source, &error) {
            Some(undefined) => undefined,
            None => template_error(&error),
        })
    }

    /// Each undefined value that is printed, and the first use of any kind.
    fn warnings(&self, source: &str, values: &Value, first: &minijinja::Error) -> Vec<RenderError> {
        let mut found = BTreeSet::new();
        let first = undefined(source, first).unwrap_or_else(|| template_error(first));
        found.insert((first.line, first.message));
        let marked = self.marking.template_from_str(source).and_then(|t| t.render_with_spans(values.clone()));
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
}

/// Refuses tags so long that the parser, which descends for each operator and each `elif`, could run out of stack.
fn check_tags(source: &str) -> Result<(), RenderError> {
    const LONGEST: usize = 2048;
    const BRANCHES: usize = 500;
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let close = match rest.as_bytes().get(start + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => {
                rest = &rest[start + 1..];
                continue;
            }
        };
        let end = rest[start..].find(close).map_or(rest.len(), |end| start + end);
        if end - start > LONGEST {
            let line = source[..source.len() - rest.len() + start].lines().count().max(1);
            let message = format!("this tag is longer than {LONGEST} bytes; split it by set");
            return Err(RenderError { message, line: Some(line) });
        }
        rest = &rest[end..];
    }
    if source.matches("elif").count() > BRANCHES {
        return Err(RenderError { message: format!("there are more than {BRANCHES} elif"), line: None });
    }
    Ok(())
}

fn is_undefined(name: &str) -> String {
    format!("{} is undefined", name.trim())
}

fn undefined(source: &str, error: &minijinja::Error) -> Option<RenderError> {
    if error.kind() != ErrorKind::UndefinedError {
        return None;
    }
    let name = source.get(error.range()?)?;
    Some(RenderError { message: is_undefined(name), line: error.line() })
}

fn render(environment: &Environment<'_>, source: &str, values: &Value) -> Result<String, minijinja::Error> {
    let mut output = Capped(Vec::new());
    environment.template_from_str(source)?.render_captured_to(values.clone(), &mut output)?;
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
