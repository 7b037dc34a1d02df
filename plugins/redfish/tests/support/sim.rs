//! A simulated Redfish service over HTTPS: machines with power and a boot override, sessions, tasks, ETags. What vendors do
//! differently is a [`Shape`]; what goes wrong is a [`Canned`] answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::machine::{Machine, Refused, merge, refused};

/// What is particular about a service.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The collection's path and the systems' last segments.
    pub(crate) collection: &'static str,
    pub(crate) systems: Vec<&'static str>,
    /// Systems on a page of the collection.
    pub(crate) page: usize,
    /// Merged over each system's resource (RFC 7396).
    pub(crate) system: Value,
    /// What the firmware has against a boot override.
    pub(crate) boot_rule: fn(&Value, &Machine) -> Result<(), Refused>,
    /// What it has against a reset type.
    pub(crate) reset_rule: fn(&str, &Machine) -> Result<(), Refused>,
    pub(crate) etags: Etags,
    /// Where changes go that are refused at the system itself.
    pub(crate) settings: Option<&'static str>,
    pub(crate) sessions: bool,
    pub(crate) tasks: Option<Tasks>,
    /// More resources.
    pub(crate) resources: Vec<(&'static str, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Etags {
    None,
    Strong,
    /// Weak ones are given, strong ones wanted.
    WeakForStrong,
    /// Twice in quotes in the header, right in the body.
    Misquoted,
}

/// Changes are accepted and done a few looks later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tasks {
    /// 202 so many times, then 204.
    Monitor(u32),
    /// The task itself: so many times running, then this state.
    Resource(u32, &'static str),
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            collection: "/redfish/v1/Systems",
            systems: vec!["1"],
            page: 50,
            system: json!({}),
            boot_rule: |_, _| Ok(()),
            reset_rule: |_, _| Ok(()),
            etags: Etags::Strong,
            settings: None,
            sessions: true,
            tasks: None,
            resources: Vec::new(),
        }
    }
}

/// An answer in the place of the service's own.
#[derive(Debug, Clone)]
pub(crate) enum Canned {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// None, ever.
    Silence,
}

