//! BMCs; admins only. A password goes in and never comes out.

use mrp_core::bmc::{Node, Privilege};
use mrp_core::bmc_entry::{BmcEntry, BmcId};
use mrp_core::health::BmcHealth;
use mrp_core::secret::Secret;
use mrp_core::service::bmcs::BmcSpec;
use mrp_core::{Actor, Provisioner, api};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/bmc", "list_bmcs", Who::Admin, list)
            .about("BMCs, without their passwords")
            .paged()
            .answers::<Vec<api::Bmc>>(200),
        Route::new("POST", "/api/v1/bmc", "create_bmc", Who::Admin, create)
            .about("Makes a BMC")
            .tagged()
            .body::<api::NewBmc>()
            .answers::<api::Bmc>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/bmc/{id}", "get_bmc", Who::Admin, get)
            .about("One BMC, without its password")
            .tagged()
            .answers::<api::Bmc>(200),
        Route::new("PUT", "/api/v1/bmc/{id}", "set_bmc", Who::Admin, set)
            .about("Changes a BMC")
            .tagged()
            .conditional()
            .note("Without a password the old one stays.")
            .body::<api::NewBmc>()
            .answers::<api::Bmc>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/bmc/{id}", "delete_bmc", Who::Admin, delete)
            .about("Removes a BMC that no machine uses")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
        Route::new("POST", "/api/v1/bmc/{id}/test", "test_bmc", Who::Admin, test)
            .about("Asks a BMC for the power state of a node")
            .body::<TestBmc>()
            .answers::<api::State>(200)
            .refuses(&[409, 502, 504]),
    ]
}

/// `POST /bmc/{id}/test`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TestBmc {
    /// Address behind the BMC.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = api::LINE))]
    node: String,
}

async fn list(call: Call) -> Answer {
    let bmcs = call.service().bmcs().list(call.actor()).await?;
    let health = call.service().bmcs().health(call.actor()).await?;
    Pages::of(&call)?.answer(
        &call,
        bmcs,
        |bmc| bmc.id.get(),
        |bmc| view(bmc, health.get(&bmc.id).cloned().unwrap_or_default()),
    )
}

async fn get(call: Call) -> Answer {
    let found = call.service().bmcs().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&shown(&call, &found).await?), found.revision))
}

async fn create(call: Call) -> Answer {
    let new: api::NewBmc = call.exact().await?;
    let made = call.service().bmcs().create(call.actor(), spec(new)).await?;
    Ok(reply::tagged(reply::created(&shown(&call, &made).await?), made.revision))
}

async fn set(call: Call) -> Answer {
    let new: api::NewBmc = call.exact().await?;
    let bmcs = call.service().bmcs().expecting(call.expected());
    let set = bmcs.update(call.actor(), call.id(0)?, spec(new)).await?;
    Ok(reply::tagged(reply::ok(&shown(&call, &set).await?), set.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().bmcs().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn test(call: Call) -> Answer {
    let asked: TestBmc = call.exact().await?;
    let power = call.service().bmcs().test(call.actor(), call.id(0)?, Node(asked.node)).await?;
    Ok(reply::ok(&api::State { state: power.to_string() }))
}

/// The id behind a name; for admins, since others do not see BMCs.
pub(super) async fn id_of(
    service: &Provisioner,
    actor: &Actor,
    name: Option<String>,
) -> Result<Option<BmcId>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let found = service.bmcs().list(actor).await?.into_iter().find(|bmc| bmc.name == name);
    found.map(|bmc| Some(bmc.id)).ok_or_else(|| ApiError::refused(format!("no such BMC: {name}")))
}

fn spec(new: api::NewBmc) -> BmcSpec {
    BmcSpec {
        name: new.name,
        address: new.address,
        driver: new.driver,
        username: new.username,
        password: new.password.map(Secret::new),
        privilege: new.privilege,
        options: new.options,
    }
}

async fn shown(call: &Call, bmc: &BmcEntry) -> Result<api::Bmc, ApiError> {
    Ok(view(bmc, call.service().bmcs().health_of(call.actor(), bmc.id).await?))
}

fn view(bmc: &BmcEntry, health: BmcHealth) -> api::Bmc {
    api::Bmc {
        id: bmc.id.get(),
        name: bmc.name.clone(),
        address: bmc.address.clone(),
        driver: bmc.driver.clone(),
        username: bmc.username.clone(),
        privilege: match bmc.privilege {
            Privilege::User => "user",
            Privilege::Operator => "operator",
            Privilege::Admin => "admin",
        }
        .to_owned(),
        options: bmc.options.clone(),
        health,
    }
}
