//! What every [`Store`] has to pass, each case on an empty database of its own.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{Failure, Report, Verdict, ensure};
use crate::answer_file::{AnswerFile, AnswerFileId, AnswerFileKind, AnswerFileVersion};
use crate::arch::{Arch, Subarch};
use crate::bmc::Privilege;
use crate::bmc_entry::BmcEntry;
use crate::event::{EventKind, Journal, NewAudit, NewEvent};
use crate::id::{Id, Timestamp};
use crate::image::{Digest, Image, ImageKind, ImageUse, MachineUse, SubarchUse};
use crate::mac::MacAddr;
use crate::machine::{Addressing, Assignment, Interface, Machine, MachineId};
use crate::network::Network;
use crate::run::{Run, RunFile, RunLimits, RunPlan};
use crate::store::{AuditFilter, EventFilter, RunFilter, Store, StoreError, StoreResult};
use crate::token::{Scope, Token, TokenKind, TokenRef};
use crate::upload::{PendingUpload, UploadKey};
use crate::user::User;

mod archs;
mod bmcs;
mod claims;
mod dhcp;
mod events;
mod images;
mod imports;
mod key;
mod lists;
mod logins;
mod machines;
mod networks;
mod notes;
mod query;
mod retention;
mod runs;
mod servers;
mod uploads;
mod users;
mod whole;

/// One database of the implementation under test.
#[async_trait]
pub trait TestDatabase: Send + Sync {
    /// The store on it.
    fn store(&self) -> &dyn Store;

    /// Closes the store and opens the same database again. False where nothing outlives the store.
    async fn reopen(&mut self) -> Result<bool, Failure>;
}

type CaseFn = for<'a> fn(&'a mut dyn TestDatabase) -> BoxFuture<'a, Result<(), Failure>>;

