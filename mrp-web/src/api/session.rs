//! Logging in and out. A login gives a token to programs and a cookie to browsers; it is the same session.

use mrp_core::api;
use mrp_core::secret::Secret;
use mrp_core::service::tokens::IssuedToken;
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, SET_COOKIE};

use crate::api::user;
use crate::auth::{COOKIE_NAME, is_same_origin};
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply::{self, Response};
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/v1/session", "log_in", Who::Anyone, log_in)
            .about("Logs in")
            .note("The token serves programs, the cookie browsers; they are one session. The cookie is for pages of this server alone, and writes with it need an `Origin` header of this server.")
            .body::<api::Login>()
            .answers::<api::IssuedToken>(201)
            .refuses(&[401, 403, 429]),
        Route::new("GET", "/api/v1/session", "get_session", Who::User, who_am_i)
            .about("Who one is")
            .answers::<api::User>(200),
        Route::new("DELETE", "/api/v1/session", "log_out", Who::User, log_out)
            .about("Ends the session, or removes the token, that is used")
            .answers_nothing(204),
    ]
}

async fn log_in(call: Call) -> Answer {
    // A page of another site may not log its reader in as somebody else.
    if call.header("origin").is_some() && !is_same_origin(&call) {
        return Err(ApiError::ForeignOrigin);
    }
    let login: api::Login = call.exact().await?;
    let (password, from) = (Secret::new(login.password), call.peer.address.ip());
    let issued = call.service().users().login(&login.user, &password, Some(from)).await?;
    let expires = issued.token.expires;
    let left = expires.map_or(0, |expires| expires.since(issued.token.created).as_secs());
    Ok(with_cookie(issued_view(&issued), issued.secret.expose(), left, call.peer.tls))
}

async fn who_am_i(call: Call) -> Answer {
    let id = call.actor().user.ok_or(ApiError::Unauthorized)?;
    Ok(reply::ok(&user::view(&call.service().users().get(call.actor(), id).await?)))
}

async fn log_out(call: Call) -> Answer {
    let (actor, token) = call.who.as_ref().ok_or(ApiError::Unauthorized)?;
    call.service().users().logout(actor, token.expose()).await?;
    Ok(with_cookie(reply::no_content(), "", 0, call.peer.tls))
}

/// The answer that shows a new token, this once.
pub(super) fn issued_view(issued: &IssuedToken) -> Response {
    let mut response = reply::created(&api::IssuedToken {
        id: issued.token.id.get(),
        token: issued.secret.expose().to_owned(),
        expires: issued.token.expires,
        scope: issued.token.scope,
    });
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn with_cookie(mut response: Response, value: &str, seconds: u64, tls: bool) -> Response {
    let secure = if tls { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
