//! Imports: rows under ids that another program gave them, all in one transaction.
//!
//! Each noun is taken apart whole, so that a field that is new has to say here what an import does with it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mrp_core::answer_file::AnswerFile;
use mrp_core::arch::{Arch, Subarch};
use mrp_core::bmc_entry::BmcEntry;
use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::image::Image;
use mrp_core::import::{ImportBatch, ImportRow, Imported, Noun};
use mrp_core::machine::{Assignment, Interface, Machine};
use mrp_core::network::Network;
use mrp_core::store::{ImportStore, StoreError, StoreResult};
use mrp_core::token::Token;
use mrp_core::user::User;

use super::answer_files::keep_version;
use super::builder::QueryBuilder;
use super::query::{Query, Value};
use super::rows::{damaged, get, to_json, to_word};
use super::{Row, SqlStore, Tx, all, commit, failed, machines, networks, sql, unreferred};

/// A row as its table has it.
struct Record<'a> {
    table: &'static str,
    id: i64,
    /// 0 for a new row; `None` where the noun has none.
    revision: Option<i64>,
    columns: Vec<(&'static str, Value<'a>)>,
}

fn imported(row: &Row) -> StoreResult<Imported> {
    let noun = Noun::of_table(&get::<String>(row, "noun")?).ok_or_else(|| damaged("noun"))?;
    let (source, id) = (get(row, "source_id")?, get(row, "id")?);
    Ok(Imported { noun, source, id, revision: get(row, "revision")? })
}

#[async_trait]
impl ImportStore for SqlStore {
    async fn imported(&self) -> StoreResult<Vec<Imported>> {
        all(sql("SELECT * FROM imported ORDER BY noun, source_id").fetch_all(&self.read).await, imported)
    }

    async fn import(&self, batch: &ImportBatch, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let mut tables = BTreeSet::new();
        for row in &batch.rows {
            match row {
                ImportRow::Lease(lease) => networks::write_lease(&mut tx, lease).await?,
                ImportRow::Discovered(client) => networks::write_discovered(&mut tx, client).await?,
                ImportRow::AnswerFile(file) => {
                    let kept = same_content(&mut tx, file).await?;
                    tables.insert(write(&mut tx, answer_file(file)?).await?);
                    if !kept {
                        keep_version(&mut tx, file).await?;
                    }
                }
                row => {
                    tables.insert(write(&mut tx, record(row)?).await?);
                }
            }
            if let ImportRow::Interface(interface) = row {
                let query = sql("DELETE FROM discovered WHERE mac = $1").bind(interface.mac.to_string());
                query.execute(&mut tx).await.map_err(failed)?;
            }
        }
        for mark in &batch.marks {
            let query = sql(
                "INSERT INTO imported (noun, source_id, id, revision) VALUES ($1, $2, $3, $4) ON CONFLICT (noun, source_id) DO UPDATE SET id = excluded.id, revision = excluded.revision",
            );
            let query = query.bind(mark.noun.table()).bind(mark.source).bind(mark.id).bind(mark.revision);
            query.execute(&mut tx).await.map_err(failed)?;
        }
        for table in tables {
            count_above(&mut tx, table).await?;
        }
        commit(tx, journal).await
    }
}

