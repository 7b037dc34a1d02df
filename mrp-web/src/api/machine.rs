//! Machines: list, look, make, set, define, remove, reserve.

use mrp_core::api;
use mrp_core::machine::{Machine, SeenPower};
use mrp_core::service::discovery::Plug;
use mrp_core::service::machines::{Definition, MachineView, Settings};
use mrp_core::store::RunFilter;
use mrp_core::{Actor, Provisioner};

use crate::api::{assignee, bmc, interface, network};
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/machine", "list_machines", Who::User, list).about("Machines that one holds, or all")
.paged()
.query("show_all", Kind::Flag, "`true` for the machines of all")
.query("q", Kind::Text, "In the query language: `(and (= arch \"arm64\") (= assignee_count 0))`")
.answers::<Vec<api::Machine>>(200),
        Route::new("GET", "/api/v1/machine/overview", "list_machine_overviews", Who::User, overview).about("Machines with who holds them, their tags, state and power")
.note("Nothing asks a BMC: the power is as last seen.")
.paged()
.query("show_all", Kind::Flag, "`true` for the machines of all")
.query("q", Kind::Text, "In the query language: `(= free true)`")
.answers::<Vec<api::MachineOverview>>(200),
        Route::new("POST", "/api/v1/machine", "create_machine", Who::Admin, create).about("Makes a machine")
.tagged()
.body::<api::NewMachine>()
.answers::<api::Machine>(201)
.refuses(&[404, 409]),
        Route::new("POST", "/api/v1/machine/reservation", "reserve_machine", Who::User, reserve).about("Takes a free machine")
.tagged()
.note("The first free one by id that matches the query; of several who ask at once, each gets another.")
.body::<api::settings::Reservation>()
.answers::<api::Machine>(200)
.refuses(&[404, 409]),
        Route::new("GET", "/api/v1/machine/{id}", "get_machine", Who::User, get).about("One machine")
.tagged()
.answers::<api::Machine>(200),
        Route::new("PUT", "/api/v1/machine/{id}", "set_machine", Who::Holder, set).about("Sets how a machine boots")
.tagged()
.conditional()
.body::<api::settings::MachineSettings>()
.answers::<api::Machine>(200)
.refuses(&[409]),
        Route::new("PATCH", "/api/v1/machine/{id}", "define_machine", Who::Admin, define).about("Changes what a machine is")
.tagged()
.conditional()
.body::<api::MachineDefinition>()
.answers::<api::Machine>(200)
.refuses(&[409]),
        Route::new("DELETE", "/api/v1/machine/{id}", "delete_machine", Who::Admin, delete).about("Removes a machine with its history")
.conditional()
.answers_nothing(204)
.refuses(&[409]),
        Route::new("GET", "/api/v1/machine/{id}/detail", "get_machine_detail", Who::User, detail).about("A machine with its holders, interfaces and newest run")
.tagged()
.answers::<api::MachineDetail>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let (all, query) = (call.flag("show_all"), call.param("q"));
    let pages = Pages::of(&call)?;
    let page = pages.wanted()?;
    let machines = call.service().machines().list(call.actor(), all, query.as_deref(), page).await?;
    pages.answer(&call, machines, |found| found.machine.id.get(), view)
}

async fn overview(call: Call) -> Answer {
    let (all, query) = (call.flag("show_all"), call.param("q"));
    let pages = Pages::of(&call)?;
    let page = pages.wanted()?;
    let machines = call.service().machines().overview(call.actor(), all, query.as_deref(), page).await?;
    pages.answer(
        &call,
        machines,
        |found| found.view.machine.id.get(),
        |found| api::MachineOverview {
            machine: view(&found.view),
            state: found.view.machine.state.to_string(),
            holders: found.holders.clone(),
            tags: found.tags.clone(),
            power: found.power.map(power_view),
        },
    )
}

async fn get(call: Call) -> Answer {
    let found = call.service().machines().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.machine.revision))
}