impl Canned {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Canned::Answer { status, headers: Vec::new(), body: body.to_string().into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Canned::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /redfish/v1/`, for example.
    pub(crate) line: String,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Value,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) shape: Shape,
    pub(crate) password: String,
    pub(crate) machines: Vec<Machine>,
    pub(crate) tokens: Vec<String>,
    pub(crate) logins: u32,
    pub(crate) seen: Vec<Seen>,
    /// By request line; used up one by one.
    canned: HashMap<String, Vec<Canned>>,
    /// What is done when a task is looked at so many times more.
    task: Option<(u32, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Power(usize, String),
    Boot(usize, Value),
}

#[derive(Debug)]
pub(crate) struct Simulator {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
    /// Its certificate.
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    server: JoinHandle<()>,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Simulator {
    pub(crate) async fn start(shape: Shape) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let machines = shape.systems.iter().map(|_| Machine::default()).collect();
        let state = Arc::new(Mutex::new(State {
            shape,
            password: "admin".into(),
            machines,
            tokens: Vec::new(),
            logins: 0,
            seen: Vec::new(),
            canned: HashMap::new(),
            task: None,
        }));
        let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), state.clone()));
        Self { state, address, pem: cert.pem(), der: cert.der().to_vec(), server }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers requests of this line so, once each.
    pub(crate) fn can(&self, line: &str, answers: impl IntoIterator<Item = Canned>) {
        self.lock().canned.entry(line.to_owned()).or_default().extend(answers);
    }

    /// The lines of the requests that came.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().seen.iter().map(|seen| seen.line.clone()).collect()
    }

    /// The requests of a line.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        self.lock().seen.iter().filter(|seen| seen.line == line).cloned().collect()
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            // A client that trusts another certificate goes away here.
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| answer(state.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let line = format!("{} {}", head.method, head.uri);
    let answer = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen { line: line.clone(), if_match: header("if-match"), body });
        let canned = state.canned.get_mut(&line).filter(|canned| !canned.is_empty());
        match canned.map(|canned| canned.remove(0)) {
            Some(canned) => canned,
            None => {
                let (token, basic) = (header("x-auth-token"), header("authorization"));
                state.answer(head.method.as_str(), head.uri.path(), head.uri.query(), token, basic)
            }
        }
    };
    let Canned::Answer { status, headers, body } = answer else { return std::future::pending().await };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body)).unwrap())
}

impl State {
    fn answer(
        &mut self,
        method: &str,
        path: &str,
        query: Option<&str>,
        token: Option<String>,
        basic: Option<String>,
    ) -> Canned {
        if (method, path) == ("GET", "/redfish/v1/") {
            return Canned::json(200, &self.root());
        }
        if (method, path) == ("POST", "/redfish/v1/SessionService/Sessions") && self.shape.sessions {
            return self.log_in();
        }
        let account = base64::engine::general_purpose::STANDARD.encode(format!("admin:{}", self.password));
        let by_token = token.as_ref().is_some_and(|token| self.tokens.contains(token));
        if !by_token && basic != Some(format!("Basic {account}")) {
            return error(refused(401, "Base.1.8.NoValidSession", "There is no valid session."));
        }
        if let Some(number) = path.strip_prefix("/redfish/v1/SessionService/Sessions/") {
            self.tokens.retain(|token| token != &format!("token-{number}"));
            return Canned::json(204, &Value::Null);
        }
        if path == self.shape.collection {
            return Canned::json(200, &self.page(query));
        }
        if path == "/redfish/v1/TaskService/TaskMonitors/1" {
            return self.look_at_task();
        }
        let more = self.shape.resources.iter().find(|(known, _)| *known == path);
        if let Some((_, resource)) = more.filter(|_| method == "GET") {
            return Canned::json(200, resource);
        }
        let outcome = match self.shape.settings {
            Some(settings) if settings == path => self.at_settings(method),
            _ => self.at_system(method, path),
        };
        outcome.unwrap_or_else(error)
    }

    fn root(&self) -> Value {
        let mut root = json!({"@odata.id": "/redfish/v1/", "Systems": {"@odata.id": self.shape.collection}, "Links": {}});
        if self.shape.sessions {
            root["Links"]["Sessions"] = json!({"@odata.id": "/redfish/v1/SessionService/Sessions"});
        }
        root
    }

    fn log_in(&mut self) -> Canned {
        self.logins += 1;
        let account = &self.seen.last().unwrap().body;
        if account != &json!({"UserName": "admin", "Password": self.password}) {
            let words = format!("The password {} is wrong.", account["Password"]);
            return error(refused(401, "Base.1.8.ResourceAtUriUnauthorized", &words));
        }
        let number = self.logins;
        self.tokens.push(format!("token-{number}"));
        Canned::json(201, &json!({"Id": number.to_string()}))
            .with("X-Auth-Token", &format!("token-{number}"))
            .with("Location", &format!("/redfish/v1/SessionService/Sessions/{number}"))
    }

    fn page(&self, query: Option<&str>) -> Value {
        let first: usize =
            query.and_then(|query| query.strip_prefix("skip=")).map_or(0, |it| it.parse().unwrap());
        let of = |name: &&str| json!({"@odata.id": format!("{}/{name}", self.shape.collection)});
        let members: Vec<Value> =
            self.shape.systems.iter().skip(first).take(self.shape.page).map(of).collect();
        let mut page = json!({"Members": members, "Members@odata.count": self.shape.systems.len()});
        let next = first + self.shape.page;
        if next < self.shape.systems.len() {
            page["Members@odata.nextLink"] = json!(format!("{}?skip={next}", self.shape.collection));
        }
        page
    }

    fn resource(&self, index: usize) -> Value {
        let name = self.shape.systems[index];
        let mut system = self.machines[index].resource(&format!("{}/{name}", self.shape.collection), name);
        if self.shape.etags == Etags::Misquoted {
            system["@odata.etag"] = json!(format!("\"{}\"", self.machines[index].version));
        }
        merge(&mut system, &self.shape.system);
        system
    }

    fn etag(&self, index: usize) -> Option<String> {
        let version = self.machines[index].version;
        match self.shape.etags {
            Etags::None => None,
            Etags::Strong => Some(format!("\"{version}\"")),
            Etags::WeakForStrong => Some(format!("W/\"{version}\"")),
            Etags::Misquoted => Some(format!("\"\"{version}\"\"")),
        }
    }

    fn at_system(&mut self, method: &str, path: &str) -> Result<Canned, Refused> {
        let nothing = || refused(404, "Base.1.8.ResourceMissingAtURI", "There is nothing.");
        let rest = path.strip_prefix(self.shape.collection).and_then(|rest| rest.strip_prefix('/'));
        let (name, action) =
            rest.map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(nothing)?;
        let index = self.shape.systems.iter().position(|other| *other == name).ok_or_else(nothing)?;
        match (method, action) {
            ("GET", "") => {
                let answer = Canned::json(200, &self.resource(index));
                Ok(match self.etag(index) {
                    Some(etag) => answer.with("ETag", &etag),
                    None => answer,
                })
            }
            ("PATCH", "") if self.shape.settings.is_some() => {
                Err(refused(405, "Base.1.8.OperationNotAllowed", "Not here."))
            }
            ("PATCH", "") => self.set_boot(index),
            ("POST", "Actions/ComputerSystem.Reset") => {
                let body = &self.seen.last().unwrap().body;
                let reset_type = body["ResetType"].as_str().unwrap_or_default().to_owned();
                (self.shape.reset_rule)(&reset_type, &self.machines[index])?;
                Ok(self.change(Change::Power(index, reset_type)))
            }
            _ => Err(nothing()),
        }
    }

    fn at_settings(&mut self, method: &str) -> Result<Canned, Refused> {
        match method {
            "GET" => Ok(Canned::json(200, &json!({"Boot": self.resource(0)["Boot"]})).with("ETag", "\"1\"")),
            _ => self.set_boot(0),
        }
    }

    fn set_boot(&mut self, index: usize) -> Result<Canned, Refused> {
        let seen = self.seen.last().unwrap().clone();
        let etag = self.etag(index).map(|_| format!("\"{}\"", self.machines[index].version));
        if etag.is_some() && self.shape.settings.is_none() && seen.if_match != etag {
            return Err(refused(412, "Base.1.8.PreconditionFailed", "Somebody else has changed it."));
        }
        let boot = seen.body["Boot"].clone();
        for (property, value) in boot.as_object().into_iter().flatten() {
            let allowed = &self.resource(index)["Boot"][format!("{property}@Redfish.AllowableValues")];
            if allowed.as_array().is_some_and(|allowed| !allowed.contains(value)) {
                let words = format!("The value {value} of {property} is not in the list.");
                return Err(refused(400, "Base.1.8.PropertyValueNotInList", &words));
            }
        }
        (self.shape.boot_rule)(&boot, &self.machines[index])?;
        Ok(self.change(Change::Boot(index, boot)))
    }

    fn change(&mut self, change: Change) -> Canned {
        match self.shape.tasks {
            None => {
                self.carry_out(change);
                Canned::json(204, &Value::Null)
            }
            Some(Tasks::Monitor(looks) | Tasks::Resource(looks, _)) => {
                self.task = Some((looks, change));
                let monitor = "/redfish/v1/TaskService/TaskMonitors/1";
                Canned::json(202, &json!({"TaskState": "New"}))
                    .with("Location", monitor)
                    .with("Retry-After", "0")
            }
        }
    }

    fn look_at_task(&mut self) -> Canned {
        let Some((looks, change)) = self.task.take() else {
            return error(refused(404, "Base.1.8.ResourceMissingAtURI", "There is no task."));
        };
        let running = looks > 0;
        if running {
            self.task = Some((looks - 1, change.clone()));
        }
        let style = self.shape.tasks.unwrap();
        match style {
            Tasks::Monitor(_) if running => Canned::json(202, &json!({})).with("Retry-After", "0"),
            Tasks::Resource(..) if running => {
                Canned::json(200, &json!({"TaskState": "Running"})).with("Retry-After", "0")
            }
            Tasks::Resource(_, state) if state != "Completed" => {
                let messages = json!([{"MessageId": "Acme.1.0.Fuse", "Message": "The fuse is blown."}]);
                Canned::json(200, &json!({"TaskState": state, "Messages": messages}))
            }
            _ => {
                self.carry_out(change);
                match style {
                    Tasks::Monitor(_) => Canned::json(204, &Value::Null),
                    Tasks::Resource(_, state) => Canned::json(200, &json!({"TaskState": state})),
                }
            }
        }
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Power(index, reset_type) => self.machines[index].reset(&reset_type),
            Change::Boot(index, boot) => self.machines[index].set_boot(&boot),
        }
    }
}

fn error(Refused { status, body }: Refused) -> Canned {
    Canned::json(status, &body)
}
