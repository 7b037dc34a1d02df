//! mrp.example.toml has every key there is, and its values are accepted.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use mrp_cli::config::{Config, keys};

/// Keys are commented out as `#key = value`; what they are is commented as `# words`.
fn uncommented() -> String {
    let key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = ");
    let line = |line: &'static str| line.strip_prefix('#').filter(key).unwrap_or(line);
    include_str!("../../mrp.example.toml").lines().map(line).collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Config {
    Config::parse(text, "mrp.example.toml", std::iter::empty()).unwrap()
}

#[test]
fn the_example_has_exactly_the_keys_that_there_are() {
    parse(&uncommented());
    let table: toml::Table = toml::from_str(&uncommented()).unwrap();
    let found = table.iter().map(|(section, keys)| {
        let mut keys: Vec<String> = keys.as_table().unwrap().keys().cloned().collect();
        keys.sort();
        (section.clone(), keys)
    });
    let mut expected = keys();
    expected.values_mut().for_each(|keys| keys.sort());
    assert_eq!(found.collect::<std::collections::BTreeMap<_, _>>(), expected);
}

#[test]
fn what_has_a_default_shows_it() {
    let (example, default) = (parse(&uncommented()), parse(include_str!("../../mrp.example.toml")));
    for section in ["tftp", "run"] {
        let [example, default] =
            [&example, &default].map(|config| serde_json::to_value(config).unwrap()[section].clone());
        assert_eq!(example, default, "{section}");
    }
    assert_eq!(example.web.listen, default.web.listen);
    assert_eq!(example.web.session, default.web.session);
    assert_eq!(example.machine.listen, default.machine.listen);
}