/// Inserts or changes a row.
async fn write(tx: &mut Tx, record: Record<'_>) -> StoreResult<&'static str> {
    let Record { table, id, revision, columns } = record;
    let is_new = revision.is_none_or(|revision| revision == 0);
    let mut query;
    if is_new {
        query = QueryBuilder::new(&format!("INSERT INTO {table} (id"));
        query.push(if revision.is_some() { ", revision" } else { "" });
        for (column, _) in &columns {
            query.push(", ").push(column);
        }
        query.push(") VALUES (").push_bind(id).push(if revision.is_some() { ", 1, " } else { ", " });
        query.push_list(columns.into_iter().map(|(_, value)| value)).push(")");
    } else {
        query = QueryBuilder::new(&format!("UPDATE {table} SET revision = revision + 1"));
        for (column, value) in columns {
            query.push(", ").push(column).push(" = ").push_bind(value);
        }
        query.push(" WHERE id = ").push_bind(id).push(" AND revision = ").push_bind(revision);
    }
    match query.build().execute(&mut *tx).await.map_err(unreferred)? {
        1 => Ok(table),
        _ => Err(StoreError::Stale),
    }
}

/// Lets the next new id be above all: SQLite does so by itself.
async fn count_above(tx: &mut Tx, table: &'static str) -> StoreResult<()> {
    if !tx.is_on_postgres() {
        return Ok(());
    }
    let text = format!(
        "SELECT setval('{table}_id_seq', GREATEST((SELECT MAX(id) FROM {table}), (SELECT last_value FROM {table}_id_seq)))"
    );
    Query::made(text, Vec::new()).execute(tx).await.map_err(failed).map(drop)
}

/// True if the answer file is there with this content.
async fn same_content(tx: &mut Tx, file: &AnswerFile) -> StoreResult<bool> {
    let query = sql("SELECT id FROM answer_files WHERE id = $1 AND content IS NOT DISTINCT FROM $2");
    let query = query.bind(file.id.get()).bind(&file.content);
    Ok(query.fetch_optional(tx).await.map_err(failed)?.is_some())
}

fn record(row: &ImportRow) -> StoreResult<Record<'_>> {
    match row {
        ImportRow::User(row) => Ok(user(row)),
        ImportRow::Token(row) => token(row),
        ImportRow::Arch(row) => Ok(arch(row)),
        ImportRow::Image(row) => image(row),
        ImportRow::Subarch(row) => Ok(subarch(row)),
        ImportRow::AnswerFile(row) => answer_file(row),
        ImportRow::Bmc(row) => bmc(row),
        ImportRow::Network(row) => Ok(network(row)),
        ImportRow::Machine(row) => machine(row),
        ImportRow::Interface(row) => Ok(interface(row)),
        ImportRow::Assignment(row) => Ok(assignment(row)),
        ImportRow::Lease(_) | ImportRow::Discovered(_) => {
            Err(StoreError::Internal("leases and discovered clients have no id".into()))
        }
    }
}

fn user(row: &User) -> Record<'_> {
    let User { id, revision, name, email, admin, password_hash, ssh_keys } = row;
    let columns = vec![
        ("name", name.into()),
        ("email", email.into()),
        ("admin", (*admin).into()),
        ("password_hash", password_hash.into()),
        ("ssh_keys", ssh_keys.into()),
    ];
    Record { table: "users", id: id.get(), revision: Some(*revision), columns }
}

fn token(row: &Token) -> StoreResult<Record<'_>> {
    let Token { id, user, hash, kind, scope, description, created, expires, last_used } = row;
    let columns = vec![
        ("user_id", user.get().into()),
        ("hash", hash.into()),
        ("kind", to_word(kind)?.into()),
        ("scope", to_word(scope)?.into()),
        ("description", description.into()),
        ("created", created.0.into()),
        ("expires", expires.map(|at| at.0).into()),
        ("last_used", last_used.map(|at| at.0).into()),
    ];
    Ok(Record { table: "tokens", id: id.get(), revision: None, columns })
}

fn arch(row: &Arch) -> Record<'_> {
    let Arch { id, revision, name, description } = row;
    let columns = vec![("name", name.into()), ("description", description.into())];
    Record { table: "archs", id: id.get(), revision: Some(*revision), columns }
}

fn image(row: &Image) -> StoreResult<Record<'_>> {
    let Image {
        id,
        revision,
        name,
        file_name,
        kind,
        arch,
        owner,
        description,
        known_good,
        public,
        digest,
        size,
        uploaded,
    } = row;
    let columns = vec![
        ("name", name.into()),
        ("file_name", file_name.into()),
        ("kind", to_word(kind)?.into()),
        ("arch_id", arch.get().into()),
        ("owner_id", owner.map(Id::get).into()),
        ("description", description.into()),
        ("known_good", (*known_good).into()),
        ("public", (*public).into()),
        ("digest", digest.as_str().into()),
        ("size", size.cast_signed().into()),
        ("uploaded", uploaded.0.into()),
    ];
    Ok(Record { table: "images", id: id.get(), revision: Some(*revision), columns })
}

fn subarch(row: &Subarch) -> Record<'_> {
    let Subarch { id, revision, arch, name, description, bootloader, efi_boot } = row;
    let columns = vec![
        ("arch_id", arch.get().into()),
        ("name", name.into()),
        ("description", description.into()),
        ("bootloader_id", bootloader.map(Id::get).into()),
        ("efi_boot", (*efi_boot).into()),
    ];
    Record { table: "subarchs", id: id.get(), revision: Some(*revision), columns }
}

