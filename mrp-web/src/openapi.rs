//! The OpenAPI 3.1 documents, one a door, made of the same tables of routes that serve.
//!
//! Shapes of bodies come from the structs of `mrp_core::api`. The document promises no more than the server does: every
//! status that a route can answer with is listed, and there is no `default` answer. A fault of the server's own (500)
//! is no answer that anyone should expect, and is not listed.

use std::collections::BTreeSet;

use mrp_core::api::ErrorBody;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use crate::route::{Answers, Body, Content, Kind, Parameter, Place, Route, Who};
use crate::router::Door;
use crate::{api, machine};

/// The document of the door for people and programs.
pub fn people_document() -> Value {
    Document::new(Door::People).of(&api::routes())
}

/// The document of the machines' door.
pub fn machine_document() -> Value {
    Document::new(Door::Machines).of(&machine::routes())
}

const ABOUT_PEOPLE: &str = "Reserve machines, netboot them with a kernel and initrd of your own, let an answer file \
    drive the installer, switch the power. Send a token as `Authorization: Bearer <token>`; `POST /api/v1/session` or \
    `POST /api/v1/token` gives one. Refusals are `{\"error_type\", \"errors\"}`, except 401 for want of a token, \
    which has no body. Routes that mr-provisioner had keep its words and shapes.";

const ABOUT_MACHINES: &str = "What machines boot by, and what the site's DHCP server asks and reports. Refusals are \
    plain text.";

/// A document in the making.
struct Document {
    door: Door,
    requests: SchemaGenerator,
    answers: SchemaGenerator,
    /// Refusals by name: the same for all operations.
    refusals: Map<String, Value>,
}

impl Document {
    fn new(door: Door) -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            door,
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
            refusals: Map::new(),
        }
    }

    fn of(mut self, routes: &[Route]) -> Value {
        let mut paths = Map::new();
        for route in routes {
            let path = route.info.path.replace("*}", "}");
            let operations = paths.entry(path).or_insert_with(|| json!({}));
            operations[route.info.method.to_ascii_lowercase()] = self.operation(route);
        }
        let (title, about, schemes) = match self.door {
            Door::People => ("mrp", ABOUT_PEOPLE, people_schemes()),
            Door::Machines => ("mrp, the machines' door", ABOUT_MACHINES, machine_schemes()),
        };
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": title,
                "description": about,
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": tags(routes),
            "paths": paths,
            "components": {"schemas": self.schemas(), "responses": self.refusals, "securitySchemes": schemes},
        });
        bounded(&mut document);
        document
    }

    /// All named shapes. A struct that is asked for and answered has to look the same both ways.
    fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = self.answers.take_definitions(true);
        for (name, schema) in self.requests.take_definitions(true) {
            if let Some(other) = schemas.insert(name.clone(), schema.clone()) {
                assert_eq!(
                    other, schema,
                    "{name} differs as request and as answer; it has to be two structs"
                );
            }
        }
        schemas
    }

    fn operation(&mut self, route: &Route) -> Value {
        let mut operation = json!({
            "operationId": route.info.operation,
            "tags": [tag(route)],
            "summary": route.doc.summary,
            "description": description(route),
            "security": security(route.info.who),
        });
        let parameters = parameters(route);
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        if let Some(body) = route.doc.body {
            operation["requestBody"] = self.request_body(body);
        }
        let mut responses = Map::new();
        for answer in &route.doc.answers {
            let mut described = self.answer(answer);
            headers(route, &mut described);
            match responses.entry(answer.status.to_string()).or_insert_with(|| described.clone()) {
                // Another content type of the same status.
                Value::Object(known) if known.contains_key("content") => {
                    for (kind, content) in described["content"].as_object().into_iter().flatten() {
                        known["content"][kind] = content.clone();
                    }
                }
                _ => {}
            }
        }
        for status in refusals(route) {
            responses.insert(status.to_string(), self.refusal(status, route.info.who));
        }
        operation["responses"] = responses.into();
        operation
    }

    fn request_body(&mut self, body: Body) -> Value {
        let (required, content) = match body {
            Body::Json(schema) => (true, json!({"application/json": {"schema": schema(&mut self.requests)}})),
            Body::Multipart(schema) => (
                true,
                json!({"multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "q": schema(&mut self.requests),
                            "file": {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1},
                        },
                        "required": ["q", "file"],
                    },
                    "encoding": {"q": {"contentType": "application/json"}},
                }}),
            ),
            Body::Form(schema) => {
                let schema = schema(&mut self.requests);
                (
                    false,
                    json!({
                        "application/x-www-form-urlencoded": {"schema": schema},
                        "application/json": {"schema": schema},
                    }),
                )
            }
            Body::Bytes(kind) => (true, json!({kind: {}})),
        };
        json!({"required": required, "content": content})
    }

    fn answer(&mut self, answer: &Answers) -> Value {
        let mut response = json!({"description": reason(answer.status)});
        match answer.content {
            Content::None => {}
            Content::Json(schema) => {
                response["content"] = json!({"application/json": {"schema": schema(&mut self.answers)}});
            }
            Content::Stream(schema) => {
                let data = schema(&mut self.answers);
                response["content"] =
                    json!({"text/event-stream": {"schema": {"type": "string"}, "x-event-data": data}});
            }
            Content::Other(kind) => {
                response["content"] = json!({kind: {"schema": {"type": "string"}}});
            }
        }
        response
    }

    fn refusal(&mut self, status: u16, who: Who) -> Value {
        // Old clients expect the refusal of a token to be empty.
        let empty = status == 401 && who != Who::Anyone;
        let name = if empty { "NoToken".to_owned() } else { format!("Refused{status}") };
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        if self.refusals.contains_key(&name) {
            return reference;
        }
        let mut response = json!({"description": reason(status)});
        if !empty {
            response["content"] = match self.door {
                Door::People => {
                    json!({"application/json": {"schema": self.answers.subschema_for::<ErrorBody>()}})
                }
                Door::Machines => json!({"text/plain": {"schema": {"type": "string"}}}),
            };
        }
        self.refusals.insert(name, response);
        reference
    }
}

