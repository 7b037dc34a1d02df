//! The way over, to its end: mr-provisioner's tables and rows in a PostgreSQL server of their own, imported, and then its
//! 356 recorded requests asked of mrp, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mrp_core::secret::{Secret, ServerKey};
use mrp_core::{Actor, Provisioner};
use mrp_store::{FsBlobs, ImageFolder, MrProvisioner, SqlStore};
use tempfile::TempDir;

use lab::{Kept, Lab, Setup};
use postgres_server::PostgresServer;

mod lab;
#[path = "../../mrp-store/tests/postgres_server/mod.rs"]
mod postgres_server;
mod replay;

/// What lies in mr-provisioner's TFTP folder.
const IMAGES: [(&str, &[u8]); 5] = [
    ("admin/grubaa64.efi.00", b"loader"),
    ("alice/linux.11", lab::KERNEL),
    ("alice/initrd.22", b"initrd"),
    ("bob/linux.33", b"bob's"),
    ("bob/linux.44", b"public"),
];

/// mr-provisioner, as its clients left it.
struct Original {
    server: PostgresServer,
    database: String,
    images: TempDir,
}

impl Original {
    fn start() -> Self {
        let server = PostgresServer::start();
        let database = server.database();
        let name = database.rsplit('/').next().unwrap();
        server.sql(name, include_str!("data/mr-provisioner/schema.sql"));
        server.sql(name, include_str!("data/mr-provisioner/seed.sql"));
        let images = TempDir::new().unwrap();
        for (image, content) in IMAGES {
            let path = images.path().join(image);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self { server, database, images }
    }

    /// mrp with what was imported into a store.
    async fn lab(&self, store: SqlStore) -> Lab {
        let (folder, key) = (TempDir::new().unwrap(), ServerKey::generate());
        let blobs = FsBlobs::open(folder.path()).await.unwrap();
        let quiet = Provisioner::builder().store(store.clone()).blobs(blobs).key(key.clone());
        let mrp = quiet.bmc_drivers(lab::bmc::drivers()).quiet().build().await.unwrap();
        let source = MrProvisioner::at(&Secret::new(&*self.database), None).unwrap();
        let legacy = source.read("UTC").await.unwrap();
        let files = ImageFolder::open(self.images.path().to_owned()).unwrap();
        let report = mrp.imports().mr_provisioner(&Actor::system(), &legacy, &files, false).await.unwrap();
        // The recorded keys are too short to be any; they are kept all the same.
        let unfit: Vec<_> = report.notes.iter().filter(|note| note.field != "ssh_key").collect();
        assert!(unfit.is_empty(), "{unfit:?}");
        mrp.shutdown().await;
        Lab::with(Setup { kept: Some(Kept { store, folder, key }), templates: true, ..Setup::default() })
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_lab_on_sqlite_answers_as_the_original_did() {
    let original = Original::start();
    let folder = TempDir::new().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let lab = async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.db"));
        original.lab(SqlStore::open_sqlite(&path).await.unwrap()).await
    };
    replay::replay(lab).await.check("SQLite");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_lab_on_postgresql_answers_as_the_original_did() {
    let original = Original::start();
    let lab = async || {
        let store = SqlStore::open_postgres(&original.server.database()).await.unwrap();
        original.lab(store).await
    };
    replay::replay(lab).await.check("PostgreSQL");
}
