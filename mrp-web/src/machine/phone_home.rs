//! A machine reports that it is installed, or that it is not: by one line of `wget`, `curl` or cloud-init.

use schemars::JsonSchema;
use serde_json::Value;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::router::{Kind, Route, Who};

/// Largest report.
const LIMIT: usize = 64 << 10;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/phone-home/{token}", "phone_home", Who::Anyone, phone_home)
            .without_head()
            .about("A machine tells that it is installed, or that it is not")
            .segment("token", Kind::Text, "Boot token")
            .query("status", Kind::Pattern("^(ok|failed)$"), "By default ok")
            .query("message", Kind::Text, "Why")
            .answers_nothing(204)
            .refuses(&[403]),
        Route::new("POST", "/phone-home/{token}", "phone_home_with_form", Who::Anyone, phone_home)
            .about("A machine tells that it is installed, or that it is not")
            .segment("token", Kind::Text, "Boot token")
            .form::<PhoneHome>()
            .answers_nothing(204)
            .refuses(&[403]),
    ]
}

/// What a machine may say, for the document; other keys are ignored.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it exists for its schema")]
struct PhoneHome {
    /// `ok` or `failed`; by default ok.
    #[schemars(extend("enum" = ["ok", "failed"]))]
    #[serde(default)]
    status: String,
    /// Why.
    #[serde(default)]
    message: Option<String>,
}

async fn phone_home(call: Call) -> Answer {
    let token = call.params.first().map(String::as_str).ok_or(ApiError::NoRoute)?;
    let body = call.body.whole(LIMIT).await?;
    let said = Report::of(call.query.as_bytes(), &body)?;
    let ok = match said.status.as_deref() {
        None | Some("ok") => true,
        Some("failed") => false,
        Some(_) => return Err(ApiError::schema("status: ok or failed")),
    };
    call.service().boot().phone_home(token, ok, said.message, call.peer.address.ip()).await?;
    Ok(reply::no_content())
}

/// What a machine says; everything is optional, and other keys (cloud-init sends its own) are ignored.
#[derive(Debug, Default, PartialEq)]
struct Report {
    status: Option<String>,
    message: Option<String>,
}

impl Report {
    /// From the query, and a body that is a form or JSON.
    fn of(query: &[u8], body: &[u8]) -> Result<Self, ApiError> {
        let mut report = Self::default();
        report.form(query);
        if body.trim_ascii_start().starts_with(b"{") {
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| ApiError::malformed(format!("the body is not JSON: {error}")))?;
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            report.status = text("status").or(report.status);
            report.message = text("message").or(report.message);
        } else {
            report.form(body);
        }
        Ok(report)
    }

    fn form(&mut self, form: &[u8]) {
        for (key, value) in form_urlencoded::parse(form) {
            match &*key {
                "status" => self.status = Some(value.into_owned()),
                "message" => self.message = Some(value.into_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_by_query_form_and_json() {
        let report = |status: &str, message: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Report { status: given(status), message: given(message) }
        };
        for (query, body, expected) in [
            ("", "", report("", "")),
            ("status=failed&message=no+disk", "", report("failed", "no disk")),
            ("", "status=ok&instance_id=i-1&pub_key_rsa=x", report("ok", "")),
            ("", " {\"status\": \"failed\", \"message\": \"x\", \"n\": 1}", report("failed", "x")),
        ] {
            assert_eq!(Report::of(query.as_bytes(), body.as_bytes()).unwrap(), expected);
        }
        assert!(Report::of(b"", b"{broken").is_err());
    }
}
