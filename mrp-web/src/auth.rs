//! Who asks: a token in the `Authorization` header, raw or after `Bearer `, or the session cookie of a browser; on the
//! machines' door the DHCP server's address or the shared token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use mrp_core::Error;
use mrp_core::secret::Secret;
use warp::http::header::{AUTHORIZATION, COOKIE};
use warp::http::{HeaderMap, Method};

use crate::call::Call;
use crate::error::ApiError;
use crate::router::Who;

/// The name of the session cookie.
pub(crate) const COOKIE_NAME: &str = "mrp_session";

/// A token and where it was.
struct Credential {
    token: Secret,
    cookie: bool,
}

/// Lets a request through to a route, or refuses it. What a user may do is the service's to decide.
/// A token that may only look is let through where the request does no more than that.
pub(crate) async fn admit(who: Who, looks: bool, call: &mut Call) -> Result<(), ApiError> {
    match who {
        Who::Anyone => Ok(()),
        // The handler redeems it.
        Who::Ticket if call.param("token").is_some() => Ok(()),
        // What a browser opens for another site's page must not have the rights of a cookie.
        Who::Ticket => log_in(looks, true, call).await,
        Who::User | Who::Holder | Who::Owner | Who::Admin => log_in(looks, false, call).await,
        Who::Dhcp if is_dhcp_server(call) => Ok(()),
        Who::Dhcp => Err(ApiError::Service(Error::Forbidden(format!(
            "{} may not ask this; add it to machine.dhcp_from, or send the shared token as X-MRP-Token",
            call.peer.address.ip()
        )))),
    }
}

/// True if a request has a valid token; for routes that are open to some addresses too.
pub(crate) async fn is_logged_in(call: &mut Call) -> bool {
    log_in(true, false, call).await.is_ok()
}

/// Finds out who asks. A cookie needs the page's origin for what changes something, and for all `own_pages` only.
async fn log_in(looks: bool, own_pages: bool, call: &mut Call) -> Result<(), ApiError> {
    let Some(credential) = credential(&call.headers) else { return Err(ApiError::Unauthorized) };
    let actor = match call.service().users().authenticate(credential.token.expose()).await {
        Ok(actor) => actor,
        Err(Error::Unauthenticated(_)) => return Err(ApiError::Unauthorized),
        Err(error) => return Err(error.into()),
    };
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    if credential.cookie && (own_pages || !reads) && !is_same_origin(call) {
        return Err(ApiError::ForeignOrigin);
    }
    if !looks {
        // The service refuses too where it writes; here nothing is read of the request.
        actor.require_write()?;
    }
    call.who = Some((actor, credential.token));
    Ok(())
}

fn credential(headers: &HeaderMap) -> Option<Credential> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let mut token = value.to_str().ok()?.replace("Bearer ", "");
        if token.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")) {
            token.drain(..7);
        }
        let token = Secret::new(token.trim());
        return (!token.expose().is_empty()).then_some(Credential { token, cookie: false });
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE_NAME && !value.is_empty());
    found.map(|(_, value)| Credential { token: Secret::new(value), cookie: true })
}

/// The page that sends a cookie is this server's. The scheme is not compared: a proxy in front may speak TLS for us.
pub(crate) fn is_same_origin(call: &Call) -> bool {
    let origin = call.header("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (origin, call.peer.authority.as_deref()) {
        (Some(origin), Some(own)) => origin.eq_ignore_ascii_case(own),
        _ => false,
    }
}

fn is_dhcp_server(call: &Call) -> bool {
    let config = &call.state.machines;
    let address = call.peer.address.ip();
    if is_among(&config.dhcp_from, address, call.peer.local.ip()) {
        return true;
    }
    match (&config.token, call.headers.get("x-mrp-token")) {
        (Some(token), Some(sent)) => equal(token.expose().as_bytes(), sent.as_bytes()),
        _ => false,
    }
}

/// Whether a client's address is in these networks. Where both ends have one address this host asks itself, as by loopback.
fn is_among(nets: &[IpNet], client: IpAddr, local: IpAddr) -> bool {
    let loopback = if client.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    nets.iter().any(|net| net.contains(&client) || (client == local && net.contains::<&IpAddr>(&loopback)))
}

/// Compares every byte, so that the time tells nothing of how many were right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn found(name: &'static str, value: &'static str) -> Option<(String, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        credential(&headers).map(|found| (found.token.expose().to_owned(), found.cookie))
    }

    #[test]
    fn this_host_may_by_all_its_addresses_where_loopback_may() {
        let (v4, v6, other) = ("127.0.0.0/8", "::1/128", "10.0.0.0/30");
        for (nets, client, local, expected) in [
            (vec![v4], "127.0.0.1", "127.0.0.1", true),
            (vec![v4], "10.0.0.1", "10.0.0.1", true),
            (vec![v4], "10.0.0.2", "10.0.0.1", false),
            (vec![], "10.0.0.1", "10.0.0.1", false),
            (vec![v6], "10.0.0.1", "10.0.0.1", false),
            (vec![v4, v6], "fd00::1", "fd00::1", true),
            (vec![v4], "fd00::1", "fd00::1", false),
            (vec![other], "10.0.0.2", "10.0.0.1", true),
            (vec![other], "10.0.0.9", "10.0.0.9", false),
        ] {
            let nets: Vec<IpNet> = nets.into_iter().map(|net| net.parse().unwrap()).collect();
            assert_eq!(
                is_among(&nets, client.parse().unwrap(), local.parse().unwrap()),
                expected,
                "{client} at {local}"
            );
        }
    }

    #[test]
    fn tokens_are_found_raw_after_bearer_and_in_the_cookie() {
        let header = |value| found("authorization", value);
        for value in ["abc", "Bearer abc", "bearer abc", "Bearer Bearer abc"] {
            assert_eq!(header(value), Some(("abc".into(), false)), "{value}");
        }
        assert_eq!(header("Basic abc"), Some(("Basic abc".into(), false)));
        assert_eq!(header(""), None);
        assert_eq!(found("cookie", "a=b; mrp_session=abc; c=d"), Some(("abc".into(), true)));
        assert_eq!(found("cookie", "mrp_session="), None);
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreT") && !equal(b"secret", b"secre") && !equal(b"", b"x"));
    }
}