/// Operations are grouped by their noun.
fn tag(route: &Route) -> &'static str {
    match route.first_segment() {
        "" | "healthz" | "metrics" | "docs" | "swagger.yaml" | "openapi.json" => "server",
        segment => segment,
    }
}

/// The groups in the order of the table.
fn tags(routes: &[Route]) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for name in routes.iter().map(tag) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| json!({"name": name})).collect()
}

fn description(route: &Route) -> String {
    let who = match route.info.who {
        Who::Anyone => "For anyone.",
        Who::User => "For every user.",
        Who::Holder => "For holders of the machine and admins.",
        Who::Ticket => "For holders of the machine, admins, and whoever has a ticket.",
        Who::Owner => "For the owner and admins.",
        Who::Admin => "For admins.",
        Who::Dhcp => "For the site's DHCP server, known by its address or the shared token.",
    };
    [route.doc.note, who].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn security(who: Who) -> Value {
    match who {
        Who::Anyone => json!([]),
        Who::Dhcp => json!([{}, {"shared": []}]),
        Who::Ticket => json!([{"token": []}, {}]),
        _ => json!([{"token": []}]),
    }
}

fn people_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `POST /api/v1/token` or `POST /api/v1/session`. `Authorization: <token>` without `Bearer` is understood too.",
        },
    })
}

fn machine_schemes() -> Value {
    json!({"shared": {
        "type": "apiKey",
        "in": "header",
        "name": "X-MRP-Token",
        "description": "The token that server and DHCP server share; the addresses in `machine.dhcp_from` need none.",
    }})
}

/// The parameters of a route: those of its path, then the others.
fn parameters(route: &Route) -> Vec<Value> {
    let segments = route.info.path.split('/').filter_map(|segment| segment.strip_prefix('{'));
    let names = segments.map(|segment| segment.trim_end_matches('}').trim_end_matches('*'));
    let told = |name: &str| {
        route.doc.parameters.iter().find(|known| known.place == Place::Path && known.name == name).cloned()
    };
    let id = |name| Parameter { place: Place::Path, name, kind: Kind::Id, about: "", required: true };
    let path = names.map(|name| told(name).unwrap_or_else(|| id(name)));
    let others = route.doc.parameters.iter().filter(|known| known.place != Place::Path).cloned();
    path.chain(others).map(|known| parameter(&known)).collect()
}

fn parameter(known: &Parameter) -> Value {
    let place = match known.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut parameter = json!({
        "name": known.name, "in": place, "required": known.required, "schema": kind_schema(known.kind),
    });
    if !known.about.is_empty() {
        parameter["description"] = json!(known.about);
    }
    parameter
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Id => json!({"type": "integer", "format": "int64", "minimum": 1}),
        Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Text => json!({"type": "string"}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
        Kind::Flag => json!({"type": "string", "examples": ["true"]}),
    }
}

