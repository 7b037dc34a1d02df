//! mrp inside another program: a machine behind a simulated BMC is powered and provisioned, without a web server.

use mrp_bmc::{IpmiBmc, sim::BmcSimulator, sim::SimConfig};
use mrp_core::bmc::{Drivers, Privilege};
use mrp_core::image::{Image, ImageKind};
use mrp_core::service::{archs::SubarchSpec, bmcs::BmcSpec, images::NewImage, runs::StartRun};
use mrp_core::{Actor, Error, Provisioner, machine::Machine};
use mrp_store::{FsBlobs, SqlStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (me, folder, login) = (Actor::system(), std::env::temp_dir().join("mrp-embed"), SimConfig::default());
    let (username, password) = (login.username.clone(), Some(login.password.clone()));
    let simulator = BmcSimulator::start("127.0.0.1:0".parse()?, login).await?;
    let mrp = Provisioner::builder()
        .store(SqlStore::in_memory().await?)
        .blobs(FsBlobs::open(&folder).await?)
        .bmc_drivers(Drivers::new().with::<IpmiBmc>())
        .build()
        .await?;

    let (name, address, driver) = ("bmc-01".into(), simulator.local_addr().to_string(), "plain".into());
    let (privilege, options) = (Privilege::Admin, Default::default());
    let bmc = BmcSpec { name, address, driver, username, password, privilege, options };
    let bmc = Some(mrp.bmcs().create(&me, bmc).await?.id);
    let arch = mrp.archs().create(&me, "x86_64", "").await?.id;
    let kernel = Some(upload(&mrp, &me, ImageKind::Kernel).await?.id);
    let bootloader = Some(upload(&mrp, &me, ImageKind::BootLoader).await?.id);
    let (name, description) = ("efi".into(), String::new());
    let spec = SubarchSpec { name, description, bootloader, efi_boot: true };
    mrp.archs().create_subarch(&me, arch, spec).await?;
    let machine = Machine { bmc, kernel, ..Machine::new("node-01", arch) };
    let machine = mrp.machines().create(&me, machine, Some("efi")).await?.machine.id;

    println!("power: {}", mrp.power(&me, machine).on().await?);
    let run = mrp.runs().start(&me, machine, StartRun { manual: false, by_bmc: true }).await?;
    println!("{:#?}", mrp.runs().get(&me, run.id).await?);
    mrp.shutdown().await;
    simulator.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

async fn upload(mrp: &Provisioner, me: &Actor, kind: ImageKind) -> Result<Image, Error> {
    let mut upload = mrp.images().upload(me).await?;
    upload.write("the bytes of the file".into()).await?;
    let new = NewImage { kind, arch: "x86_64".into(), description: None, known_good: false, public: true };
    Ok(upload.finish(new, "file").await?.image)
}
