//! Weighs lists and dicts before they become text: one that holds another twice, and so on, is small in memory and without
//! end as text.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

/// Lists within lists.
const DEPTH: usize = 40;

/// Pays for a value's text.
pub(super) fn weigh(state: &State, value: &Value) -> Result<(), Error> {
    descend(state, value, 0)
}

fn descend(state: &State, value: &Value, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth > DEPTH => {
            Err(Error::new(ErrorKind::InvalidOperation, "lists are nested too deeply to be written as text"))
        }
        kind @ (ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) => {
            for item in value.try_iter()? {
                state.consume_fuel(1)?;
                descend(state, &item, depth + 1)?;
                if kind == ValueKind::Map {
                    descend(state, &value.get_item(&item)?, depth + 1)?;
                }
            }
            Ok(())
        }
        ValueKind::String => {
            let length = value.as_str().map_or(0, str::len);
            state.consume_fuel(u64::try_from(length / 64).unwrap_or(u64::MAX)).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Makes the filters that write values as text weigh them first.
pub(super) fn weigh_texts(environment: &mut Environment<'static>) {
    environment.add_filter("weighed join", filters::join);
    environment.add_filter("weighed string", filters::string);
    environment.add_filter("weighed format", filters::format);
    environment.add_filter("weighed pprint", filters::pprint);
    environment.add_filter("weighed tojson", filters::tojson);
    environment.add_filter("weighed urlencode", filters::urlencode);
    for (name, weighed) in [
        ("join", "weighed join"),
        ("string", "weighed string"),
        ("format", "weighed format"),
        ("pprint", "weighed pprint"),
        ("tojson", "weighed tojson"),
        ("urlencode", "weighed urlencode"),
    ] {
        environment.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            args.iter().try_for_each(|arg| weigh(state, arg))?;
            state.apply_filter(weighed, &args)
        });
    }
}