fn answer_file(row: &AnswerFile) -> StoreResult<Record<'_>> {
    let AnswerFile {
        id,
        revision,
        name,
        kind,
        description,
        content,
        owner,
        known_good,
        public,
        saved,
        saved_by,
    } = row;
    let columns = vec![
        ("name", name.into()),
        ("kind", to_word(kind)?.into()),
        ("description", description.into()),
        ("content", content.into()),
        ("owner_id", owner.map(Id::get).into()),
        ("known_good", (*known_good).into()),
        ("public", (*public).into()),
        ("saved", saved.0.into()),
        ("saved_by", saved_by.into()),
    ];
    Ok(Record { table: "answer_files", id: id.get(), revision: Some(*revision), columns })
}

fn bmc(row: &BmcEntry) -> StoreResult<Record<'_>> {
    let BmcEntry { id, revision, name, address, driver, username, sealed_password, privilege, options } = row;
    let columns = vec![
        ("name", name.into()),
        ("address", address.into()),
        ("driver", driver.into()),
        ("username", username.into()),
        ("sealed_password", sealed_password.into()),
        ("privilege", to_word(privilege)?.into()),
        ("options", to_json(options)?.into()),
    ];
    Ok(Record { table: "bmcs", id: id.get(), revision: Some(*revision), columns })
}

fn network(row: &Network) -> Record<'_> {
    let Network { id, revision, name, subnet, static_net, reserved_net, server_url, trust_path_mac } = row;
    let columns = vec![
        ("name", name.into()),
        ("subnet", subnet.to_string().into()),
        ("static_net", static_net.map(|net| net.to_string()).into()),
        ("reserved_net", reserved_net.map(|net| net.to_string()).into()),
        ("server_url", server_url.into()),
        ("trust_path_mac", (*trust_path_mac).into()),
    ];
    Record { table: "networks", id: id.get(), revision: Some(*revision), columns }
}

fn machine(row: &Machine) -> StoreResult<Record<'_>> {
    let Machine {
        id,
        revision,
        name,
        arch,
        subarch,
        bmc,
        bmc_info,
        kernel,
        initrd,
        kernel_options,
        answer_file,
        netboot: _,
        boot_epoch,
        state,
    } = row;
    let (netboot, run) = machines::netboot(row);
    let columns = vec![
        ("name", name.into()),
        ("arch_id", arch.get().into()),
        ("subarch_id", subarch.map(Id::get).into()),
        ("bmc_id", bmc.map(Id::get).into()),
        ("bmc_info", bmc_info.into()),
        ("kernel_id", kernel.map(Id::get).into()),
        ("initrd_id", initrd.map(Id::get).into()),
        ("kernel_options", kernel_options.into()),
        ("answer_file_id", answer_file.map(Id::get).into()),
        ("netboot", netboot.into()),
        ("netboot_run_id", run.into()),
        ("boot_epoch", (*boot_epoch).into()),
        ("state", to_word(state)?.into()),
    ];
    Ok(Record { table: "machines", id: id.get(), revision: Some(*revision), columns })
}

fn interface(row: &Interface) -> Record<'_> {
    let Interface { id, revision, machine, mac, identifier, network, addressing } = row;
    let columns = vec![
        ("machine_id", machine.get().into()),
        ("mac", mac.to_string().into()),
        ("identifier", identifier.into()),
        ("network_id", network.map(Id::get).into()),
        ("addressing", addressing.kind().into()),
        ("ipv4", addressing.address().map(|address| address.to_string()).into()),
    ];
    Record { table: "interfaces", id: id.get(), revision: Some(*revision), columns }
}

fn assignment(row: &Assignment) -> Record<'_> {
    let Assignment { id, revision, machine, user, reason, since, until } = row;
    let columns = vec![
        ("machine_id", machine.get().into()),
        ("user_id", user.get().into()),
        ("reason", reason.into()),
        ("since", since.0.into()),
        ("until", until.map(|until| until.0).into()),
    ];
    Record { table: "assignments", id: id.get(), revision: Some(*revision), columns }
}
