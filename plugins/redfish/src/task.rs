//! Answers that come later: 202 with a task monitor (DSP0266, 12.2).

use std::time::Duration;

use mrp_core::bmc::BmcError;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::answer::{Answer, Failure, messages, words_of};
use super::service::{Service, link};

/// Between two looks at a task, whatever the service asks for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Sends a request that changes something, and waits until that is done. The caller bounds it.
pub(crate) async fn change(
    service: &Service,
    method: Method,
    path: &str,
    body: &Value,
    if_match: Option<&str>,
) -> Result<(), Failure> {
    let mut answer = service.request(method, path, Some(body), if_match).await?;
    if answer.status != StatusCode::ACCEPTED {
        return Ok(());
    }
    // What is accepted without a word of where to ask is accepted.
    let Some(monitor) = monitor(&answer) else { return Ok(()) };
    loop {
        let pause = answer.retry_after.map_or(Duration::from_secs(1), Duration::from_secs);
        tokio::time::sleep(pause.clamp(PAUSE.0, PAUSE.1)).await;
        answer = match service.request(Method::GET, &monitor, None, None).await {
            Ok(answer) => answer,
            // Its end may have been told to somebody else, after which it is gone.
            Err(failure) if matches!(failure.status(), Some(StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if ended(service, &answer)? {
            return Ok(());
        }
    }
}

fn monitor(answer: &Answer) -> Option<String> {
    let in_task = || answer.body["TaskMonitor"].as_str().map(str::to_owned);
    answer.location.clone().or_else(in_task).or_else(|| link(&answer.body))
}

/// Whether a task is done. Some services answer the task itself with 200 where the monitor should answer 202.
fn ended(service: &Service, answer: &Answer) -> Result<bool, BmcError> {
    match answer.body["TaskState"].as_str() {
        Some("Completed") => Ok(true),
        Some(state @ ("Exception" | "Killed" | "Cancelled" | "Interrupted")) => {
            let words = words_of(&messages(&answer.body));
            let words = if words.is_empty() { words } else { format!(": {words}") };
            Err(service.protocol(format!("the task ends with {state}{words}")))
        }
        Some(_) => Ok(false),
        None => Ok(answer.status != StatusCode::ACCEPTED),
    }
}
