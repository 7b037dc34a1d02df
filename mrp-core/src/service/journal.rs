//! Writing down a change: its events, and its entry in the audit log with what is different after it.

use serde_json::{Map, Value, json};

use crate::actor::Actor;
use crate::claim::Claim;
use crate::error::Error;
use crate::event::{EventKind, Journal, NewAudit, NewEvent};
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::run::RunId;
use crate::service::Provisioner;
use crate::token::TokenRef;

/// The nouns that entries of the audit log are about.
pub const OBJECTS: [&str; 14] = [
    "arch",
    "bmc",
    "database",
    "discovered",
    "image",
    "interface",
    "key",
    "machine",
    "network",
    "preseed",
    "session",
    "subarch",
    "token",
    "user",
];

impl Provisioner {
    /// Begins the journal of a change. Whoever may only look is refused here, so that no change can forget to ask.
    pub(crate) fn draft(&self, actor: &Actor) -> Result<Draft, Error> {
        actor.require_write()?;
        Ok(Draft { token: actor.token.clone(), ..self.draft_by(&actor.name) })
    }

    /// The same for what a machine or mrp itself does.
    pub(crate) fn draft_by(&self, actor: &str) -> Draft {
        Draft { at: self.now(), actor: actor.to_owned(), token: None, journal: Journal::default() }
    }
}

/// A journal in the making: one actor, one time.
pub(crate) struct Draft {
    at: Timestamp,
    actor: String,
    token: Option<TokenRef>,
    journal: Journal,
}

impl Draft {
    pub(crate) fn event(
        mut self,
        machine: Option<MachineId>,
        run: Option<RunId>,
        kind: EventKind,
        text: impl Into<String>,
        data: Value,
    ) -> Self {
        let (at, actor) = (self.at, self.actor.clone());
        self.journal.events.push(NewEvent { at, machine, run, kind, actor, text: text.into(), data });
        self
    }

    /// An entry of the audit log. `changes` is an object: fields with their value, or with the one before and the one
    /// after. Where it is empty nothing was changed, and nothing is written.
    pub(crate) fn audit(mut self, action: &str, object: &str, name: &str, changes: Value) -> Self {
        if changes.as_object().is_some_and(Map::is_empty) {
            return self;
        }
        debug_assert!(OBJECTS.contains(&object), "{object} is no noun of the audit log");
        let (action, object, name) = (action.to_owned(), object.to_owned(), name.to_owned());
        self.journal.audit.push(NewAudit {
            at: self.at,
            actor: self.actor.clone(),
            token: self.token.clone(),
            action,
            object,
            name,
            changes,
        });
        self
    }

    pub(crate) fn done(self) -> Journal {
        self.journal
    }

    /// The same for a change that is made under a claim.
    pub(crate) fn done_under(self, claim: &Claim) -> Journal {
        Journal { under: Some(claim.name.clone()), ..self.journal }
    }
}

/// What is different between two descriptions of an object: `field: [before, after]`.
pub(crate) fn between(before: &Value, after: &Value) -> Value {
    let fields = after.as_object().into_iter().flatten();
    let different = fields.filter(|(field, value)| before[field.as_str()] != **value);
    different.map(|(field, value)| (field.clone(), json!([before[field.as_str()], value]))).collect()
}

/// The same with a field that says which object it is, where its name is not enough; nothing where nothing is different.
pub(crate) fn of(changes: Value, field: &str, value: Value) -> Value {
    match changes {
        Value::Object(mut fields) if !fields.is_empty() => {
            fields.insert(field.to_owned(), value);
            Value::Object(fields)
        }
        nothing => nothing,
    }
}

/// What there is to say of an object that was made or removed: its description without what it does not have.
pub(crate) fn said(description: Value) -> Value {
    let Value::Object(fields) = description else { return description };
    let empty = |value: &Value| value.is_null() || value == "" || value == false;
    let said: Map<_, _> = fields.into_iter().filter(|(_, value)| !empty(value)).collect();
    if said.is_empty() { Value::Null } else { Value::Object(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_different_is_said() {
        let before = json!({"name": "a", "net": null, "public": false, "keys": [1]});
        let after = json!({"name": "a", "net": "lab", "public": true, "keys": [1]});
        assert_eq!(between(&before, &after), json!({"net": [null, "lab"], "public": [false, true]}));
        assert_eq!(between(&before, &before), json!({}));
        assert_eq!(said(after), json!({"name": "a", "net": "lab", "public": true, "keys": [1]}));
        assert_eq!(said(json!({"net": null, "text": "", "admin": false})), Value::Null);
    }
}
