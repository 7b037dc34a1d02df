//! A run over the real IPMI driver and a simulated BMC.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use mrp_bmc::IpmiBmc;
use mrp_bmc::sim::{BmcSimulator, Faults, MachineEvent, SimConfig};
use mrp_core::bmc::{BootDevice, Drivers, Power, Privilege};
use mrp_core::image::{Image, ImageKind};
use mrp_core::machine::{Machine, MachineId, MachineState};
use mrp_core::secret::Secret;
use mrp_core::service::archs::SubarchSpec;
use mrp_core::service::bmcs::BmcSpec;
use mrp_core::service::images::NewImage;
use mrp_core::service::runs::StartRun;
use mrp_core::{Actor, Error, Provisioner};
use mrp_store::{FsBlobs, SqlStore};
use tempfile::TempDir;

async fn upload(mrp: &Provisioner, me: &Actor, kind: ImageKind) -> Image {
    let mut upload = mrp.images().upload(me).await.unwrap();
    upload.write("content".into()).await.unwrap();
    let new = NewImage { kind, arch: "x86_64".into(), description: None, known_good: false, public: true };
    upload.finish(new, "file").await.unwrap().image
}

/// A service with one machine behind a BMC.
async fn machine(folder: &TempDir, address: String, password: Secret) -> (Provisioner, MachineId) {
    let me = Actor::system();
    let mrp = Provisioner::builder()
        .store(SqlStore::in_memory().await.unwrap())
        .blobs(FsBlobs::open(folder.path()).await.unwrap())
        .bmc_drivers(Drivers::new().with::<IpmiBmc>())
        .build()
        .await
        .unwrap();
    let arch = mrp.archs().create(&me, "x86_64", "").await.unwrap().id;
    let kernel = upload(&mrp, &me, ImageKind::Kernel).await;
    let loader = upload(&mrp, &me, ImageKind::BootLoader).await;
    let (name, bootloader) = ("efi".to_owned(), Some(loader.id));
    let spec = SubarchSpec { name, description: String::new(), bootloader, efi_boot: true };
    mrp.archs().create_subarch(&me, arch, spec).await.unwrap();
    let spec = BmcSpec {
        name: "bmc-01".into(),
        address,
        driver: "plain".into(),
        username: SimConfig::default().username,
        password: Some(password),
        privilege: Privilege::Admin,
        options: serde_json::Map::new(),
    };
    let bmc = mrp.bmcs().create(&me, spec).await.unwrap();
    let machine = Machine { bmc: Some(bmc.id), kernel: Some(kernel.id), ..Machine::new("m1", arch) };
    let machine = mrp.machines().create(&me, machine, Some("efi")).await.unwrap().machine;
    (mrp, machine.id)
}

const BY_BMC: StartRun = StartRun { manual: false, by_bmc: true };

#[tokio::test]
async fn a_run_boots_the_network_by_ipmi_and_a_silent_bmc_ends_it() {
    let folder = TempDir::new().unwrap();
    let config = SimConfig::default();
    let password = config.password.clone();
    let simulator = BmcSimulator::start("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
    let mut events = simulator.events();
    let (mrp, id) = machine(&folder, simulator.local_addr().to_string(), password).await;
    let me = Actor::system();
    let run = mrp.runs().start(&me, id, BY_BMC).await.unwrap();
    assert_eq!(simulator.power(), Power::On);
    let MachineEvent::On { boot: Some(boot) } = events.recv().await.unwrap() else { panic!("it is on") };
    assert_eq!((boot.device, boot.efi), (BootDevice::Pxe, true));
    mrp.runs().cancel(&me, run.id).await.unwrap();

    simulator.set_faults(Faults { silent: true, ..Faults::default() });
    let refused = mrp.runs().start(&me, id, BY_BMC).await;
    assert!(matches!(refused, Err(Error::Bmc(_))), "{refused:?}");
    assert_eq!(mrp.machines().get(&me, id).await.unwrap().machine.state, MachineState::Error);
    simulator.set_faults(Faults::default());
    mrp.runs().start(&me, id, BY_BMC).await.unwrap();
    mrp.shutdown().await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_wrong_password_ends_the_run_in_words() {
    let folder = TempDir::new().unwrap();
    let simulator = BmcSimulator::start("127.0.0.1:0".parse().unwrap(), SimConfig::default()).await.unwrap();
    let (mrp, id) = machine(&folder, simulator.local_addr().to_string(), Secret::new("wrong")).await;
    let refused = mrp.runs().start(&Actor::system(), id, BY_BMC).await.unwrap_err();
    assert!(refused.to_string().contains("refuses the login"), "{refused}");
    assert_eq!(simulator.power(), Power::Off);
    mrp.shutdown().await;
    simulator.stop().await;
}
