//! mr-provisioner's recorded requests on the lab's own rows; `real_replay` asks them of an imported database.

use crate::lab::{Lab, Setup};
use crate::replay::differences::DIFFERENCES;
use crate::replay::{cases, replay};

#[tokio::test]
async fn old_clients_get_what_they_got_but_for_the_listed_differences() {
    let lab = || Lab::with(Setup { templates: true, ..Setup::default() });
    replay(lab).await.check("SQLite in memory");
}

#[test]
fn the_document_lists_the_same_differences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api-differences.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<String> = rows.map(str::to_owned).collect();
    let expected: Vec<String> = DIFFERENCES
        .iter()
        .map(|d| {
            let cases: Vec<String> = d.cases.iter().map(ToString::to_string).collect();
            format!("| `{}` | {} | {} | {} |", d.name, d.allowed_by, d.reason, cases.join(", "))
        })
        .collect();
    assert_eq!(listed, expected, "the table is:\n{}", expected.join("\n"));
}

#[test]
fn every_case_is_listed_once_and_every_listed_case_is_recorded() {
    let mut listed: Vec<u32> = DIFFERENCES.iter().flat_map(|listed| listed.cases.to_vec()).collect();
    let count = listed.len();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), count);
    let recorded: Vec<u32> = cases().iter().map(|case| case.n).collect();
    assert!(listed.iter().all(|case| recorded.contains(case)));
}
