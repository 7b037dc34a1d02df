//! What a simulated service answers: machines with power and a boot override, sessions, tasks, ETags. What vendors do
//! differently is a [`Shape`].

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::machine::{Machine, Refused, merge, refused};
use super::sim::{Canned, Seen};

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
    /// What goes before the paths of `Location`.
    pub(crate) origin: &'static str,
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
            origin: "",
            tasks: None,
            resources: Vec::new(),
        }
    }
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
    pub(super) canned: HashMap<String, Vec<Canned>>,
    /// What is done when a task is looked at so many times more.
    task: Option<(u32, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Power(usize, String),
    Boot(usize, Value),
}

impl State {
    pub(super) fn new(shape: Shape) -> Self {
        let machines = shape.systems.iter().map(|_| Machine::default()).collect();
        Self {
            shape,
            password: "admin".into(),
            machines,
            tokens: Vec::new(),
            logins: 0,
            seen: Vec::new(),
            canned: HashMap::new(),
            task: None,
        }
    }

    pub(super) fn answer(
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
            .with("Location", &format!("{}/redfish/v1/SessionService/Sessions/{number}", self.shape.origin))
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
                let monitor = format!("{}/redfish/v1/TaskService/TaskMonitors/1", self.shape.origin);
                Canned::json(202, &json!({"TaskState": "New"}))
                    .with("Location", &monitor)
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
