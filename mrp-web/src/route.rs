//! A route: what the table of routes holds of it, for the router and for the OpenAPI document.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::call::Call;
use crate::error::Answer;
use crate::page::{CURSOR, MAX};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone, without a token.
    Anyone,
    /// Every user.
    User,
    /// Whoever holds the machine, and admins.
    Holder,
    /// Whoever holds the machine, admins, and whoever has a ticket for its console.
    Ticket,
    /// Whoever owns the object, and admins.
    Owner,
    /// Admins.
    Admin,
    /// The site's DHCP server and its programs: by address or shared token.
    Dhcp,
}

/// A route, for documents and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// `GET`, ….
    pub method: &'static str,
    /// The path; `{name}` is one segment, `{name*}` the rest.
    pub path: &'static str,
    /// Its name in metrics and documents.
    pub operation: &'static str,
    /// Who may use it.
    pub who: Who,
    /// It changes nothing, whatever its method.
    pub looks: bool,
}

/// What a handler is behind its route.
pub(crate) type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A route with its handler and its documentation.
///
/// A new route is one entry of the `routes()` of its noun:
///
/// ```text
/// Route::new("PUT", "/api/v1/thing/{id}", "set_thing", Who::Owner, set)
///     .about("Changes a thing")            // a few words; with `.note("…")` for more
///     .query("dry", Kind::Flag, "…")       // each parameter of the query; `.needs_query` where it has to be there
///     .body::<api::ThingChange>()          // or `.multipart`, `.form`, `.bytes`
///     .answers::<api::Thing>(200)          // or `.answers_nothing(204)`, `.answers_text(200, "text/plain")`, `.streams`
///     .tagged()                            // answers carry `ETag`; `.conditional()` where `If-Match` is heeded; `.paged()` for lists
///     .refuses(&[409])                     // beyond those that follow from the above
/// ```
///
/// Bodies are structs of `mrp_core::api` that derive `JsonSchema`; what a request's field is checked for beyond its type
/// is written there as `#[schemars(length(…), range(…), regex(…))]`. Refusals that follow from the rest are added by
/// themselves: 401 and 403 by `Who`, 400 by query and body, 404 by ids in the path, 408 and 413 by the body, 503 always.
/// `docs/openapi.json` is renewed with `MRP_RENEW=1 cargo test -p mrp-web openapi`.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) info: RouteInfo,
    pub(crate) handler: Handler,
    pub(crate) doc: Doc,
    /// `HEAD` is answered as `GET` without its body.
    pub(crate) head: bool,
}

/// What a route takes and answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doc {
    pub(crate) summary: &'static str,
    pub(crate) note: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answers>,
    pub(crate) refuses: Vec<u16>,
    /// Answers carry the object's revision as `ETag`.
    pub(crate) tagged: bool,
    /// Answers lead to the next page by `Link`.
    pub(crate) paged: bool,
}

/// Where a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// An id.
    Id,
    /// A number in these bounds.
    Number(u64, u64),
    /// Text.
    Text,
    /// A time of RFC 3339.
    Time,
    /// Text of this form.
    Pattern(&'static str),
    /// `true` in any case; all else is false.
    Flag,
}

/// A parameter of the path, the query or the headers.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
}

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// JSON, whatever its content type says.
    Json(SchemaOf),
    /// `multipart/form-data` with JSON in the part `q` and the part `file`.
    Multipart(SchemaOf),
    /// A form or JSON, which may be absent.
    Form(SchemaOf),
    /// Bytes of this content type.
    Bytes(&'static str),
}

/// One way to succeed.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) status: u16,
    pub(crate) content: Content,
}

