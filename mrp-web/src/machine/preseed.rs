//! Answer files for installers.

use mrp_core::Error;
use warp::http::StatusCode;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/preseed/{id}", "get_answer_file", Who::Anyone, by_address)
            .without_head()
            .about("A machine's answer file, for its own addresses")
            .answers_text(200, "text/plain")
            .refuses(&[400, 403]),
        Route::new("GET", "/preseed/{id}/{token}", "get_answer_file_by_token", Who::Anyone, by_token)
            .without_head()
            .about("A machine's answer file")
            .segment("token", Kind::Text, "Boot token")
            .answers_text(200, "text/plain")
            .refuses(&[400, 403]),
        Route::new("GET", "/autoinstall/{token}/user-data", "get_user_data", Who::Anyone, user_data)
            .without_head()
            .about("A machine's answer file, for cloud-init")
            .segment("token", Kind::Text, "Boot token")
            .answers_text(200, "text/plain")
            .refuses(&[400, 403]),
        Route::new("GET", "/autoinstall/{token}/meta-data", "get_meta_data", Who::Anyone, nothing)
            .about("Nothing, for cloud-init")
            .segment("token", Kind::Text, "Boot token")
            .answers_text(200, "text/plain")
            .refuses(&[403]),
        Route::new("GET", "/autoinstall/{token}/vendor-data", "get_vendor_data", Who::Anyone, nothing)
            .about("Nothing, for cloud-init")
            .segment("token", Kind::Text, "Boot token")
            .answers_text(200, "text/plain")
            .refuses(&[403]),
    ]
}

async fn by_address(call: Call) -> Answer {
    match answer_file(&call, None).await {
        // As mr-provisioner.
        Err(ApiError::Service(Error::NotFound { .. })) => Ok(reply::empty(StatusCode::NOT_FOUND)),
        other => other,
    }
}

async fn by_token(call: Call) -> Answer {
    answer_file(&call, Some(token(&call, 1)?)).await
}

async fn answer_file(call: &Call, token: Option<&str>) -> Answer {
    let (client, local) = (call.peer.address.ip(), call.peer.local.ip());
    let text = call.service().boot().answer_file(call.id(0)?, token, client, local).await?;
    Ok(reply::text(StatusCode::OK, text))
}

async fn user_data(call: Call) -> Answer {
    let (client, local) = (call.peer.address.ip(), call.peer.local.ip());
    let text = call.service().boot().answer_file_by_token(token(&call, 0)?, client, local).await?;
    Ok(reply::text(StatusCode::OK, text))
}

/// cloud-init insists on files that have nothing to say here.
async fn nothing(call: Call) -> Answer {
    call.service().boot().check_token(token(&call, 0)?, call.peer.address.ip()).await?;
    Ok(reply::text(StatusCode::OK, ""))
}

fn token(call: &Call, index: usize) -> Result<&str, ApiError> {
    call.params.get(index).map(String::as_str).ok_or(ApiError::NoRoute)
}
