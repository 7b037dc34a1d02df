//! Tickets that open a machine's console.

use std::time::Duration;

use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::user::UserId;

/// How long a ticket may wait to be redeemed.
pub const TICKET_LIFE: Duration = Duration::from_secs(5 * 60);

/// The right of a user to open a machine's console, once and soon. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTicket {
    /// SHA-256 of the token, in hexadecimal.
    pub hash: String,
    /// The machine.
    pub machine: MachineId,
    /// Who may open its console.
    pub user: UserId,
    /// It is void from then on.
    pub expires: Timestamp,
}
