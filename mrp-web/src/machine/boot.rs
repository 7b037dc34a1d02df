//! Boot files over HTTP: for loaders that can (`/boot/…`), and for TFTP servers that ask on behalf of a client
//! (`/tftp/`, mr-provisioner's contract).

use std::net::IpAddr;

use mrp_core::Error;
use mrp_core::boot::Transport;
use mrp_core::service::boot::{BootContent, BootRequest};
use warp::http::{Method, StatusCode};

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::machine::transfer;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/boot/{path*}", "get_boot_file", Who::Anyone, boot)
            .about("A boot file")
            .note("Configurations are rendered for who asks, known by address.")
            .segment("path", Kind::Text, "The rest of the path")
            .answers_text(200, "text/plain")
            .refuses(&[400, 403, 416]),
        Route::new("GET", "/tftp/", "get_boot_file_for", Who::Dhcp, tftp)
            .about("A boot file for a client of a TFTP server")
            .needs_header("X-TFTP-IP", Kind::Text, "The client's address")
            .needs_header("X-TFTP-File", Kind::Text, "The path that it asked for")
            .answers_text(200, "text/plain")
            .refuses(&[404, 416]),
        Route::new("GET", "/tftp", "redirect_to_boot_file_for", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::PERMANENT_REDIRECT, "/tftp/"))
        })
        .about("To `/tftp/`")
        .answers_nothing(308),
        Route::new("GET", "/healthz", "get_machine_door_health", Who::Anyone, |_| async {
            Ok(reply::text(StatusCode::OK, "ok\n"))
        })
        .about("Whether the door is open")
        .answers_text(200, "text/plain"),
    ]
}

async fn boot(call: Call) -> Answer {
    let path = call.params.first().cloned().unwrap_or_default();
    let client = call.peer.address.ip();
    serve(&call, client, path, Transport::Http).await
}

async fn tftp(call: Call) -> Answer {
    let (Some(client), Some(path)) = (call.header("x-tftp-ip"), call.header("x-tftp-file")) else {
        return Err(ApiError::refused("the headers X-TFTP-IP and X-TFTP-File are needed"));
    };
    let client: IpAddr =
        client.trim().parse().map_err(|_| ApiError::refused("X-TFTP-IP: an IP address is needed"))?;
    // Old firmware's double slashes and `..` are mr-provisioner's to strip; here they are no file.
    let path = path.to_owned();
    match serve(&call, client.to_canonical(), path, Transport::Tftp).await {
        // What is no path is no file either: the old contract knows 404 alone.
        Err(ApiError::Service(Error::Invalid { .. })) => Err(ApiError::NoRoute),
        answer => answer,
    }
}

/// By the client's own transport: what a TFTP server asks for goes on by TFTP.
async fn serve(call: &Call, client: IpAddr, path: String, transport: Transport) -> Answer {
    let request = BootRequest { client, local: call.peer.local.ip(), path, transport };
    let file = call.service().boot().file(&request).await?;
    match file.content {
        BootContent::Text(text) => {
            let mut response = reply::text(StatusCode::OK, String::new());
            if call.method != Method::HEAD {
                *response.body_mut() = text.into();
            }
            Ok(response)
        }
        BootContent::Blob(blob) => transfer::serve(call, blob, file.transfer),
    }
}
