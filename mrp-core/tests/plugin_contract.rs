//! The tables of `plugins/README.md` are made from the message types; `MRP_RENEW=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write;
use std::path::PathBuf;

use mrp_core::plugin::message::{
    BootReply, Empty, NodeRequest, OpenReply, OpenRequest, Operation, PowerReply, SetBootRequest,
    SetPowerRequest,
};
use mrp_core::plugin::{ErrorKind, Hello};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

const BEGIN: &str = "<!-- made from mrp-core/src/plugin by its test plugin_contract -->";
const END: &str = "<!-- end -->";

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../plugins/README.md")
}

fn schema<T: JsonSchema>() -> Schema {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// A shape in one line: `{node: text, boot: {…} or null}`; what may be left out has a `?`.
fn shape(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema.get(key).and_then(Value::as_array) {
            return schemas.iter().map(shape).collect::<Vec<_>>().join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            let one = |kind: &Value| {
                let mut schema = schema.clone();
                schema["type"] = kind.clone();
                shape(&schema)
            };
            types.iter().map(one).collect::<Vec<_>>().join(" or ")
        }
        Some(Value::String(kind)) => match kind.as_str() {
            "object" => object(schema),
            "string" => "text".into(),
            "boolean" => "true or false".into(),
            "integer" => "number".into(),
            other => other.into(),
        },
        _ => "JSON".into(),
    }
}

fn object(schema: &Value) -> String {
    let Some(fields) =
        schema.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty())
    else {
        let any = schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
        return if any { "object".into() } else { "{}".into() };
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let field = |(name, schema): (&String, &Value)| {
        format!("{name}{}: {}", if required.contains(&name.as_str()) { "" } else { "?" }, shape(schema))
    };
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

/// The first sentence of a type's or field's documentation.
fn words(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default().split("\n\n").next().unwrap_or_default()
}

fn tables() -> String {
    let mut text = String::from("The hello:\n\n| field | | |\n| --- | --- | --- |\n");
    let hello = schema::<Hello>().to_value();
    for (name, field) in hello["properties"].as_object().unwrap() {
        writeln!(text, "| `{name}` | {} | {} |", shape_in_table(field), documentation(words(field))).unwrap();
    }
    text.push_str("\nThe calls:\n\n| call | request | reply | what it does |\n| --- | --- | --- | --- |\n");
    for operation in Operation::ALL {
        let (request, reply) = match operation {
            Operation::Open => (schema::<OpenRequest>(), schema::<OpenReply>()),
            Operation::Power => (schema::<NodeRequest>(), schema::<PowerReply>()),
            Operation::SetPower => (schema::<SetPowerRequest>(), schema::<Empty>()),
            Operation::SetBoot => (schema::<SetBootRequest>(), schema::<Empty>()),
            Operation::Boot => (schema::<NodeRequest>(), schema::<BootReply>()),
            Operation::OpenConsole | Operation::ResetConsole => (schema::<NodeRequest>(), schema::<Empty>()),
            Operation::CloseSessions | Operation::Close => (schema::<Empty>(), schema::<Empty>()),
        };
        let (request, reply) = (shape(request.as_value()), shape(reply.as_value()));
        let does = what_it_does(operation);
        writeln!(text, "| `{operation}` | `{request}` | `{reply}` | {does} |").unwrap();
    }
    text.push_str("\nThe kinds of errors, with their numbers in the C ABI:\n\n| kind | number | |\n| --- | --- | --- |\n");
    let kinds = schema::<ErrorKind>().to_value();
    for (kind, described) in ErrorKind::ALL.into_iter().zip(kinds["oneOf"].as_array().unwrap()) {
        let name = serde_json::to_value(kind).unwrap();
        assert_eq!(described["const"], name);
        writeln!(text, "| `{}` | {} | {} |", name.as_str().unwrap(), kind as i32, words(described)).unwrap();
    }
    text
}

fn shape_in_table(schema: &Value) -> String {
    match shape(schema).as_str() {
        shape @ ("text" | "number" | "JSON") => shape.to_owned(),
        shape => format!("`{shape}`"),
    }
}

fn documentation(words: &str) -> String {
    words.replace("[`super::VERSION`]", "1").replace('\n', " ")
}

fn what_it_does(operation: Operation) -> &'static str {
    match operation {
        Operation::Open => {
            "makes a BMC known under the `instance` that mrp has chosen; asks it nothing, so that one that is off opens too"
        }
        Operation::Power => "reads the power state",
        Operation::SetPower => {
            "changes the power; replies when the BMC has accepted it. `on` when on and `off` when off are no errors; `cycle` and \
             `reset` when off switch on; `soft` asks the operating system"
        }
        Operation::SetBoot => "sets the boot device, `null` removes it",
        Operation::Boot => "reads back what `set_boot` set",
        Operation::OpenConsole => {
            "opens the serial console; its bytes carry this call's number. `console_taken` where another session has it"
        }
        Operation::ResetConsole => "ends whatever console session the BMC believes to be active",
        Operation::CloseSessions => {
            "closes sessions that are kept, and consoles; later calls open new ones. `unsupported` is fine"
        }
        Operation::Close => "forgets the BMC",
    }
}

#[test]
fn the_tables_of_the_contract_are_the_types() {
    let text = std::fs::read_to_string(readme()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let made = format!("\n\n{}\n", tables());
    if std::env::var_os("MRP_RENEW").is_some() {
        std::fs::write(readme(), format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, made, "if this is meant: MRP_RENEW=1 cargo test -p mrp-core --test plugin_contract");
}
