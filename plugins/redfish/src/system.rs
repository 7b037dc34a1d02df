//! The system that is driven: which of those that a service has, and its resource.

use mrp_core::bmc::BmcError;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::answer::{Failure, Refusal};
use super::service::{Service, link};
use super::task::change;

/// Pages of a list of systems, and the systems of it.
const MAX_PAGES: usize = 64;
const MAX_SYSTEMS: usize = 1024;
/// Systems whose resources are read to find one by its id.
const MAX_READ: usize = 64;

/// A system's resource (DSP2046, ComputerSystem).
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) path: String,
    pub(crate) body: Value,
    etag: Option<String>,
}

impl System {
    /// Reads it.
    pub(crate) async fn read(service: &Service, path: &str) -> Result<Self, Failure> {
        let answer = service.get(path).await?;
        let etag = answer.etag.or_else(|| answer.body["@odata.etag"].as_str().map(str::to_owned));
        Ok(Self { path: path.to_owned(), body: answer.body, etag })
    }

    /// Another spelling of its ETag, for a service that refuses the one that it gave in the header: that of the body, since
    /// some put quotes around quotes in the header; the strong one, since some give a weak one and compare strictly.
    fn other_etag(&self) -> Option<String> {
        let in_body = self.body["@odata.etag"].as_str().map(str::to_owned);
        match in_body.filter(|etag| Some(etag) != self.etag.as_ref()) {
            Some(etag) => Some(etag),
            None => self.etag.as_deref().map(|etag| etag.trim_start_matches("W/").to_owned()),
        }
    }

    /// Changes it, unless somebody else did since it was read: then it is read again, once.
    pub(crate) async fn patch(&self, service: &Service, body: &Value) -> Result<(), Failure> {
        match patch(service, &self.path, body, self.etag.as_deref()).await {
            Err(failure) if failure.status() == Some(StatusCode::PRECONDITION_FAILED) => {
                let again = System::read(service, &self.path).await?;
                let etag = if again.etag == self.etag { again.other_etag() } else { again.etag };
                patch(service, &self.path, body, etag.as_deref()).await
            }
            // AMI's firmware takes changes at another resource, which the system names.
            Err(failure) if failure.status() == Some(StatusCode::METHOD_NOT_ALLOWED) => {
                match link(&self.body["@Redfish.Settings"]["SettingsObject"]) {
                    Some(path) => {
                        let settings = System::read(service, &path).await?;
                        patch(service, &path, body, settings.etag.as_deref()).await
                    }
                    None => Err(failure),
                }
            }
            outcome => outcome,
        }
    }
}

async fn patch(service: &Service, path: &str, body: &Value, etag: Option<&str>) -> Result<(), Failure> {
    change(service, Method::PATCH, path, body, etag).await
}

/// The path of the system that is wanted, by its id or its path; where none is wanted, of the only one.
pub(crate) async fn find(service: &Service, wanted: Option<&str>) -> Result<String, Failure> {
    let paths = list(service).await?;
    let Some(wanted) = wanted else {
        return match paths.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(service.protocol("it has no system".into()).into()),
            _ => Err(unclear(
                "has several systems, so that the machine's bmc_info or option system has to name one",
                &paths,
            )),
        };
    };
    let same = |path: &&String| path.trim_end_matches('/') == wanted.trim_end_matches('/');
    let last = |path: &&String| path.trim_end_matches('/').rsplit('/').next() == Some(wanted);
    if let Some(path) = paths.iter().find(same).or_else(|| paths.iter().find(last)) {
        return Ok(path.clone());
    }
    for path in paths.iter().take(MAX_READ) {
        if System::read(service, path).await?.body["Id"] == wanted {
            return Ok(path.clone());
        }
    }
    Err(unclear(&format!("has no system {wanted:?}"), &paths))
}

fn unclear(words: &str, paths: &[String]) -> Failure {
    BmcError::Config(format!("the service {words}: {}", paths.join(", "))).into()
}

async fn list(service: &Service) -> Result<Vec<String>, Failure> {
    let root = service.root().await?;
    let missing = || service.protocol("its root names no systems".into());
    let mut next = Some(link(&root["Systems"]).ok_or_else(missing)?);
    let mut paths = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(page) = next.take() else { break };
        let page = service.get(&page).await?.body;
        paths.extend(page["Members"].as_array().into_iter().flatten().filter_map(link));
        next = page["Members@odata.nextLink"].as_str().map(str::to_owned);
    }
    paths.truncate(MAX_SYSTEMS);
    Ok(paths)
}

/// A refusal that may only say that the service cannot do it like this, rather than that it cannot now or must not.
pub(crate) fn objection(failure: &Failure) -> Option<&Refusal> {
    match failure {
        Failure::Refused(refusal) if matches!(refusal.status.as_u16(), 400 | 409 | 422 | 500) => {
            Some(refusal)
        }
        _ => None,
    }
}
