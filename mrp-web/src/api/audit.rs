//! The audit log; admins only.

use mrp_core::event::AuditEntry;
use mrp_core::id::Id;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/audit", "list_audit", Who::Admin, list)
            .about("Who changed what, in the order of ids; at most 1,000")
            .query("after", Kind::Number(0, i64::MAX as u64), "Only entries after this one")
            .query("limit", Kind::Number(0, u32::MAX as u64), "At most so many")
            .answers::<Vec<AuditEntry>>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let after = call.id_param("after")?.unwrap_or(Id::new(0));
    let limit = call.parsed("limit", "a number")?.unwrap_or(0);
    Ok(reply::ok(&call.service().events().audit(call.actor(), after, limit).await?))
}
