//! What an import decides on: mrp's rows, and what earlier imports have left.

use std::collections::{HashMap, HashSet};

use crate::answer_file::AnswerFile;
use crate::arch::{Arch, Subarch};
use crate::bmc_entry::BmcEntry;
use crate::error::Error;
use crate::image::Image;
use crate::import::{Imported, Legacy, Noun};
use crate::lease::{Discovered, Lease};
use crate::mac::MacAddr;
use crate::machine::{Assignment, Interface, Machine};
use crate::network::Network;
use crate::service::import::object::Object;
use crate::store::{MachineFilter, Store};
use crate::token::Token;
use crate::user::User;

/// mrp's rows, sorted by id.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) tokens: Vec<Token>,
    pub(super) archs: Vec<Arch>,
    pub(super) subarchs: Vec<Subarch>,
    pub(super) images: Vec<Image>,
    pub(super) answer_files: Vec<AnswerFile>,
    pub(super) bmcs: Vec<BmcEntry>,
    pub(super) networks: Vec<Network>,
    pub(super) machines: Vec<Machine>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) leases: HashMap<MacAddr, Lease>,
    pub(super) discovered: HashMap<MacAddr, Discovered>,
    marks: HashMap<(Noun, i64), Imported>,
    /// Rows of mrp that an import has brought.
    brought: HashSet<(Noun, i64)>,
    /// Rows of mrp by their unique values.
    keys: HashMap<(Noun, String), i64>,
}

impl State {
    pub(super) async fn load(store: &dyn Store, legacy: &Legacy) -> Result<Self, Error> {
        let mut state = Self {
            users: store.users().await?,
            archs: store.archs().await?,
            subarchs: store.subarchs().await?,
            images: store.images().await?,
            answer_files: store.answer_files().await?,
            bmcs: store.bmcs().await?,
            networks: store.networks().await?,
            machines: store.machines(&MachineFilter::default()).await?,
            interfaces: store.all_interfaces().await?,
            assignments: store.all_assignments().await?,
            ..Self::default()
        };
        for user in &state.users {
            state.tokens.extend(store.tokens(user.id).await?);
        }
        state.tokens.sort_by_key(|token| token.id);
        let macs: Vec<MacAddr> = legacy.leases.iter().filter_map(|lease| lease.mac.parse().ok()).collect();
        state.leases = store.leases(&macs).await?.into_iter().map(|lease| (lease.mac, lease)).collect();
        let discovered = store.discovered().await?;
        state.discovered = discovered.into_iter().map(|client| (client.mac, client)).collect();
        for mark in store.imported().await? {
            state.marks.insert((mark.noun, mark.source), mark);
            state.brought.insert((mark.noun, mark.id));
        }
        state.index();
        Ok(state)
    }

    fn index(&mut self) {
        fn keys<T: Object>(rows: &[T], keys: &mut HashMap<(Noun, String), i64>) {
            for row in rows {
                keys.extend(row.keys().into_iter().map(|key| ((T::NOUN, key), row.id())));
            }
        }
        let mut all = HashMap::new();
        keys(&self.users, &mut all);
        keys(&self.tokens, &mut all);
        keys(&self.archs, &mut all);
        keys(&self.subarchs, &mut all);
        keys(&self.images, &mut all);
        keys(&self.answer_files, &mut all);
        keys(&self.bmcs, &mut all);
        keys(&self.networks, &mut all);
        keys(&self.machines, &mut all);
        keys(&self.interfaces, &mut all);
        keys(&self.assignments, &mut all);
        self.keys = all;
    }

    /// What an earlier import made of a row.
    pub(super) fn mark(&self, noun: Noun, source: i64) -> Option<Imported> {
        self.marks.get(&(noun, source)).copied()
    }

    /// All that earlier imports have left, in the order of their ids.
    pub(super) fn marks(&self) -> Vec<Imported> {
        let mut marks: Vec<Imported> = self.marks.values().copied().collect();
        marks.sort_by_key(|mark| (mark.noun, mark.source));
        marks
    }

    /// mrp's row of that id.
    pub(super) fn find<T: Object>(&self, id: i64) -> Option<&T> {
        let rows = T::here(self);
        rows.binary_search_by_key(&id, T::id).ok().map(|index| &rows[index])
    }

    /// True if mrp has the row. What has no ids is never asked for.
    pub(super) fn has(&self, noun: Noun, id: i64) -> bool {
        match noun {
            Noun::User => self.find::<User>(id).is_some(),
            Noun::Token => self.find::<Token>(id).is_some(),
            Noun::Arch => self.find::<Arch>(id).is_some(),
            Noun::Image => self.find::<Image>(id).is_some(),
            Noun::Subarch => self.find::<Subarch>(id).is_some(),
            Noun::AnswerFile => self.find::<AnswerFile>(id).is_some(),
            Noun::Bmc => self.find::<BmcEntry>(id).is_some(),
            Noun::Network => self.find::<Network>(id).is_some(),
            Noun::Machine => self.find::<Machine>(id).is_some(),
            Noun::Interface => self.find::<Interface>(id).is_some(),
            Noun::Assignment => self.find::<Assignment>(id).is_some(),
            Noun::Lease | Noun::Discovered | Noun::Event => false,
        }
    }

    /// The row of mrp that has one of these unique values.
    pub(super) fn holder(&self, noun: Noun, keys: &[String]) -> Option<i64> {
        keys.iter().find_map(|key| self.keys.get(&(noun, key.clone())).copied())
    }

    /// True if an import has brought this row of mrp.
    pub(super) fn was_brought(&self, noun: Noun, id: i64) -> bool {
        self.brought.contains(&(noun, id))
    }
}