/// One case of the suite.
pub struct Case {
    /// What holds, in a few words.
    pub name: &'static str,
    run: CaseFn,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn case(name: &'static str, run: CaseFn) -> Case {
    Case { name, run }
}

/// The suite.
pub const STORE: &[Case] = &[
    case("users are stored, changed and removed", |db| Box::pin(users::life(db.store()))),
    case("user names are unique", |db| Box::pin(users::names(db.store()))),
    case("a user who holds a machine stays; what others own goes on", |db| {
        Box::pin(users::removal(db.store()))
    }),
    case("tokens are found by their hash and end", |db| Box::pin(users::tokens(db.store()))),
    case("a new password ends sessions, and tokens where that is asked", |db| {
        Box::pin(users::passwords(db.store()))
    }),
    case("logins are counted by subject and forgotten", |db| Box::pin(logins::life(db.store()))),
    case("of 20 concurrent logins so many begin as may", |db| Box::pin(logins::concurrent(db.store()))),
    case("an image takes another's place, everywhere or nowhere", |db| {
        Box::pin(images::replacement(db.store()))
    }),
    case("uploads go on, become images and are forgotten", |db| Box::pin(uploads::life(db.store()))),
    case("content is removed that no image has and nobody puts there", |db| {
        Box::pin(uploads::contents(db.store()))
    }),
    case("one of 20 concurrent steps of an upload is noted", |db| Box::pin(uploads::steps(db.store()))),
    case("a value of the site is the first one that came", |db| Box::pin(uploads::site(db.store()))),
    case("architectures and subarchitectures", |db| Box::pin(archs::life(db.store()))),
    case("architectures that are used stay", |db| Box::pin(archs::references(db.store()))),
    case("BMCs", |db| Box::pin(bmcs::life(db.store()))),
    case("networks do not overlap", |db| Box::pin(networks::life(db.store()))),
    case("leases are renewed", |db| Box::pin(networks::leases(db.store()))),
    case("discovered clients keep what was known", |db| Box::pin(networks::discovered(db.store()))),
    case("machines", |db| Box::pin(machines::life(db.store()))),
    case("machines refer to what is there", |db| Box::pin(machines::references(db.store()))),
    case("interfaces", |db| Box::pin(machines::interfaces(db.store()))),
    case("assignments", |db| Box::pin(machines::assignments(db.store()))),
    case("an assignment ends with its machine's change, or not at all", |db| {
        Box::pin(machines::end_assignment(db.store()))
    }),
    case("the first free machine that matches is claimed", |db| Box::pin(claims::order(db.store()))),
    case("one of 20 concurrent claims gets a machine", |db| Box::pin(claims::one_of_many(db.store()))),
    case("1,000 concurrent claims of 100 machines get 100", |db| Box::pin(claims::thousand(db.store()))),
    case("assignments whose time is over are found", |db| Box::pin(claims::overdue(db.store()))),
    case("machines are listed by page and counted", |db| Box::pin(lists::pages(db.store()))),
    case("who refers to something is named", |db| Box::pin(lists::referring(db.store()))),
    case("conditions are true of the machines that they are true of", |db| {
        Box::pin(query::random(db.store()))
    }),
    case("conditions on texts with signs of other languages", |db| Box::pin(query::signs(db.store()))),
    case("what DHCP has to know, and a mark of it", |db| Box::pin(dhcp::table(db.store()))),
    case("interfaces with networks and leases, and DHCP clients", |db| Box::pin(lists::clients(db.store()))),
    case("a discovered client becomes a machine, or nothing happens", |db| {
        Box::pin(lists::discovered_machine(db.store()))
    }),
    case("tags", |db| Box::pin(notes::tags(db.store()))),
    case("what was learned of BMCs", |db| Box::pin(notes::sightings(db.store()))),
    case("a console ticket is redeemed once", |db| Box::pin(notes::tickets(db.store()))),
    case("a machine goes with all that is its own", |db| Box::pin(machines::removal(db.store()))),
    case("images", |db| Box::pin(images::life(db.store()))),
    case("the newest public boot loader is found", |db| Box::pin(images::boot_loaders(db.store()))),
    case("answer files", |db| Box::pin(images::answer_files(db.store()))),
    case("runs", |db| Box::pin(runs::life(db.store()))),
    case("runs are listed newest first", |db| Box::pin(runs::lists(db.store()))),
    case("a machine has one active run", |db| Box::pin(runs::one_active(db.store()))),
    case("one of 20 concurrent runs starts", |db| Box::pin(runs::concurrent(db.store()))),
    case("a run changes with its machine, or not at all", |db| Box::pin(runs::with_machine(db.store()))),
    case("an import writes under the ids of its source, all or nothing", |db| {
        Box::pin(imports::rows(db.store()))
    }),
    case("an import changes what has not moved", |db| Box::pin(imports::changes(db.store()))),
    case("events are listed by filter, order and limit", |db| Box::pin(events::lists(db.store()))),
    case("the audit log is append-only and paged", |db| Box::pin(events::audit(db.store()))),
    case("the audit log is filtered", |db| Box::pin(events::audit_filters(db.store()))),
    case("old events go by age and number", |db| Box::pin(retention::events(db.store()))),
    case("old audit entries go by age and number", |db| Box::pin(retention::audit(db.store()))),
    case("old runs go with their events, active ones stay", |db| Box::pin(retention::runs(db.store()))),
    case("expired tokens go", |db| Box::pin(retention::tokens(db.store()))),
    case("unused images are found", |db| Box::pin(retention::images(db.store()))),
    case("what there is is counted", |db| Box::pin(retention::holdings(db.store()))),
    case("the key changes with all secrets, or not at all", |db| Box::pin(key::life(db.store()))),
    case("a refused write writes no event", |db| Box::pin(events::atomic(db.store()))),
    case("ids are never used again", |db| Box::pin(whole::ids(db.store()))),
    case("texts and numbers come back as they were", |db| Box::pin(whole::values(db.store()))),
    case("concurrent changes of a row: one wins, the others are stale", |db| {
        Box::pin(whole::concurrent_changes(db.store()))
    }),
    case("readers see whole changes while others write", |db| Box::pin(whole::readers(db.store()))),
    case("claims are taken, renewed, taken over and released", |db| Box::pin(servers::life(db.store()))),
    case("one of 20 servers gets a claim", |db| Box::pin(servers::concurrent(db.store()))),
    case("what was stored is there after closing and opening", |db| Box::pin(whole::reopened(db))),
];

/// Runs all cases, each on a database that `make` makes.
pub async fn run<D, F>(make: impl Fn() -> F) -> Report
where
    D: TestDatabase,
    F: Future<Output = Result<D, Failure>>,
{
    let mut report = Report::default();
    for case in STORE {
        let verdict = match make().await {
            Ok(mut database) => match (case.run)(&mut database).await {
                Ok(()) => Verdict::Passed,
                Err(failure) => Verdict::Failed(failure),
            },
            Err(failure) => Verdict::Failed(Failure(format!("no database: {failure}"))),
        };
        report.0.push((case.name, verdict));
    }
    report
}

type Outcome = Result<(), Failure>;

const AT: Timestamp = Timestamp(1_700_000_000_123);

/// Fails unless both are equal.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    ensure(found == wanted, || format!("{what}: {wanted:?} was expected, {found:?} came"))
}

