//! Power and installation state of a machine.

use mrp_core::api::{self, State};
use mrp_core::machine::MachineState;
use mrp_core::service::power::{PowerRequest, PowerStatus};
use mrp_core::service::runs::StartRun;
use warp::http::StatusCode;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply::{self, Response};
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/machine/{id}/power", "get_power", Who::User, power)
            .about("Whether a machine is on")
            .note("`on`, `off`, `unknown` without a BMC, `Unknown (BMC error)`.")
            .answers::<api::State>(200),
        Route::new("POST", "/api/v1/machine/{id}/power", "set_power", Who::Holder, set_power)
            .about("Switches a machine")
            .body::<api::settings::SetPower>()
            .answers::<api::State>(202)
            .refuses(&[409, 502, 504]),
        Route::new("GET", "/api/v1/machine/{id}/state", "get_state", Who::User, state)
            .about("What is known of a machine's installation")
            .answers::<api::State>(200),
        Route::new("POST", "/api/v1/machine/{id}/state", "provision", Who::Holder, provision)
            .about("Starts a run by the machine's BMC")
            .body::<api::settings::Provision>()
            .answers::<api::State>(202)
            .refuses(&[409, 502, 504]),
        Route::new("PUT", "/api/v1/machine/{id}/state", "set_state", Who::Holder, set_state)
            .about("Tells how a machine's installation stands")
            .body::<api::settings::SetState>()
            .answers::<api::State>(200)
            .refuses(&[409]),
    ]
}

async fn power(call: Call) -> Answer {
    let state = match call.service().power(call.actor(), call.id(0)?).status().await? {
        PowerStatus::Known(power) => power.to_string(),
        PowerStatus::NoBmc => "unknown".into(),
        PowerStatus::Failed(error) => {
            tracing::debug!(%error, "a BMC did not tell its power state");
            "Unknown (BMC error)".into()
        }
    };
    Ok(reply::ok(&State { state }))
}

async fn set_power(call: Call) -> Answer {
    let wanted = wanted(&call).await?;
    let request = PowerRequest::from_name(&wanted).ok_or_else(|| {
        let known = PowerRequest::ALL.map(|(name, _)| name).join(", ");
        ApiError::schema(format!("state: the words are {known}"))
    })?;
    let power = call.service().power(call.actor(), call.id(0)?).set(request).await?;
    Ok(accepted(power.to_string()))
}

async fn state(call: Call) -> Answer {
    let machine = call.service().machines().get(call.actor(), call.id(0)?).await?;
    Ok(reply::ok(&State { state: machine.machine.state.to_string() }))
}

async fn provision(call: Call) -> Answer {
    if wanted(&call).await? != "provision" {
        return Err(ApiError::schema("state: the word is provision"));
    }
    let start = StartRun { by_bmc: true, ..StartRun::default() };
    call.service().runs().start(call.actor(), call.id(0)?, start).await?;
    let machine = call.service().machines().get(call.actor(), call.id(0)?).await?;
    Ok(accepted(machine.machine.state.to_string()))
}

async fn set_state(call: Call) -> Answer {
    let state = match wanted(&call).await?.as_str() {
        "ready" => MachineState::Ready,
        "error" => MachineState::Error,
        "unknown" => MachineState::Unknown,
        _ => return Err(ApiError::schema("state: the words are ready, error and unknown")),
    };
    call.service().machines().set_state(call.actor(), call.id(0)?, state).await?;
    Ok(reply::ok(&State { state: state.to_string() }))
}

/// The body's only key.
async fn wanted(call: &Call) -> Result<String, ApiError> {
    let fields = call.fields().await?;
    fields.require(&["state"])?;
    fields.only(&["state"])?;
    Ok(fields.text("state", 64)?.unwrap_or_default())
}

fn accepted(state: String) -> Response {
    reply::json(StatusCode::ACCEPTED, &State { state })
}