async fn create(call: Call) -> Answer {
    let new: api::NewMachine = call.exact().await?;
    let (service, actor) = (call.service(), call.actor());
    actor.require_admin()?;
    let mut machine = Machine::new(new.name, service.archs().by_name(actor, &new.arch).await?.id);
    machine.bmc = bmc::id_of(service, actor, new.bmc).await?;
    machine.bmc_info = new.bmc_info;
    let mut plugs = Vec::new();
    for api::NewInterface { mac, identifier, network } in new.interfaces {
        let network = network::id_of(service, actor, network).await?;
        plugs.push((interface::mac_of(&mac)?, Plug { identifier, network }));
    }
    let made = service.machines().create_with(actor, machine, new.subarch.as_deref(), plugs).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.machine.revision))
}

async fn set(call: Call) -> Answer {
    let fields = call.fields().await?;
    let settings = Settings {
        kernel: fields.id("kernel_id")?,
        initrd: fields.id("initrd_id")?,
        kernel_options: fields.text("kernel_opts", 1024)?,
        answer_file: fields.id("preseed_id")?,
        subarch: fields.nullable_text("subarch", 64)?,
        netboot: fields.flag("netboot_enabled")?,
    };
    let machines = call.service().machines().expecting(call.expected());
    let set = machines.set(call.actor(), call.id(0)?, settings).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.machine.revision))
}

async fn define(call: Call) -> Answer {
    let new: api::MachineDefinition = call.exact().await?;
    let (service, actor, id) = (call.service(), call.actor(), call.id(0)?);
    service.machines().get(actor, id).await?;
    actor.require_admin()?;
    let arch = match new.arch {
        Some(name) => Some(service.archs().by_name(actor, &name).await?.id),
        None => None,
    };
    let bmc = match new.bmc {
        Some(name) => Some(bmc::id_of(service, actor, name).await?),
        None => None,
    };
    let definition = Definition { name: new.name, arch, bmc, bmc_info: new.bmc_info };
    let set = service.machines().expecting(call.expected()).define(actor, id, definition).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.machine.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().machines().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn detail(call: Call) -> Answer {
    let machine = call.service().machines().get(call.actor(), call.id(0)?).await?;
    let detail = detailed(call.service(), call.actor(), &machine).await?;
    Ok(reply::tagged(reply::ok(&detail), machine.machine.revision))
}

async fn reserve(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["query"])?;
    let query = fields.nullable_text("query", 300)?.flatten().unwrap_or_default();
    let reason = fields.nullable_text("reason", 128)?.flatten().unwrap_or_default();
    let until = fields.time("until")?.flatten();
    let machine = call.service().assignments().reserve(call.actor(), &query, &reason, until).await?;
    Ok(reply::tagged(reply::ok(&view(&machine)), machine.machine.revision))
}

pub(super) fn view(MachineView { machine, arch, subarch }: &MachineView) -> api::Machine {
    api::Machine {
        arch: arch.clone(),
        hostname: machine.hostname(),
        id: machine.id.get(),
        initrd_id: machine.initrd.map(|id| id.get()),
        kernel_id: machine.kernel.map(|id| id.get()),
        kernel_opts: machine.kernel_options.clone(),
        name: machine.name.clone(),
        netboot_enabled: machine.netboot.is_on(),
        preseed_id: machine.answer_file.map(|id| id.get()),
        subarch: subarch.clone(),
    }
}

fn power_view(seen: SeenPower) -> api::SeenPower {
    api::SeenPower { state: seen.power.to_string(), at: seen.at }
}

async fn detailed(
    service: &Provisioner,
    actor: &Actor,
    found: &MachineView,
) -> Result<api::MachineDetail, ApiError> {
    use mrp_core::machine::Netboot;
    let machine = &found.machine;
    let newest = RunFilter { machine: Some(machine.id), limit: 1, ..RunFilter::default() };
    Ok(api::MachineDetail {
        machine: view(found),
        state: machine.state.to_string(),
        netboot: match machine.netboot {
            Netboot::Off => "off",
            Netboot::ByHand => "hand",
            Netboot::ByRun(_) => "run",
        }
        .to_owned(),
        has_bmc: machine.bmc.is_some(),
        bmc_info: machine.bmc_info.clone(),
        assignees: service.assignments().list(actor, machine.id).await?.iter().map(assignee::view).collect(),
        interfaces: service.interfaces().list(actor, machine.id).await?.iter().map(interface::view).collect(),
        tags: service.machines().tags(actor, machine.id).await?,
        power: service.machines().seen_power(actor, machine.id).await?.map(power_view),
        run: service.runs().list(actor, newest).await?.first().map(api::Run::from),
    })
}