/// The statuses of refusals: those that the route tells, and those that follow from what it takes.
fn refusals(route: &Route) -> BTreeSet<u16> {
    let mut statuses: BTreeSet<u16> = route.doc.refuses.iter().copied().collect();
    match route.info.who {
        Who::Anyone => {}
        // A cookie on another site's page changes nothing.
        Who::User if route.info.method == "GET" => statuses.extend([401]),
        Who::Dhcp => statuses.extend([403]),
        Who::User | Who::Holder | Who::Ticket | Who::Owner | Who::Admin => statuses.extend([401, 403]),
    }
    let has_segments = route.info.path.contains('{');
    if has_segments {
        statuses.insert(404);
    }
    if route.doc.parameters.iter().any(|known| known.place != Place::Path && known.name != "If-Match") {
        statuses.insert(400);
    }
    if route.doc.body.is_some() {
        statuses.extend([400, 408, 413]);
    }
    if route.info.who != Who::Anyone || has_segments || route.doc.body.is_some() {
        statuses.insert(503);
    }
    statuses
}

/// The headers that an answer of a route has.
fn headers(route: &Route, answer: &mut Value) {
    let header = |about: &str, required: bool| json!({"description": about, "required": required, "schema": {"type": "string"}});
    if route.doc.tagged {
        answer["headers"]["ETag"] = header("The object's revision, for `If-Match`", true);
    }
    if route.doc.paged {
        answer["headers"]["Link"] = header("`<…>; rel=\"next\"`, if there is a next page", false);
    }
}

fn reason(status: u16) -> String {
    match status {
        401 => "No valid token, or a wrong password".into(),
        403 => "Not allowed".into(),
        404 => "Nothing of that id or name".into(),
        408 => "The body did not come in time".into(),
        409 => "Contradicts what is there".into(),
        412 => "Changed by somebody else since `If-Match` was read".into(),
        429 => "Too many failures; wait a minute".into(),
        502 => "The BMC failed".into(),
        503 => "The store cannot be reached; try again".into(),
        504 => "The BMC is silent".into(),
        507 => "No space left for images".into(),
        other => StatusCode::from_u16(other)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Refused")
            .to_owned(),
    }
}

/// Gives integers the bounds that their type has: other programs do not know Rust's formats.
fn bounded(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(bounded),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                bounded(value);
                if (key == "id" || key.ends_with("_id")) && value["format"] == "int64" {
                    value["minimum"] = json!(1);
                }
            }
            let (least, most) = match map.get("format").and_then(Value::as_str) {
                Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
                Some("uint64") => (json!(0), json!(u64::MAX)),
                Some("uint32") => (json!(0), json!(u32::MAX)),
                Some("uint16") => (json!(0), json!(u16::MAX)),
                Some("uint8") => (json!(0), json!(u8::MAX)),
                _ => return,
            };
            map.entry("minimum").or_insert(least);
            map.entry("maximum").or_insert(most);
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with('u')) {
                map.remove("format");
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_route() -> Vec<Route> {
        api::routes().into_iter().chain(machine::routes()).collect()
    }

    #[test]
    fn every_route_is_documented() {
        for Route { info, doc, .. } in every_route() {
            assert!(!doc.summary.is_empty(), "{info:?} lacks .about(…)");
            assert!(!doc.answers.is_empty(), "{info:?} lacks .answers…(…)");
            assert!(!doc.summary.ends_with('.'), "{info:?}: a summary is no sentence");
            let writes = matches!(info.method, "PUT" | "PATCH");
            assert!(!writes || doc.body.is_some(), "{info:?} lacks .body::<…>()");
        }
    }

    /// Calls a function with every schema of a document.
    fn schemas(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| schemas(value, visit)),
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("schema" | "items" | "additionalProperties", Value::Object(schema)) => visit(schema),
                        ("properties" | "schemas", Value::Object(named)) => {
                            named.values().filter_map(Value::as_object).for_each(&mut *visit);
                        }
                        ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => {
                            parts.iter().filter_map(Value::as_object).for_each(&mut *visit);
                        }
                        _ => {}
                    }
                    schemas(value, visit);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_schema_has_a_type_and_no_answer_is_a_default() {
        for document in [people_document(), machine_document()] {
            let mut seen = 0;
            schemas(&document, &mut |schema| {
                seen += 1;
                let typed =
                    ["type", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| schema.contains_key(*key));
                assert!(typed, "a schema without a type: {schema:?}");
            });
            assert!(seen > 50, "the schemas were found: {seen}");
            let operations = document["paths"]
                .as_object()
                .unwrap()
                .values()
                .flat_map(|path| path.as_object().unwrap().values());
            for operation in operations {
                assert!(operation["responses"].get("default").is_none(), "{operation}");
            }
        }
    }
}
