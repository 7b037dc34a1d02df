//! What mrp and the site's Kea need of each other, by Kea's own configuration.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mrp_core::store::Store;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::time::timeout;

use super::Finding;
use crate::commands::kea::Pool;
use crate::config::Config;

/// How long mrp may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn examine(config: &Config, store: Option<&dyn Store>) -> Vec<Finding> {
    let path = &config.dhcp.kea_config;
    let (about, shown) = ("Kea", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let advice = "run mrp doctor on Kea's machine as a user that may read it, or set dhcp.kea_config";
            return vec![Finding::warning(about, format!("{shown} cannot be read: {error}"), advice)];
        }
    };
    let found: Value = match serde_json::from_str(&plain_json(&text)) {
        Ok(found) => found,
        Err(error) => {
            let advice = "kea-dhcp4 -t says what is wrong; files that it includes are not looked at here";
            return vec![Finding::warning(about, format!("{shown} is not understood: {error}"), advice)];
        }
    };
    let Some(dhcp) = found.get("Dhcp4") else {
        return vec![Finding::problem(about, format!("{shown} has no \"Dhcp4\""), "set dhcp.kea_config")];
    };
    let mut findings = vec![hook(dhcp, path)];
    findings.extend(asked(dhcp).await);
    if dhcp["reservations-in-subnet"] == false || dhcp["reservation-mode"] == "disabled" {
        let text = format!("{shown} switches reservations off: machines do not get their addresses");
        findings.push(Finding::problem("reservations", text, "write \"reservations-in-subnet\": true"));
    }
    if let Some(store) = store {
        findings.extend(pools(dhcp, store).await);
    }
    findings
}

/// The path of the hook's library, and its parameters.
fn ours(dhcp: &Value) -> Option<(&str, &Value)> {
    let libraries = dhcp["hooks-libraries"].as_array()?;
    let mut entries =
        libraries.iter().filter_map(|entry| Some((entry["library"].as_str()?, &entry["parameters"])));
    entries.find(|(path, _)| path.ends_with("libdhcp_mrp.so"))
}

fn hook(dhcp: &Value, path: &Path) -> Finding {
    let Some((library, values)) = ours(dhcp) else {
        let text = format!("{} does not load libdhcp_mrp.so", path.display());
        return Finding::problem("Kea's hook", text, "mrp kea config prints what belongs there");
    };
    match fs::metadata(library) {
        Err(error) => Finding::problem(
            "Kea's hook",
            format!("{library}: {error}"),
            "make kea-hook, and put target/libdhcp_mrp.so there",
        ),
        Ok(_) => parameters(values, library),
    }
}

/// What Kea itself would only say when it starts.
fn parameters(parameters: &Value, library: &str) -> Finding {
    let Some(url) = parameters["url"].as_str() else {
        return Finding::problem(
            "Kea's hook",
            "its parameter \"url\" is missing",
            "mrp kea config prints it",
        );
    };
    let copy = parameters["cache"].as_str().map(Path::new);
    if let Some(copy) = copy.filter(|copy| !copy.is_absolute()) {
        let text = format!("cache {:?} is no whole path: Kea does not start", copy.display().to_string());
        return Finding::problem("Kea's hook", text, "mrp kea config prints it");
    }
    if let Some(folder) = copy.and_then(Path::parent).filter(|folder| !folder.is_dir()) {
        let text = format!("the folder {} of its copy does not exist: Kea does not start", folder.display());
        return Finding::problem("Kea's hook", text, "make the folder, for Kea's user");
    }
    Finding::ok("Kea's hook", format!("{library}, which asks {url}"))
}

/// Asks as the hook does. mrp may be down: Kea goes on without it.
async fn asked(dhcp: &Value) -> Option<Finding> {
    let about = "Kea's table";
    let (_, parameters) = ours(dhcp)?;
    let url = format!("{}/dhcp/table", parameters["url"].as_str()?.trim_end_matches('/'));
    let mut request = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().ok()?.get(&url);
    if let Some(file) = parameters["token-file"].as_str() {
        match fs::read_to_string(file) {
            Ok(token) => request = request.header("X-MRP-Token", token.trim()),
            Err(error) => {
                let advice = "put the token of machine.token_file there, for Kea's user to read";
                return Some(Finding::problem(about, format!("{file}: {error}"), advice));
            }
        }
    }
    // The table has no end; its beginning is enough.
    let asked = timeout(PATIENCE, async {
        let mut answer = request.send().await?;
        Ok((answer.status(), answer.chunk().await?.unwrap_or_default()))
    });
    let (status, beginning) = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if reqwest::Error::is_builder(&error) => {
            return Some(Finding::problem(
                about,
                format!("{url} is no URL"),
                "mrp kea config prints the right one",
            ));
        }
        Ok(Err(_)) | Err(_) => {
            let text = format!("mrp does not answer at {url}");
            return Some(Finding::warning(
                about,
                text,
                "start mrp; until then the copy on disk is what Kea knows",
            ));
        }
    };
    Some(match status {
        StatusCode::OK if beginning.starts_with(b"data:{\"begin\"") => {
            Finding::ok(about, format!("mrp gives it at {url}"))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Finding::problem(
            about,
            format!("mrp refuses it at {url} to this host"),
            "name this host in machine.dhcp_from, or give the hook the token of machine.token_file in token-file",
        ),
        status => Finding::problem(
            about,
            format!("what answers at {url} is not the machines' door of mrp ({status})"),
            "mrp kea config prints the right URL",
        ),
    })
}

