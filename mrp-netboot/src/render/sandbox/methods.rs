//! Python's methods of strings, lists and dicts, where they do not charge for what they make before they make it.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Bytes that one unit of fuel pays for.
const BYTES: usize = 64;

/// Calls a method as Python would.
pub(super) fn python(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), method, args) {
        (Some(format), "format", args) => charge_format(state, format, args)?,
        (Some(separator), "join", [items]) => {
            let items = join_items(state, separator, items)?;
            return unknown_method_callback(state, value, method, &[items]);
        }
        _ => {}
    }
    unknown_method_callback(state, value, method, args)
}

fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(u64::try_from(bytes / BYTES).unwrap_or(u64::MAX)).map(|_| ())
}

/// Length of a simple value as text. Lists and dicts may hold themselves many times over, so they are refused.
fn length(method: &str, value: &Value) -> Result<usize, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().map_or(0, str::len)),
        ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number => Ok(64),
        kind => {
            let message = format!("{method}() takes strings and numbers, not a {kind}");
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

/// The items of a `join` as a list, paid for.
fn join_items(state: &State, separator: &str, items: &Value) -> Result<Value, Error> {
    let mut list = Vec::new();
    for item in items.try_iter()? {
        charge(state, BYTES + length("join", &item)? + separator.len())?;
        list.push(item);
    }
    Ok(Value::from(list))
}

/// Pays for `str.format`: each field may print all arguments, as wide as the largest number in it.
fn charge_format(state: &State, format: &str, args: &[Value]) -> Result<(), Error> {
    let (mut texts, mut largest) = (0_usize, 0_usize);
    for arg in args {
        let values = if arg.is_kwargs() {
            arg.try_iter()?.map(|name| arg.get_item(&name)).collect::<Result<Vec<_>, _>>()?
        } else {
            vec![arg.clone()]
        };
        for value in &values {
            texts = texts.saturating_add(length("format", value)?);
            largest = largest.max(value.as_usize().unwrap_or(0));
        }
    }
    let fields = Fields::of(format);
    let width = if fields.nested { fields.width.max(largest) } else { fields.width };
    charge(state, fields.count.saturating_mul(texts.saturating_add(width)))
}

/// What stands in the braces of a format string.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    count: usize,
    /// The largest number in a field.
    width: usize,
    /// A field takes its width from an argument.
    nested: bool,
}

impl Fields {
    fn of(format: &str) -> Self {
        let (mut fields, mut depth, mut number) = (Self::default(), 0_usize, 0_usize);
        for c in format.chars() {
            number = c
                .to_digit(10)
                .filter(|_| depth > 0)
                .map_or(0, |digit| number.saturating_mul(10).saturating_add(digit as usize));
            fields.width = fields.width.max(number);
            match c {
                '{' => {
                    depth += 1;
                    fields.count += 1;
                    fields.nested |= depth > 1;
                }
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_format_are_understood() {
        let fields = |count, width, nested| Fields { count, width, nested };
        assert_eq!(Fields::of("port 12345"), fields(0, 0, false));
        assert_eq!(Fields::of("{} {:>20} 99999"), fields(2, 20, false));
        assert_eq!(Fields::of("{:{}}"), fields(2, 0, true));
        assert_eq!(Fields::of("{:.99999999999999999999999f}").width, usize::MAX);
    }
}