fn stale<T: std::fmt::Debug>(what: &str, result: StoreResult<T>) -> Outcome {
    ensure(matches!(result, Err(StoreError::Stale)), || {
        format!("{what}: Stale was expected, {result:?} came")
    })
}

fn gone<T: std::fmt::Debug>(what: &str, result: StoreResult<T>) -> Outcome {
    let right = matches!(result, Err(StoreError::NotFound));
    ensure(right, || format!("{what}: NotFound was expected, {result:?} came"))
}

/// Fails unless the refusal is a conflict in words.
fn conflict<T: std::fmt::Debug>(what: &str, result: StoreResult<T>) -> Outcome {
    let right = matches!(&result, Err(StoreError::Conflict { what }) if !what.is_empty());
    ensure(right, || format!("{what}: Conflict was expected, {result:?} came"))
}

/// Fails unless the refusal says by what the row is used.
fn in_use<T: std::fmt::Debug>(what: &str, result: StoreResult<T>) -> Outcome {
    let right = matches!(&result, Err(StoreError::InUse { what }) if !what.is_empty());
    ensure(right, || format!("{what}: InUse was expected, {result:?} came"))
}

/// Fails unless the list has these ids in this order.
fn ids<T, N: std::fmt::Debug>(what: &str, list: &[N], id: impl Fn(&N) -> Id<T>, wanted: &[Id<T>]) -> Outcome {
    same(what, &list.iter().map(id).collect::<Vec<_>>(), &wanted.to_vec())
}

/// Fails unless so many events and audit entries have been written.
async fn written(store: &dyn Store, events: usize, audit: usize) -> Outcome {
    same("events", &store.events(&EventFilter::default()).await?.len(), &events)?;
    same("audit entries", &store.audit(Id::NEW, 10_000).await?.len(), &audit)
}

fn quiet() -> Journal {
    Journal::default()
}

fn event(machine: Option<MachineId>, text: &str) -> NewEvent {
    NewEvent {
        at: AT,
        machine,
        run: None,
        kind: EventKind::State,
        actor: "alice".into(),
        text: text.into(),
        data: json!({"number": u64::MAX}),
    }
}

/// A journal of one event without a machine and one audit entry.
fn journal(text: &str) -> Journal {
    let (actor, action, object) = ("alice".into(), "update".into(), "thing".into());
    let token = Some(TokenRef { id: Id::new(7), description: "for CI".into() });
    let (name, changes) = (text.into(), json!({"a": [1, 2]}));
    let entry = NewAudit { at: AT, actor, token, action, object, name, changes };
    Journal { events: vec![event(None, text)], audit: vec![entry], ..Journal::default() }
}

fn user(name: &str) -> User {
    User {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        email: format!("{name}@example.org"),
        admin: false,
        password_hash: "$argon2id$x".into(),
        ssh_keys: "ssh-ed25519 A\nssh-ed25519 B\n".into(),
    }
}

fn token(of: &User, hash: &str, kind: TokenKind) -> Token {
    Token {
        id: Id::NEW,
        user: of.id,
        hash: hash.into(),
        kind,
        scope: Scope::Use,
        description: "for CI".into(),
        created: AT,
        expires: None,
        last_used: None,
    }
}

fn arch(name: &str) -> Arch {
    Arch { id: Id::NEW, revision: 0, name: name.into(), description: "64 bit".into() }
}

