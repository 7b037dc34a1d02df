//! The query language: random queries, evaluated here in memory, have to find the same machines in the store.

use std::fmt;

use super::*;
use crate::bmc::Power;
use crate::bmc_entry::BmcSightings;
use crate::machine::{MachineState, SeenPower};
use crate::query::Condition;
use crate::store::MachineFilter;

/// How many random queries are asked.
const QUERIES: usize = 600;

/// What a query may ask of a machine.
#[derive(Debug)]
struct Facts {
    name: String,
    arch: &'static str,
    subarch: &'static str,
    bmc_type: &'static str,
    state: &'static str,
    power: &'static str,
    tags: Vec<&'static str>,
    holders: Vec<&'static str>,
    interfaces: u32,
}

/// A query as this suite understands it.
#[derive(Debug)]
enum Truth {
    T,
    Nil,
    Free,
    And(Vec<Truth>),
    Or(Vec<Truth>),
    Truths(&'static str, Box<Truth>, Box<Truth>),
    Texts(&'static str, Text, Text),
    Numbers(&'static str, Number, Number),
}

#[derive(Debug, Clone)]
enum Text {
    Nil,
    Value(&'static str),
    Field(&'static str),
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Nil,
    Value(f64),
    Written(f64),
    Field(&'static str),
}

const OPERATIONS: [&str; 6] = ["=", "!=", ">", ">=", "<", "<="];
const TEXT_FIELDS: [&str; 8] =
    ["name", "arch", "subarch", "bmc_type", "state", "power", "reserved_by", "tag"];
const NAMES: [&str; 14] = [
    "node1",
    "Node1",
    "node10",
    "n%de",
    "n_de",
    "nöde",
    "NÖDE",
    "a*b",
    "a?b",
    "[ab]",
    "a\\b",
    "it's",
    "say \"x\"",
    "节点🖥",
];
const TEXTS: [&str; 30] = [
    "", "node1", "Node1", "NODE1", "ode", "o%e", "o_e", "%", "_", "%%1", "nöde", "Ö", "ö_", "*", "?", "[",
    "]", "[ab]", "\\", "'", "\"", "🖥", "点", "arm64", "efi", "plain", "ready", "on", "alice", "ssd",
];

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, name: &str, of: &[Truth]| {
            write!(f, "({name}")?;
            of.iter().try_for_each(|truth| write!(f, " {truth}"))?;
            f.write_str(")")
        };
        match self {
            Truth::T => f.write_str("t"),
            Truth::Nil => f.write_str("nil"),
            Truth::Free => f.write_str("free"),
            Truth::And(of) => list(f, "and", of),
            Truth::Or(of) => list(f, "or", of),
            Truth::Truths(op, a, b) => write!(f, "({op} {a} {b})"),
            Truth::Texts(op, a, b) => write!(f, "({op} {a} {b})"),
            Truth::Numbers(op, a, b) => write!(f, "({op} {a} {b})"),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Nil => f.write_str("nil"),
            Text::Value(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Text::Field(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Nil => f.write_str("nil"),
            Number::Value(number) => write!(f, "{number}"),
            Number::Written(number) => write!(f, "\"{number}\""),
            Number::Field(name) => f.write_str(name),
        }
    }
}

impl Truth {
    fn holds(&self, of: &Facts) -> bool {
        match self {
            Truth::T => true,
            Truth::Nil => false,
            Truth::Free => of.holders.is_empty(),
            Truth::And(all) => all.iter().all(|truth| truth.holds(of)),
            Truth::Or(any) => any.iter().any(|truth| truth.holds(of)),
            Truth::Truths(op, a, b) => ordered(op, &a.holds(of), &b.holds(of)),
            Truth::Texts(op, a, b) => match (a.values(of), b.values(of)) {
                (Some(a), Some(b)) => texts_hold(op, &a, &b),
                _ => false,
            },
            Truth::Numbers(op, a, b) => match (a.value(of), b.value(of)) {
                (Some(a), Some(b)) => ordered(op, &a, &b),
                _ => false,
            },
        }
    }
}

/// One of the pairs compares so; with `!=`, none of them is equal.
fn texts_hold(op: &str, a: &[&str], b: &[&str]) -> bool {
    let any = |op: &str| a.iter().any(|a| b.iter().any(|b| text_holds(op, a, b)));
    if op == "!=" { !any("=") } else { any(op) }
}

fn text_holds(op: &str, a: &str, b: &str) -> bool {
    if op == "=~" {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        return (0..=a.len()).any(|start| begins(&a[start..], &b));
    }
    ordered(op, &a.as_bytes(), &b.as_bytes())
}

fn begins(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => true,
        Some(('%', rest)) => (0..=text.len()).any(|skipped| begins(&text[skipped..], rest)),
        Some((c, rest)) => {
            text.split_first().is_some_and(|(first, text)| (*c == '_' || c == first) && begins(text, rest))
        }
    }
}

fn ordered<T: PartialOrd>(op: &str, a: &T, b: &T) -> bool {
    match op {
        "=" => a == b,
        "!=" => a != b,
        ">" => a > b,
        ">=" => a >= b,
        "<" => a < b,
        _ => a <= b,
    }
}

impl Text {
    fn values<'a>(&'a self, of: &'a Facts) -> Option<Vec<&'a str>> {
        Some(match self {
            Text::Nil => return None,
            Text::Value(text) => vec![text],
            Text::Field("name") => vec![&of.name],
            Text::Field("arch") => vec![of.arch],
            Text::Field("subarch") => vec![of.subarch],
            Text::Field("bmc_type") => vec![of.bmc_type],
            Text::Field("state") => vec![of.state],
            Text::Field("power") => vec![of.power],
            Text::Field("tag") => of.tags.clone(),
            Text::Field(_) => of.holders.clone(),
        })
    }

    fn is_several(&self) -> bool {
        matches!(self, Text::Field("tag" | "reserved_by"))
    }
}

impl Number {
    fn value(self, of: &Facts) -> Option<f64> {
        match self {
            Number::Nil => None,
            Number::Value(number) | Number::Written(number) => Some(number),
            Number::Field("interface_count") => Some(f64::from(of.interfaces)),
            Number::Field(_) => u32::try_from(of.holders.len()).ok().map(f64::from),
        }
    }
}

/// Chance that is the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or(0)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn truth(&mut self, depth: usize) -> Truth {
        let nested = if depth == 0 { 5 } else { 0 };
        match self.below(12 - nested) {
            0 => match self.below(4) {
                0 => Truth::T,
                1 => Truth::Nil,
                _ => Truth::Free,
            },
            1..=4 => self.texts(),
            5 | 6 => self.numbers(),
            7 | 8 => Truth::And(self.truths(depth)),
            9 | 10 => Truth::Or(self.truths(depth)),
            _ => {
                let (a, b) = (self.truth(depth - 1), self.truth(depth - 1));
                Truth::Truths(self.of(&OPERATIONS), Box::new(a), Box::new(b))
            }
        }
    }

    fn truths(&mut self, depth: usize) -> Vec<Truth> {
        (0..self.below(4)).map(|_| self.truth(depth - 1)).collect()
    }

    fn texts(&mut self) -> Truth {
        loop {
            let (a, b) = (self.text(), self.text());
            // Both nil are truth values.
            let nils = matches!((&a, &b), (Text::Nil, Text::Nil));
            if !(nils || a.is_several() && b.is_several()) {
                let op = if self.below(3) == 0 { "=~" } else { self.of(&OPERATIONS) };
                return Truth::Texts(op, a, b);
            }
        }
    }

    fn text(&mut self) -> Text {
        match self.below(20) {
            0 => Text::Nil,
            1..=10 => Text::Field(self.of(&TEXT_FIELDS)),
            11..=13 => Text::Value(self.of(&NAMES)),
            _ => Text::Value(self.of(&TEXTS)),
        }
    }

    fn numbers(&mut self) -> Truth {
        let (a, b) = (self.number(), self.number());
        match (a, b) {
            // Those would be texts, or nil and nil, which are truth values.
            (Number::Nil | Number::Written(_), Number::Nil | Number::Written(_)) => self.numbers(),
            _ => Truth::Numbers(self.of(&OPERATIONS), a, b),
        }
    }

    fn number(&mut self) -> Number {
        match self.below(10) {
            0 => Number::Nil,
            1..=4 => Number::Field(self.of(&["interface_count", "assignee_count"])),
            5..=7 => Number::Value(self.of(&[0.0, 1.0, 1.5, 2.0, -1.0, 3.0])),
            _ => Number::Written(self.of(&[0.0, 1.0, 0.5, 2.0])),
        }
    }
}

/// A machine of each name, with whatever chance gives it.
async fn lab(store: &dyn Store, chance: &mut Chance) -> Result<Vec<Facts>, Failure> {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let efi = store.insert_subarch(&subarch(&arm, "efi"), &quiet()).await?;
    let x86 = store.insert_arch(&arch("X86_64"), &quiet()).await?;
    let plain = store.insert_bmc(&bmc("b1", "10.1.0.1"), &quiet()).await?;
    let mut users = Vec::new();
    for name in ["alice", "Bob", "node1"] {
        users.push((name, store.insert_user(&user(name), &quiet()).await?));
    }
    let mut lab = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let (is_arm, has_bmc) = (chance.below(3) > 0, chance.below(2) > 0);
        let mut machine = Machine::new(*name, if is_arm { arm.id } else { x86.id });
        machine.subarch = (is_arm && chance.below(2) > 0).then_some(efi.id);
        machine.bmc = has_bmc.then_some(plain.id);
        machine.state = chance.of(&[MachineState::Unknown, MachineState::Ready, MachineState::Error]);
        let machine = store.insert_machine(&machine, &quiet()).await?;
        let power = chance.of(&[None, Some(Power::On), Some(Power::Off)]);
        if let Some(power) = power {
            let power = vec![(machine.id, SeenPower { power, at: AT })];
            store.put_bmc_sightings(&BmcSightings { power, ..BmcSightings::default() }).await?;
        }
        let interfaces = u8::try_from(chance.below(4)).unwrap_or(0);
        for card in 0..interfaces {
            let mac = MacAddr([2, 0, 0, 0, number, card]);
            store.insert_interface(&Interface { mac, ..interface(&machine, 0) }, &quiet()).await?;
        }
        let mut holders = Vec::new();
        for (name, user) in &users {
            if chance.below(3) == 0 {
                store.insert_assignment(&assignment(&machine, user), &quiet()).await?;
                holders.push(*name);
            }
        }
        let tags: Vec<&str> =
            ["ssd", "SSD", "rack:1", "ö"].into_iter().filter(|_| chance.below(3) == 0).collect();
        let stored: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        store.set_tags(&machine, &stored, &quiet()).await?;
        lab.push(Facts {
            name: machine.name,
            arch: if is_arm { "arm64" } else { "X86_64" },
            subarch: if machine.subarch.is_some() { "efi" } else { "" },
            bmc_type: if has_bmc { "plain" } else { "" },
            state: machine.state.as_str(),
            power: power.map_or("unknown", |power| if power == Power::On { "on" } else { "off" }),
            tags,
            holders,
            interfaces: u32::from(interfaces),
        });
    }
    Ok(lab)
}

async fn ask(store: &dyn Store, query: &str) -> Result<Vec<String>, Failure> {
    let condition = Condition::parse(query).map_err(|error| Failure(format!("{query}: {error}")))?;
    let found = store.machines(&MachineFilter { condition, ..MachineFilter::default() }).await;
    let found = found.map_err(|error| Failure(format!("{query}: {error:?}")))?;
    Ok(found.into_iter().map(|machine| machine.name).collect())
}

pub(super) async fn random(store: &dyn Store) -> Outcome {
    let mut chance = Chance(0x6d72_7072);
    let lab = lab(store, &mut chance).await?;
    let (mut some, mut none) = (0, 0);
    for _ in 0..QUERIES {
        // A list at the top is what the language asks for.
        let query = Truth::And(vec![chance.truth(3)]);
        let wanted: Vec<_> = lab.iter().filter(|facts| query.holds(facts)).map(|f| f.name.clone()).collect();
        same(&format!("machines of {query}"), &ask(store, &query.to_string()).await?, &wanted)?;
        *(if wanted.is_empty() || wanted.len() == lab.len() { &mut none } else { &mut some }) += 1;
    }
    ensure(some > QUERIES / 10, || format!("only {some} queries tell machines apart, {none} do not"))
}

pub(super) async fn signs(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    for name in NAMES {
        store.insert_machine(&Machine::new(name, arm.id), &quiet()).await?;
    }
    let deep = format!("{}(= name \"node1\"){}", "(= t ".repeat(30), ")".repeat(30));
    let wide = format!("(or{} (= name \"node1\"))", " (= name \"x\")".repeat(60));
    let injected = r#"(= name "x' OR 'x' = 'x")"#;
    for (query, wanted) in [
        (r#"(=~ name "NODE")"#, &[][..]),
        (r#"(=~ name "ode1")"#, &["node1", "Node1", "node10"]),
        (r#"(=~ name "%")"#, &NAMES),
        (r#"(=~ name "a_b")"#, &["a*b", "a?b", "a\\b", "[ab]"][..3]),
        (r#"(=~ name "*")"#, &["a*b"]),
        (r#"(=~ name "?")"#, &["a?b"]),
        (r#"(=~ name "[")"#, &["[ab]"]),
        (r#"(=~ name "[a")"#, &["[ab]"]),
        (r#"(=~ name "\\")"#, &["a\\b"]),
        (r#"(=~ name "'")"#, &["it's"]),
        (r#"(=~ name "\"x")"#, &["say \"x\""]),
        (r#"(=~ name "ö")"#, &["nöde"]),
        (r#"(=~ name "节_🖥")"#, &["节点🖥"]),
        (r#"(> name "nz")"#, &["nöde", "say \"x\"", "节点🖥"]),
        (r#"(=~ name name)"#, &NAMES),
        (injected, &[]),
        (&deep, &["node1"]),
        (&wide, &["node1"]),
    ] {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        same(&format!("machines of {query}"), &ask(store, query).await?, &wanted)?;
    }
    Ok(())
}
