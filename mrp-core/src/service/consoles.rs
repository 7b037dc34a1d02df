//! Who may open a machine's console: a ticket is given to a holder, and redeemed once by whatever serves the console.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::actor::{Actor, forbidden};
use crate::console::{ConsoleTicket, TICKET_LIFE};
use crate::error::Error;
use crate::machine::{Machine, MachineId};
use crate::secret::{Secret, random_bytes};
use crate::service::Provisioner;

/// Tickets for consoles.
#[derive(Debug)]
pub struct Consoles<'a>(&'a Provisioner);

impl Provisioner {
    /// Tickets for consoles.
    pub fn consoles(&self) -> Consoles<'_> {
        Consoles(self)
    }
}

impl Consoles<'_> {
    /// A ticket for a machine's console: 48 hexadecimal digits that are good once, within five minutes, for whoever has
    /// them. Holders and admins.
    pub async fn issue_ticket(&self, actor: &Actor, machine: MachineId) -> Result<Secret, Error> {
        let machine = self.0.held_machine(actor, machine).await?;
        let user = actor.user.ok_or_else(forbidden)?;
        if machine.bmc.is_none() {
            return Err(Error::Refused("console requires a BMC".into()));
        }
        let token = Secret::new(hex::encode(random_bytes::<24>()));
        let now = self.0.now();
        let hash = hash_token(token.expose());
        let ticket = ConsoleTicket { hash, machine: machine.id, user, expires: now + TICKET_LIFE };
        let journal = self.0.draft(actor)?.audit("console", "machine", &machine.name, Value::Null).done();
        self.0.store().insert_console_ticket(&ticket, now, &journal).await?;
        Ok(token)
    }

    /// The machine and the user of a ticket, which is void from then on. One that is unknown, expired or used, and one
    /// whose user holds the machine no longer, opens nothing.
    pub async fn redeem_ticket(&self, token: &str) -> Result<(Machine, Actor), Error> {
        let refused = || Error::Unauthenticated("this console ticket is unknown, expired or used".into());
        let store = self.0.store();
        let ticket =
            store.take_console_ticket(&hash_token(token), self.0.now()).await?.ok_or_else(refused)?;
        let user = store.user(ticket.user).await?.ok_or_else(refused)?;
        let actor = Actor::from(&user);
        let machine = self.0.held_machine(&actor, ticket.machine).await;
        match machine {
            Ok(machine) => Ok((machine, actor)),
            Err(Error::NotFound { .. } | Error::Forbidden(_)) => Err(refused()),
            Err(error) => Err(error),
        }
    }
}

fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