fn subarch(of: &Arch, name: &str) -> Subarch {
    Subarch {
        id: Id::NEW,
        revision: 0,
        arch: of.id,
        name: name.into(),
        description: String::new(),
        bootloader: None,
        efi_boot: true,
    }
}

fn bmc(name: &str, address: &str) -> BmcEntry {
    let options = json!({"quirks": ["a"], "port": u64::MAX}).as_object().cloned().unwrap_or_default();
    BmcEntry {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        address: address.into(),
        driver: "plain".into(),
        username: "admin".into(),
        sealed_password: vec![0, 255, 1, 0],
        privilege: Privilege::Operator,
        options,
    }
}

fn network(name: &str, subnet: &str) -> Result<Network, Failure> {
    let subnet = subnet.parse().map_err(|_| Failure(format!("{subnet} is no subnet")))?;
    Ok(Network {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        subnet,
        static_net: None,
        reserved_net: Some(subnet),
        server_url: None,
        trust_path_mac: true,
    })
}

fn image(name: &str, arch: &Arch, owner: Option<&User>, kind: ImageKind) -> Image {
    Image {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        file_name: "file".into(),
        kind,
        arch: arch.id,
        owner: owner.map(|user| user.id),
        description: None,
        known_good: false,
        public: true,
        digest: Digest::from_bytes([7; 32]),
        size: 5,
        uploaded: AT,
    }
}

fn answer_file(name: &str, owner: Option<&User>) -> AnswerFile {
    AnswerFile {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        kind: AnswerFileKind::Preseed,
        description: Some("d".into()),
        content: Some("d-i x\n".into()),
        owner: owner.map(|user| user.id),
        known_good: true,
        public: false,
        saved: AT,
        saved_by: "alice".into(),
    }
}

/// A network and two machines, of which the first has a boot loader, `a/grub.1`.
struct Netbooted {
    lab: Network,
    arm: Arch,
    efi: Subarch,
    one: Machine,
    two: Machine,
}

impl Netbooted {
    async fn insert(store: &dyn Store) -> Result<Self, Failure> {
        let lab = store.insert_network(&network("lab", "10.0.0.0/24")?, &quiet()).await?;
        let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
        let grub =
            store.insert_image(&image("a/grub.1", &arm, None, ImageKind::BootLoader), &quiet()).await?;
        let efi = Subarch { bootloader: Some(grub.id), ..subarch(&arm, "efi") };
        let efi = store.insert_subarch(&efi, &quiet()).await?;
        let one = Machine { subarch: Some(efi.id), ..Machine::new("m1", arm.id) };
        let one = store.insert_machine(&one, &quiet()).await?;
        let two = store.insert_machine(&Machine::new("m2", arm.id), &quiet()).await?;
        Ok(Self { lab, arm, efi, one, two })
    }
}

fn interface(machine: &Machine, mac: u8) -> Interface {
    Interface {
        id: Id::NEW,
        revision: 0,
        machine: machine.id,
        mac: MacAddr([2, 0, 0, 0, 0, mac]),
        identifier: Some("eth0".into()),
        network: None,
        addressing: Addressing::Dynamic,
    }
}

fn assignment(machine: &Machine, user: &User) -> Assignment {
    let (machine, user, reason) = (machine.id, user.id, "kernel work".into());
    Assignment { id: Id::NEW, revision: 0, machine, user, reason, since: AT, until: None }
}

fn provision(machine: &Machine, user: Option<&User>) -> Run {
    let kernel = RunFile { name: "alice/linux.1".into(), size: u64::MAX };
    let plan =
        RunPlan { manual: false, has_bmc: true, kernel, initrd: None, answer_file: Some("debian".into()) };
    Run::new(machine.id, user.map(|user| user.id), "alice", plan, &RunLimits::default(), AT)
}

/// A machine on an architecture of its own.
async fn stored_machine(store: &dyn Store, name: &str) -> Result<Machine, Failure> {
    let arch = store.insert_arch(&arch(&format!("arch of {name}")), &quiet()).await?;
    Ok(store.insert_machine(&Machine::new(name, arch.id), &quiet()).await?)
}
