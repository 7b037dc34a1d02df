//! Imports: ids of another program, one transaction, marks.

use super::*;
use crate::import::{ImportBatch, ImportRow, Imported, Noun};
use crate::lease::{Discovered, Lease};

fn mark(noun: Noun, source: i64, id: i64, revision: i64) -> Imported {
    Imported { noun, source, id, revision }
}

/// A lab under ids of its own, every noun once.
fn lab() -> Result<Vec<ImportRow>, Failure> {
    let user = User { id: Id::new(101), ..user("alice") };
    let token = Token {
        id: Id::new(7),
        user: user.id,
        hash: "ab".repeat(32),
        kind: TokenKind::Api,
        scope: crate::token::Scope::Use,
        description: "ci".into(),
        created: AT,
        expires: None,
        last_used: None,
    };
    let arch = Arch { id: Id::new(3), ..arch("arm64") };
    let image = Image { id: Id::new(11), ..image("alice/linux.1", &arch, Some(&user), ImageKind::Kernel) };
    let subarch = Subarch {
        id: Id::new(5),
        revision: 0,
        arch: arch.id,
        name: "efi".into(),
        description: String::new(),
        bootloader: Some(image.id),
        efi_boot: true,
    };
    let file = AnswerFile { id: Id::new(13), ..answer_file("debian", Some(&user)) };
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    let machine = Machine {
        id: Id::new(40),
        subarch: Some(subarch.id),
        kernel: Some(image.id),
        answer_file: Some(file.id),
        netboot: crate::machine::Netboot::ByHand,
        ..Machine::new("m40", arch.id)
    };
    let interface = Interface {
        id: Id::new(50),
        revision: 0,
        machine: machine.id,
        mac,
        identifier: None,
        network: None,
        addressing: Addressing::Dynamic,
    };
    let assignment = Assignment {
        id: Id::new(60),
        revision: 0,
        machine: machine.id,
        user: user.id,
        reason: "tests".into(),
        since: AT,
        until: Some(AT),
    };
    let ipv4 = std::net::Ipv4Addr::new(10, 0, 0, 9);
    Ok(vec![
        ImportRow::User(user),
        ImportRow::Token(token),
        ImportRow::Arch(arch),
        ImportRow::Image(image),
        ImportRow::Subarch(subarch),
        ImportRow::AnswerFile(file),
        ImportRow::Bmc(BmcEntry { id: Id::new(20), ..bmc("bmc-20", "10.1.0.20") }),
        ImportRow::Network(Network { id: Id::new(30), ..network("lab", "10.0.0.0/24")? }),
        ImportRow::Machine(machine),
        ImportRow::Interface(interface),
        ImportRow::Assignment(assignment),
        ImportRow::Lease(Lease { mac, ipv4, last_seen: AT }),
        ImportRow::Discovered(Discovered {
            mac: MacAddr([2, 0, 0, 0, 0, 10]),
            hostname: Some("new".into()),
            client_arch: Some(11),
            vendor_class: None,
            last_seen: AT,
        }),
    ])
}

pub(super) async fn rows(store: &dyn Store) -> Outcome {
    let marks = vec![mark(Noun::User, 101, 101, 1), mark(Noun::Machine, 40, 40, 1)];
    let mut clash = lab()?;
    clash.push(ImportRow::User(User { id: Id::new(102), ..user("alice") }));
    let batch = ImportBatch { rows: clash, marks: marks.clone() };
    conflict("a name twice", store.import(&batch, &journal("half")).await)?;
    same("users after a refused import", &store.users().await?, &Vec::new())?;
    same("marks after a refused import", &store.imported().await?, &Vec::new())?;
    let batch = ImportBatch { rows: lab()?, marks: marks.clone() };
    store.import(&batch, &journal("whole")).await?;
    let machine = store.machine(Id::new(40)).await?.ok_or_else(|| Failure("no machine 40".into()))?;
    let as_imported = batch.rows.iter().any(|row| {
        matches!(row, ImportRow::Machine(wanted) if *wanted == Machine { revision: 0, ..machine.clone() })
    });
    ensure(as_imported, || format!("another machine came: {machine:?}"))?;
    same("its revision", &machine.revision, &1)?;
    same("interfaces", &store.interfaces(machine.id).await?.len(), &1)?;
    same("assignments", &store.assignments(machine.id).await?.len(), &1)?;
    let token = store.token_by_hash(&"ab".repeat(32)).await?;
    same("the token's user", &token.map(|(_, user)| user.name), &Some("alice".to_owned()))?;
    same("leases", &store.leases(&[MacAddr([2, 0, 0, 0, 0, 9])]).await?.len(), &1)?;
    same("discovered clients", &store.discovered().await?.len(), &1)?;
    same("networks", &store.networks().await?.len(), &1)?;
    same("BMCs", &store.bmcs().await?.len(), &1)?;
    let mut sorted = marks;
    sorted.sort_by_key(|mark| mark.noun.table());
    same("marks", &store.imported().await?, &sorted)?;
    same("events", &store.events(&EventFilter::default()).await?.len(), &1)?;
    let next = store.insert_user(&user("bob"), &quiet()).await?;
    same("the next user", &next.id, &Id::new(102))?;
    let next = store.insert_machine(&Machine::new("m41", machine.arch), &quiet()).await?;
    same("the next machine", &next.id, &Id::new(41))?;
    let taken = ImportBatch {
        rows: vec![ImportRow::User(User { id: Id::new(102), ..user("carol") })],
        marks: Vec::new(),
    };
    conflict("an id that is taken", store.import(&taken, &quiet()).await)
}

pub(super) async fn changes(store: &dyn Store) -> Outcome {
    store.import(&ImportBatch { rows: lab()?, marks: Vec::new() }, &quiet()).await?;
    let file = store.answer_file(Id::new(13)).await?.ok_or_else(|| Failure("no answer file".into()))?;
    let renamed = User { id: Id::new(101), revision: 1, email: "new@example.org".into(), ..user("alice") };
    let batch = ImportBatch {
        rows: vec![
            ImportRow::User(renamed.clone()),
            ImportRow::AnswerFile(AnswerFile { content: Some("new".into()), ..file }),
        ],
        marks: vec![mark(Noun::User, 101, 101, 2)],
    };
    store.import(&batch, &quiet()).await?;
    let user = store.user(Id::new(101)).await?.ok_or_else(|| Failure("no user".into()))?;
    same("the changed user", &user, &User { revision: 2, ..renamed })?;
    let file = store.answer_file(Id::new(13)).await?.ok_or_else(|| Failure("no answer file".into()))?;
    same("the changed content", &(file.content, file.revision), &(Some("new".to_owned()), 2))?;
    stale("a row that moved", store.import(&batch, &journal("late")).await)?;
    same("events", &store.events(&EventFilter::default()).await?.len(), &0)?;
    let again = ImportBatch { rows: Vec::new(), marks: vec![mark(Noun::User, 101, 101, 9)] };
    store.import(&again, &quiet()).await?;
    same("a mark that is replaced", &store.imported().await?, &again.marks)
}
