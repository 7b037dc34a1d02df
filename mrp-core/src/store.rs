//! What the service asks of a database: the sum of one trait a noun.
//!
//! One method is one transaction. A writing method takes the row as it is to be, with the revision that the decision
//! was made on, and the [`Journal`] to write in the same transaction; it answers [`StoreError::Stale`] when the row has
//! moved, and then has changed nothing. Rows are inserted with [`Id::NEW`](crate::id::Id::NEW) and come back with their
//! id and revision 1. Lists are sorted by id unless said otherwise.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::answer_file::{AnswerFile, AnswerFileId, AnswerFileVersion};
use crate::arch::{Arch, ArchId, Subarch, SubarchId};
use crate::bmc_entry::{BmcEntry, BmcId, BmcNode, BmcSightings};
use crate::claim::Claim;
use crate::event::{AuditEntry, AuditId, Event, EventId, EventKind, Journal};
use crate::health::BmcHealth;
use crate::id::Timestamp;
use crate::image::{Digest, Image, ImageId, ImageUse};
use crate::import::{ImportBatch, Imported};
use crate::lease::{Discovered, Lease};
use crate::mac::MacAddr;
use crate::machine::{Machine, MachineId};
use crate::network::{Network, NetworkAddress, NetworkId};
use crate::run::{Run, RunId};
use crate::token::{Token, TokenId};
use crate::upload::{PendingUpload, UploadKey};
use crate::user::{User, UserId};

mod key;
mod logins;
mod retention;

pub use key::{KeyStore, Resealed};
pub use logins::LoginStore;
pub use retention::RetentionStore;

mod machine;

pub use machine::{BootFacts, DhcpMark, Held, MachineCount, MachineFilter, MachineReference, MachineStore};

/// Why a store did not do it. A failed write has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The row is gone.
    #[error("no such row")]
    NotFound,
    /// The row has moved since it was read: read again and decide again.
    #[error("the row was changed by somebody else")]
    Stale,
    /// A unique value is taken.
    #[error("{what} is taken")]
    Conflict {
        /// The noun and its field: `machine name`, `MAC address`.
        what: String,
    },
    /// Other rows refer to it.
    #[error("in use by {what}")]
    InUse {
        /// The noun that refers to it.
        what: String,
    },
    /// The database is not reachable: try again.
    #[error("the database is not reachable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the database failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a store's methods answer.
pub type StoreResult<T> = Result<T, StoreError>;

/// What removes a content, for [`ImageStore::remove_content`].
pub type Removal<'a> = BoxFuture<'a, ()>;

/// What a removal is wanted of: a row that has one of these revisions, else it is `Stale`; `None` for whatever is there.
pub type Seen<'a> = Option<&'a [i64]>;

/// A part of a list that is sorted by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// Only what comes after this id; 0 for the beginning.
    pub after: i64,
    /// At most so many; 0 for all.
    pub limit: u32,
}

/// Users.
#[async_trait]
pub trait UserStore {
    /// All users.
    async fn users(&self) -> StoreResult<Vec<User>>;
    /// By id.
    async fn user(&self, id: UserId) -> StoreResult<Option<User>>;
    /// By name.
    async fn user_by_name(&self, name: &str) -> StoreResult<Option<User>>;
    /// Stores a new user. `Conflict` on the name.
    async fn insert_user(&self, user: &User, journal: &Journal) -> StoreResult<User>;
    /// Changes a user; a changed password hash ends the user's sessions in the same transaction.
    async fn update_user(&self, user: &User, journal: &Journal) -> StoreResult<User>;
    /// The same, and ends all of the user's tokens.
    async fn update_user_revoking(&self, user: &User, journal: &Journal) -> StoreResult<User>;
    /// Puts a newer kind of hash of the same password in the place of `old`: no change of the user's, so that neither
    /// revision nor sessions move. Does nothing where the hash is another one meanwhile.
    async fn rehash_password(&self, id: UserId, old: &str, new: &str) -> StoreResult<()>;
    /// Removes a user with tokens; images, answer files and runs stay without owner. `InUse` by assignments.
    async fn delete_user(&self, user: &User, journal: &Journal) -> StoreResult<()>;
}

