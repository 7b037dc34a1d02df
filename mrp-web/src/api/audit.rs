//! The audit log; admins only.

use mrp_core::event::{AuditEntry, AuditId};
use mrp_core::id::Id;

use crate::call::Call;
use crate::error::Answer;
use crate::page::{MAX, Pages};
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/audit", "list_audit", Who::Admin, list)
            .about("Who changed what, in the order of ids; at most 1,000")
            .query("after", Kind::Number(0, i64::MAX as u64), "Only entries after this one")
            .paged()
            .answers::<Vec<AuditEntry>>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let pages = Pages::of(&call)?.at_most(MAX);
    let page = pages.wanted()?;
    let after = call.id_param("after")?.map_or(page.after, |after: AuditId| after.get().max(page.after));
    let entries = call.service().events().audit(call.actor(), Id::new(after), page.limit).await?;
    pages.answer(&call, entries, |entry| entry.id.get(), AuditEntry::clone)
}