/// Reserved ranges that no subnet has, or that a pool has addresses of.
async fn pools(dhcp: &Value, store: &dyn Store) -> Vec<Finding> {
    let Ok(networks) = store.networks().await else { return Vec::new() };
    let subnets = subnets(dhcp);
    let mut findings = Vec::new();
    for network in networks {
        let Some(subnet) =
            subnets.iter().find(|subnet| subnet["subnet"] == network.subnet.trunc().to_string())
        else {
            let text = format!("Kea has no subnet {} (network {})", network.subnet, network.name);
            findings.push(Finding::warning(
                "Kea's subnets",
                text,
                "add it, if this Kea is to serve that network",
            ));
            continue;
        };
        let pools = subnet["pools"].as_array().map(Vec::as_slice).unwrap_or_default();
        let taken = pools.iter().filter_map(|pool| pool["pool"].as_str()).find(|text| {
            let pool: Option<Pool> = text.parse().ok();
            let ranges = [network.reserved_net, network.static_net];
            pool.is_some_and(|pool| ranges.into_iter().flatten().any(|range| pool.overlaps(range)))
        });
        if let Some(pool) = taken {
            let text = format!(
                "the pool {pool} has addresses that network {} reserves: with no table, or with reservations-out-of-pool, anybody gets them",
                network.name
            );
            findings.push(Finding::problem(
                "Kea's pools",
                text,
                "keep pools apart from reserved and static ranges",
            ));
        }
    }
    findings
}

/// All subnets, those of shared networks too.
fn subnets(dhcp: &Value) -> Vec<&Value> {
    let shared = dhcp["shared-networks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = std::iter::once(dhcp).chain(shared).filter_map(|holder| holder["subnet4"].as_array());
    all.flatten().collect()
}

/// Kea's JSON as everybody's: without comments (`//` and `#` to the end of the line, `/* */`), and without a comma before `}` or
/// `]`, which Kea takes with a warning.
fn plain_json(text: &str) -> String {
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let skipped = if quoted {
            0
        } else if rest.starts_with("//") || c == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            0
        };
        if skipped > 0 {
            rest = &rest[skipped..];
            continue;
        }
        // What a backslash stands before ends no text.
        let taken =
            if quoted && c == '\\' { rest.chars().take(2).map(char::len_utf8).sum() } else { c.len_utf8() };
        quoted ^= c == '"';
        if !quoted
            && (c == '}' || c == ']')
            && let Some(kept) = out.trim_end().strip_suffix(',').map(str::len)
        {
            out.truncate(kept);
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_needless_commas_are_passed_over() {
        let text = r#"{ // one
            "a": "x // # /* \" ,}", # two
            /* "b": 3,
            */ "c": [1, // three
            ], }"#;
        let found: Value = serde_json::from_str(&plain_json(text)).unwrap();
        assert_eq!(found, json!({"a": "x // # /* \" ,}", "c": [1]}));
        assert_eq!(plain_json("/* open"), "");
    }

    #[test]
    fn the_hook_is_looked_for() {
        let path = Path::new("/etc/kea/kea-dhcp4.conf");
        let finding = |libraries| hook(&json!({"hooks-libraries": libraries}), path).text;
        assert!(finding(json!([])).contains("does not load"));
        assert!(hook(&json!({}), path).text.contains("does not load"));
        assert!(finding(json!([{"library": "/no/libdhcp_mrp.so"}])).contains("No such file"));
        let found = |values: Value| parameters(&values, "libdhcp_mrp.so").text;
        assert!(found(json!({})).contains("\"url\" is missing"));
        assert!(
            found(json!({"url": "http://a", "cache": "/no/folder/table"})).contains("/no/folder of its copy")
        );
        assert!(found(json!({"url": "http://a", "cache": "table"})).contains("no whole path"));
        assert!(found(json!({"url": "http://a", "cache": "/tmp/table"})).contains("asks http://a"));
    }
}