/// Tokens.
#[async_trait]
pub trait TokenStore {
    /// A user's tokens.
    async fn tokens(&self, user: UserId) -> StoreResult<Vec<Token>>;
    /// Everybody's tokens.
    async fn all_tokens(&self) -> StoreResult<Vec<Token>>;
    /// By id.
    async fn token(&self, id: TokenId) -> StoreResult<Option<Token>>;
    /// By the token's SHA-256, with its user.
    async fn token_by_hash(&self, hash: &str) -> StoreResult<Option<(Token, User)>>;
    /// Stores a new token.
    async fn insert_token(&self, token: &Token, journal: &Journal) -> StoreResult<Token>;
    /// Notes a use.
    async fn touch_token(&self, id: TokenId, at: Timestamp) -> StoreResult<()>;
    /// Removes a token. `NotFound` if it is gone.
    async fn delete_token(&self, id: TokenId, journal: &Journal) -> StoreResult<()>;
}

/// Architectures and subarchitectures.
#[async_trait]
pub trait ArchStore {
    /// All architectures.
    async fn archs(&self) -> StoreResult<Vec<Arch>>;
    /// An architecture by name.
    async fn arch_by_name(&self, name: &str) -> StoreResult<Option<Arch>>;
    /// A subarchitecture by id.
    async fn subarch(&self, id: SubarchId) -> StoreResult<Option<Subarch>>;
    /// A subarchitecture by its name within its architecture.
    async fn subarch_by_name(&self, arch: ArchId, name: &str) -> StoreResult<Option<Subarch>>;
    /// All subarchitectures.
    async fn subarchs(&self) -> StoreResult<Vec<Subarch>>;
    /// Stores a new architecture. `Conflict` on the name.
    async fn insert_arch(&self, arch: &Arch, journal: &Journal) -> StoreResult<Arch>;
    /// Changes an architecture.
    async fn update_arch(&self, arch: &Arch, journal: &Journal) -> StoreResult<Arch>;
    /// Removes an architecture. `InUse` by subarchitectures, machines or images.
    async fn delete_arch(&self, id: ArchId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;
    /// Stores a new subarchitecture. `Conflict` on the name within the architecture.
    async fn insert_subarch(&self, subarch: &Subarch, journal: &Journal) -> StoreResult<Subarch>;
    /// Changes a subarchitecture.
    async fn update_subarch(&self, subarch: &Subarch, journal: &Journal) -> StoreResult<Subarch>;
    /// Removes a subarchitecture. `InUse` by machines.
    async fn delete_subarch(&self, id: SubarchId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;
}

/// BMCs.
#[async_trait]
pub trait BmcStore {
    /// All BMCs.
    async fn bmcs(&self) -> StoreResult<Vec<BmcEntry>>;
    /// By id.
    async fn bmc(&self, id: BmcId) -> StoreResult<Option<BmcEntry>>;
    /// Stores a new BMC. `Conflict` on name and address.
    async fn insert_bmc(&self, bmc: &BmcEntry, journal: &Journal) -> StoreResult<BmcEntry>;
    /// Changes a BMC.
    async fn update_bmc(&self, bmc: &BmcEntry, journal: &Journal) -> StoreResult<BmcEntry>;
    /// Removes a BMC. `InUse` by machines.
    async fn delete_bmc(&self, id: BmcId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;
    /// The machines behind BMCs, with their addresses there, sorted by BMC.
    async fn bmc_nodes(&self) -> StoreResult<Vec<BmcNode>>;
    /// How BMCs have been of late, by BMC; none for those that nothing was asked of.
    async fn bmc_health(&self) -> StoreResult<Vec<(BmcId, BmcHealth)>>;
    /// The same of one BMC.
    async fn bmc_health_of(&self, id: BmcId) -> StoreResult<Option<BmcHealth>>;
    /// Keeps what was learned of BMCs and of the power behind them. What was removed meanwhile is left out.
    async fn put_bmc_sightings(&self, sightings: &BmcSightings) -> StoreResult<()>;
}

/// Networks, leases and discovered clients.
#[async_trait]
pub trait NetworkStore {
    /// All networks.
    async fn networks(&self) -> StoreResult<Vec<Network>>;
    /// By id.
    async fn network(&self, id: NetworkId) -> StoreResult<Option<Network>>;
    /// Addresses that interfaces of a network, or of all, have configured, with their machines, in numerical order.
    async fn configured_addresses(&self, network: Option<NetworkId>) -> StoreResult<Vec<NetworkAddress>>;
    /// Stores a new network. `Conflict` on name and subnet; overlap with another is checked in the same transaction.
    async fn insert_network(&self, network: &Network, journal: &Journal) -> StoreResult<Network>;
    /// Changes a network, with the same checks. `InUse` by addresses that would be outside, in words.
    async fn update_network(&self, network: &Network, journal: &Journal) -> StoreResult<Network>;
    /// Removes a network. `InUse` by interfaces.
    async fn delete_network(&self, id: NetworkId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;
    /// The lease of a MAC address.
    async fn lease(&self, mac: MacAddr) -> StoreResult<Option<Lease>>;
    /// The newest lease of an address.
    async fn lease_by_address(&self, address: std::net::Ipv4Addr) -> StoreResult<Option<Lease>>;
    /// Leases of these MAC addresses.
    async fn leases(&self, macs: &[MacAddr]) -> StoreResult<Vec<Lease>>;
    /// Stores or renews a lease.
    async fn put_lease(&self, lease: &Lease, journal: &Journal) -> StoreResult<()>;
    /// Forgets the lease of a MAC address, if there is one.
    async fn delete_lease(&self, mac: MacAddr) -> StoreResult<()>;
    /// Discovered clients, newest first.
    async fn discovered(&self) -> StoreResult<Vec<Discovered>>;
    /// A discovered client.
    async fn discovered_client(&self, mac: MacAddr) -> StoreResult<Option<Discovered>>;
    /// Stores or renews a discovered client; values that are `None` keep what was known.
    async fn put_discovered(&self, client: &Discovered) -> StoreResult<()>;
    /// Forgets a discovered client, if there is one.
    async fn delete_discovered(&self, mac: MacAddr, journal: &Journal) -> StoreResult<()>;
}

/// Images and answer files.
#[async_trait]
pub trait ImageStore {
    /// All images.
    async fn images(&self) -> StoreResult<Vec<Image>>;
    /// By id.
    async fn image(&self, id: ImageId) -> StoreResult<Option<Image>>;
    /// By its name `<owner>/<file>.<8 hex>`.
    async fn image_by_name(&self, name: &str) -> StoreResult<Option<Image>>;
    /// The newest public boot loader of that file name that an admin owns: what a user uploads is not every machine's.
    async fn boot_loader_by_file_name(&self, file_name: &str) -> StoreResult<Option<Image>>;
    /// The images that have this content.
    async fn images_with_digest(&self, digest: &Digest) -> StoreResult<Vec<Image>>;
    /// What uses an image.
    async fn image_use(&self, image: ImageId) -> StoreResult<ImageUse>;
    /// Puts `new` in the place of `old` in these machines and subarchitectures, all or none. `Stale` if one of them has
    /// moved, `NotFound` if one or the new image is gone.
    async fn replace_image(
        &self,
        old: ImageId,
        new: ImageId,
        users: &ImageUse,
        journal: &Journal,
    ) -> StoreResult<()>;
    /// Stores a new image. `Conflict` on the name.
    async fn insert_image(&self, image: &Image, journal: &Journal) -> StoreResult<Image>;
    /// Changes an image.
    async fn update_image(&self, image: &Image, journal: &Journal) -> StoreResult<Image>;
    /// Removes an image. `InUse` by machines or subarchitectures.
    async fn delete_image(&self, id: ImageId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;
    /// Does the removal of a content while no other writer can begin; true if it was done. It is not where an image has
    /// the content, or a [claim of contents](Claim::of_contents) is in force; those that have lapsed end.
    async fn remove_content(
        &self,
        digest: &Digest,
        now: Timestamp,
        removal: Removal<'_>,
    ) -> StoreResult<bool>;

    /// All answer files.
    async fn answer_files(&self) -> StoreResult<Vec<AnswerFile>>;
    /// By id.
    async fn answer_file(&self, id: AnswerFileId) -> StoreResult<Option<AnswerFile>>;
    /// Stores a new answer file and its first version. `Conflict` on the name.
    async fn insert_answer_file(
        &self,
        answer_file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile>;
    /// Changes an answer file; a changed content becomes a new version.
    async fn update_answer_file(
        &self,
        answer_file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile>;
    /// Removes an answer file with its versions. `InUse` by machines.
    async fn delete_answer_file(
        &self,
        id: AnswerFileId,
        seen: Seen<'_>,
        journal: &Journal,
    ) -> StoreResult<()>;
    /// An answer file's versions, newest first.
    async fn answer_file_versions(&self, id: AnswerFileId) -> StoreResult<Vec<AnswerFileVersion>>;
    /// One version with its content.
    async fn answer_file_version(
        &self,
        id: AnswerFileId,
        number: i64,
    ) -> StoreResult<Option<(AnswerFileVersion, Option<String>)>>;
}

/// Uploads that may go on later, and what the servers of a database have in common.
#[async_trait]
pub trait UploadStore {
    /// A user's uploads, or all, the oldest first.
    async fn uploads(&self, user: Option<UserId>) -> StoreResult<Vec<PendingUpload>>;
    /// By key.
    async fn upload(&self, key: &UploadKey) -> StoreResult<Option<PendingUpload>>;
    /// Stores a new upload. `NotFound` if its user is gone.
    async fn insert_upload(&self, upload: &PendingUpload) -> StoreResult<()>;
    /// Notes that an upload went on from one byte to another. `Stale` if it is not there, or has become an image.
    async fn advance_upload(&self, key: &UploadKey, from: u64, to: u64, at: Timestamp) -> StoreResult<()>;
    /// Stores the image that an upload became. `Stale` if it has become one already, `NotFound` if it is gone.
    async fn finish_upload(&self, key: &UploadKey, image: &Image, journal: &Journal) -> StoreResult<Image>;
    /// Forgets an upload, if there is one; its image stays.
    async fn delete_upload(&self, key: &UploadKey) -> StoreResult<()>;
    /// A value that is the same for all servers of the database: the one given, unless there is one already.
    async fn site_value(&self, name: &str, value: &str) -> StoreResult<String>;
}

/// Which runs a list is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of this machine.
    pub machine: Option<MachineId>,
    /// Only those under way.
    pub active: bool,
    /// Only those before this one.
    pub before: Option<RunId>,
    /// At most so many, newest first; 0 for all.
    pub limit: u32,
}

/// Runs.
#[async_trait]
pub trait RunStore {
    /// Runs that match, newest first.
    async fn runs(&self, filter: &RunFilter) -> StoreResult<Vec<Run>>;
    /// By id.
    async fn run(&self, id: RunId) -> StoreResult<Option<Run>>;
    /// The active run of a machine.
    async fn active_run(&self, machine: MachineId) -> StoreResult<Option<Run>>;
    /// Stores a new run and changes its machine (whose `netboot` becomes `ByRun` of the new run). `Conflict` if the
    /// machine has an active run. Events without a run get this one.
    async fn insert_run(
        &self,
        run: &Run,
        machine: &Machine,
        journal: &Journal,
    ) -> StoreResult<(Run, Machine)>;
    /// Changes a run and, where given, its machine.
    async fn update_run(&self, run: &Run, machine: Option<&Machine>, journal: &Journal) -> StoreResult<Run>;
}

/// Which events a list is to have, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those of this machine.
    pub machine: Option<MachineId>,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those of this kind.
    pub kind: Option<EventKind>,
    /// Only those after this one.
    pub after: Option<EventId>,
    /// Only the last so many, still in the order of their ids. 0 for no limit.
    pub last: u32,
    /// At most so many. 0 for no limit.
    pub limit: u32,
}

/// Which audit entries a list is to have, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those after this one.
    pub after: Option<AuditId>,
    /// Only what this user, or `mrp`, did.
    pub actor: Option<String>,
    /// Only what was done to this noun.
    pub object: Option<String>,
    /// Only what was done to objects of this name.
    pub name: Option<String>,
    /// Only those of this time or later.
    pub since: Option<Timestamp>,
    /// Only the last so many, still in the order of their ids. 0 for no limit.
    pub last: u32,
    /// At most so many. 0 for no limit.
    pub limit: u32,
}

/// Events and audit.
#[async_trait]
pub trait EventStore {
    /// Events that match.
    async fn events(&self, filter: &EventFilter) -> StoreResult<Vec<Event>>;
    /// The newest event's id, 0 if there is none.
    async fn last_event(&self) -> StoreResult<EventId>;
    /// Writes events and audit entries that belong to no other change.
    async fn record(&self, journal: &Journal) -> StoreResult<()>;
    /// Waits until another process may have written events or audit entries; answers at once where one may have been
    /// missed. Where no other process writes, it waits for ever. One caller at a time.
    async fn heard(&self) -> StoreResult<()> {
        std::future::pending().await
    }
    /// Audit entries that match.
    async fn audit_log(&self, filter: &AuditFilter) -> StoreResult<Vec<AuditEntry>>;
    /// The newest audit entry's id, 0 if there is none.
    async fn last_audit(&self) -> StoreResult<AuditId>;
    /// Audit entries after one, at most `limit`.
    async fn audit(&self, after: AuditId, limit: u32) -> StoreResult<Vec<AuditEntry>> {
        self.audit_log(&AuditFilter { after: Some(after), limit, ..AuditFilter::default() }).await
    }
}

/// Claims of servers that share a database.
#[async_trait]
pub trait ClaimStore {
    /// Takes or renews a claim unless another holder has one that has not lapsed; answers the claim that is in force.
    async fn claim(&self, wanted: &Claim, now: Timestamp) -> StoreResult<Claim>;
    /// Lets all claims of a holder last until a time.
    async fn renew_claims(&self, holder: &str, until: Timestamp) -> StoreResult<()>;
    /// Ends one claim, if this holder has it.
    async fn release_claim(&self, name: &str, holder: &str) -> StoreResult<()>;
    /// Ends all claims of a holder.
    async fn release_claims(&self, holder: &str) -> StoreResult<()>;
    /// A claim by name, also one that has lapsed.
    async fn claim_named(&self, name: &str) -> StoreResult<Option<Claim>>;
    /// Claims whose name begins so, also lapsed ones, sorted by name.
    async fn claims(&self, prefix: &str) -> StoreResult<Vec<Claim>>;
}

/// Imports.
#[async_trait]
pub trait ImportStore {
    /// Which rows earlier imports have brought.
    async fn imported(&self) -> StoreResult<Vec<Imported>>;
    /// Writes rows under their own ids, in their order, with their marks, all in one transaction; the next new id is
    /// above all of them. `Stale` or `NotFound` if a row that is to be changed has moved or is gone, `Conflict` if an id or
    /// a unique value is taken.
    async fn import(&self, batch: &ImportBatch, journal: &Journal) -> StoreResult<()>;
}

/// A whole store.
pub trait Store:
    UserStore
    + TokenStore
    + LoginStore
    + ArchStore
    + BmcStore
    + NetworkStore
    + MachineStore
    + ImageStore
    + UploadStore
    + RunStore
    + EventStore
    + RetentionStore
    + KeyStore
    + ClaimStore
    + ImportStore
    + std::fmt::Debug
    + Send
    + Sync
{
}

impl<T> Store for T where
    T: UserStore
        + TokenStore
        + LoginStore
        + ArchStore
        + BmcStore
        + NetworkStore
        + MachineStore
        + ImageStore
        + UploadStore
        + RunStore
        + EventStore
        + RetentionStore
        + KeyStore
        + ClaimStore
        + ImportStore
        + std::fmt::Debug
        + Send
        + Sync
{
}
