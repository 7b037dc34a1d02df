//! The query language of machine lists and reservations: s-expressions, as mr-provisioner's clients send them.
//!
//! `(and (= arch "arm64") (>= interface_count 1) (= tag "ssd"))`. Operations: `and or = != > >= < <= =~`. `=~` is true
//! where the right side occurs in the left one; `%` matches any characters and `_` one. Values: strings, integers,
//! decimals, `t`, `nil`, and the machine's fields. `;` starts a comment. Texts compare by their bytes; what a machine
//! lacks is an empty text. `nil` is no text and no number, so that a comparison with it is false; among truth values it
//! is false.
//!
//! A machine may have several tags and several holders: a comparison with `tag` or `reserved_by` is true if it is for
//! one of them, and `!=` if none of them is the other side.
//!
//! [`Condition::parse`] checks names and types and folds what is constant; stores compile the rest to their own
//! language, with the values bound.

use std::fmt;

mod check;
mod parse;
#[cfg(test)]
mod tests;

/// Longest query, in bytes.
const MAX_LENGTH: usize = 8192;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most comparisons and truth values of one query.
const MAX_TERMS: usize = 200;

/// The query could not be understood, or compares what cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at character {position}")]
pub struct QueryError {
    message: String,
    position: usize,
}

impl QueryError {
    /// The character of the query that is wrong, counted from 1.
    pub fn position(&self) -> usize {
        self.position
    }
}

/// What is asked of a machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The same for every machine.
    Const(bool),
    /// Nobody holds the machine.
    Free,
    /// All of these hold.
    All(Vec<Condition>),
    /// One of these holds.
    Any(Vec<Condition>),
    /// Two truth values compare so; false is less than true.
    Truth(Box<Condition>, Comparison, Box<Condition>),
    /// Two numbers compare so.
    Number(NumberOperand, Comparison, NumberOperand),
    /// Two texts compare so, byte by byte.
    Text(TextOperand, Comparison, TextOperand),
    /// The second text occurs in the first; in the second, `%` stands for any characters and `_` for one.
    Contains(TextOperand, TextOperand),
}

impl Default for Condition {
    fn default() -> Self {
        Condition::Const(true)
    }
}

impl Condition {
    /// Understands a query; an empty one is true for every machine.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let parsed = parse::parse(text).and_then(|expr| match expr {
            None => Ok(Condition::Const(true)),
            Some(expr) => check::condition(&expr),
        });
        parsed.map_err(|parse::Fault { at, message }| {
            let before = text.get(..at).unwrap_or(text);
            QueryError { message, position: before.chars().count() + 1 }
        })
    }
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    const ALL: [(&'static str, Comparison); 6] = [
        ("=", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, comparison)| *comparison)
    }

    /// True if values in this order compare so.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
        }
    }
}

/// A side of a comparison of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOperand {
    /// A constant.
    Value(String),
    /// A machine's.
    Field(TextField),
}

/// A side of a comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberOperand {
    /// A constant; finite.
    Value(f64),
    /// A machine's.
    Field(NumberField),
}

/// A text that a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextField {
    /// Its name.
    Name,
    /// Its architecture's name.
    Arch,
    /// Its subarchitecture's name.
    Subarch,
    /// The driver of its BMC.
    BmcType,
    /// Its state.
    State,
    /// Its power as last seen: `on`, `off` or `unknown`.
    Power,
    /// The name of one of its holders.
    ReservedBy,
    /// One of its tags.
    Tag,
}

impl TextField {
    /// True for what a machine may have several of.
    pub fn is_several(self) -> bool {
        matches!(self, TextField::ReservedBy | TextField::Tag)
    }
}

/// A number that a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberField {
    /// Interfaces that it has.
    Interfaces,
    /// Users that hold it.
    Holders,
}

/// A field by what it is.
#[derive(Debug, Clone, Copy)]
enum Field {
    Text(TextField),
    Number(NumberField),
    Free,
}

/// The fields by their names in queries.
const FIELDS: [(&str, Field); 11] = [
    ("name", Field::Text(TextField::Name)),
    ("arch", Field::Text(TextField::Arch)),
    ("subarch", Field::Text(TextField::Subarch)),
    ("bmc_type", Field::Text(TextField::BmcType)),
    ("state", Field::Text(TextField::State)),
    ("power", Field::Text(TextField::Power)),
    ("free", Field::Free),
    ("reserved_by", Field::Text(TextField::ReservedBy)),
    ("tag", Field::Text(TextField::Tag)),
    ("interface_count", Field::Number(NumberField::Interfaces)),
    ("assignee_count", Field::Number(NumberField::Holders)),
];

/// The names of the fields, for an error.
struct FieldNames;

impl fmt::Display for FieldNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&FIELDS.map(|(name, _)| name).join(", "))
    }
}