/// What an answer carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// Nothing.
    None,
    /// JSON.
    Json(SchemaOf),
    /// Events whose data is JSON of this shape.
    Stream(SchemaOf),
    /// Text or bytes of a content type.
    Other(&'static str),
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Route {
    /// A route without documentation.
    pub(crate) fn new<F, A>(
        method: &'static str,
        path: &'static str,
        operation: &'static str,
        who: Who,
        handler: F,
    ) -> Self
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let info = RouteInfo { method, path, operation, who, looks: matches!(method, "GET" | "HEAD") };
        Self {
            info,
            handler: Arc::new(move |call| Box::pin(handler(call))),
            doc: Doc::default(),
            head: method == "GET",
        }
    }

    /// It changes nothing: tokens that may only look may ask it, though its method is not `GET`.
    pub(crate) fn looks(mut self) -> Self {
        self.info.looks = true;
        self
    }

    /// Asking has an effect, so that `HEAD`, which promises none, is refused.
    pub(crate) fn without_head(mut self) -> Self {
        self.head = false;
        self
    }

    /// What it does, in a few words.
    pub(crate) fn about(mut self, summary: &'static str) -> Self {
        self.doc.summary = summary;
        self
    }

    /// What else there is to know.
    pub(crate) fn note(mut self, note: &'static str) -> Self {
        self.doc.note = note;
        self
    }

    /// A parameter of the query that may be absent.
    pub(crate) fn query(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.parameter(Parameter { place: Place::Query, name, kind, about, required: false })
    }

    /// A parameter of the query that has to be there.
    pub(crate) fn needs_query(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.parameter(Parameter { place: Place::Query, name, kind, about, required: true })
    }

    /// A header that may be absent.
    pub(crate) fn header(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.parameter(Parameter { place: Place::Header, name, kind, about, required: false })
    }

    /// A header that has to be there.
    pub(crate) fn needs_header(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.parameter(Parameter { place: Place::Header, name, kind, about, required: true })
    }

    /// A segment of the path that is no id.
    pub(crate) fn segment(self, name: &'static str, kind: Kind, about: &'static str) -> Self {
        self.parameter(Parameter { place: Place::Path, name, kind, about, required: true })
    }

    fn parameter(mut self, parameter: Parameter) -> Self {
        self.doc.parameters.push(parameter);
        self
    }

    /// Takes JSON.
    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.doc.body = Some(Body::Json(schema_of::<T>));
        self
    }

    /// Takes a file, described by JSON in the part `q`.
    pub(crate) fn multipart<T: JsonSchema>(mut self) -> Self {
        self.doc.body = Some(Body::Multipart(schema_of::<T>));
        self
    }

    /// Takes a form or JSON, or nothing.
    pub(crate) fn form<T: JsonSchema>(mut self) -> Self {
        self.doc.body = Some(Body::Form(schema_of::<T>));
        self
    }

    /// Takes bytes.
    pub(crate) fn bytes(mut self, content_type: &'static str) -> Self {
        self.doc.body = Some(Body::Bytes(content_type));
        self
    }

    /// Succeeds with JSON.
    pub(crate) fn answers<T: JsonSchema>(self, status: u16) -> Self {
        self.succeeds(status, Content::Json(schema_of::<T>))
    }

    /// Succeeds without a body.
    pub(crate) fn answers_nothing(self, status: u16) -> Self {
        self.succeeds(status, Content::None)
    }

    /// Succeeds with text or bytes of a content type.
    pub(crate) fn answers_text(self, status: u16, content_type: &'static str) -> Self {
        self.succeeds(status, Content::Other(content_type))
    }

    /// Succeeds with a stream of events.
    pub(crate) fn streams<T: JsonSchema>(self) -> Self {
        self.succeeds(200, Content::Stream(schema_of::<T>))
    }

    fn succeeds(mut self, status: u16, content: Content) -> Self {
        self.doc.answers.push(Answers { status, content });
        self
    }

    /// Refusals beyond those that follow from the rest.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.doc.refuses.extend_from_slice(statuses);
        self
    }

    /// Answers show one object at a revision: `reply::tagged`.
    pub(crate) fn tagged(mut self) -> Self {
        self.doc.tagged = true;
        self
    }

    /// Changes an object, if asked only as it was seen: `.expecting(call.expected())`.
    pub(crate) fn conditional(self) -> Self {
        const ABOUT: &str = "The object's `ETag`: nothing is changed (412) if it has moved since";
        self.header("If-Match", Kind::Text, ABOUT).refuses(&[412])
    }

    /// Answers with a list in pages: `Pages::of(&call)`.
    pub(crate) fn paged(self) -> Self {
        self.paged_by(CURSOR)
    }

    /// The same, where the list is not sorted by id.
    pub(crate) fn paged_by(mut self, cursor: &'static str) -> Self {
        self.doc.paged = true;
        let limit = "At most so many; `Link` leads to the next page";
        self.query("limit", Kind::Number(1, MAX.into()), limit).query(
            "cursor",
            Kind::Pattern(cursor),
            "Where the page begins, as `Link` of the page before has it",
        )
    }

    /// The segment that routes are grouped by.
    pub(crate) fn first_segment(&self) -> &'static str {
        let path = self.info.path.strip_prefix("/api/v1").unwrap_or(self.info.path);
        path.trim_start_matches('/').split('/').next().unwrap_or("")
    }
}
