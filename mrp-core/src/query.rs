//! The query language of machine lists and reservations: s-expressions, as mr-provisioner's clients send them.
//!
//! `(and (= arch "arm64") (>= interface_count 1))`. Operations: `and or = != > >= < <= =~`. `=~` is true where the
//! right side occurs in the left one; `%` matches any characters and `_` one. Values: strings, integers, decimals, `t`,
//! `nil`, and the machine's facts. `;` starts a comment.

use std::cmp::Ordering;

/// The query could not be understood, or compares what cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(String);

/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Names that a query may use.
const FIELDS: &str = "name, arch, subarch, bmc_type, state, interface_count, assignee_count";

/// What a query may ask of a machine. Names that the machine lacks are empty.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Machine's name.
    pub name: &'a str,
    /// Architecture.
    pub arch: &'a str,
    /// Subarchitecture.
    pub subarch: &'a str,
    /// Driver of its BMC.
    pub bmc_type: &'a str,
    /// State.
    pub state: &'a str,
    /// Interfaces that it has.
    pub interface_count: usize,
    /// Users that hold it.
    pub assignee_count: usize,
}

/// A query that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Query(Option<Expr>);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Symbol(String),
    Text(String),
    Number(f64),
    List(Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Query {
    /// Understands a query; an empty one matches everything.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut parser = Parser { text, at: 0 };
        parser.skip_blank();
        if parser.rest().is_empty() {
            return Ok(Self(None));
        }
        let expr = parser.expr(0)?;
        parser.skip_blank();
        if !parser.rest().is_empty() {
            return Err(QueryError(format!(
                "failed to parse query: more than one expression at {}",
                parser.at
            )));
        }
        match expr {
            Expr::List(_) => Ok(Self(Some(expr))),
            _ => Err(QueryError(
                "failed to parse query: an expression such as (= name \"x\") is needed".into(),
            )),
        }
    }

    /// True if it matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True if a machine of these facts matches.
    pub fn matches(&self, facts: &Facts<'_>) -> Result<bool, QueryError> {
        match &self.0 {
            None => Ok(true),
            Some(expr) => Ok(eval(expr, facts)? == Value::Bool(true)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            match self.rest().strip_prefix(';') {
                Some(comment) => self.at += 1 + comment.find('\n').unwrap_or(comment.len()),
                None if blank == 0 => return,
                None => {}
            }
        }
    }

    fn expr(&mut self, depth: usize) -> Result<Expr, QueryError> {
        if depth > MAX_DEPTH {
            return Err(QueryError(format!("failed to parse query: nested deeper than {MAX_DEPTH}")));
        }
        self.skip_blank();
        let rest = self.rest();
        match rest.chars().next() {
            None => Err(QueryError("failed to parse query: it ends too early; is a ) missing?".into())),
            Some('(') => self.list(depth),
            Some('"') => self.string(),
            Some(c @ (')' | '[' | ']' | '\'')) => {
                Err(QueryError(format!("failed to parse query: unexpected {c} at {}", self.at)))
            }
            Some(_) => {
                let end = rest.find(|c: char| c.is_whitespace() || "()\";".contains(c)).unwrap_or(rest.len());
                self.at += end;
                let word = &rest[..end];
                let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
                let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
                Ok(number.filter(|_| is_number).map_or_else(|| Expr::Symbol(word.to_owned()), Expr::Number))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Expr, QueryError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            if self.rest().starts_with(')') {
                self.at += 1;
                return Ok(Expr::List(items));
            }
            items.push(self.expr(depth + 1)?);
        }
    }

    fn string(&mut self) -> Result<Expr, QueryError> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(Expr::Text(text));
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => text.push(c),
            }
        }
        Err(QueryError(format!("failed to parse query: the string at {start} does not end")))
    }
}

fn eval(expr: &Expr, facts: &Facts<'_>) -> Result<Value, QueryError> {
    let items = match expr {
        Expr::Text(text) => return Ok(Value::Text(text.clone())),
        Expr::Number(number) => return Ok(Value::Number(*number)),
        Expr::Symbol(name) => return fact(name, facts),
        Expr::List(items) => items,
    };
    let (operation, operands) = match items.split_first() {
        None => return Err(QueryError("s-expr is empty".into())),
        Some((Expr::Symbol(operation), operands)) => (operation.as_str(), operands),
        Some(_) => return Err(QueryError("s-expr operation must be a symbol".into())),
    };
    if !["and", "or", "=", "!=", ">", ">=", "<", "<=", "=~"].contains(&operation) {
        return Err(QueryError(format!("`{operation}` is not a valid operation")));
    }
    let values: Vec<Value> = operands.iter().map(|operand| eval(operand, facts)).collect::<Result<_, _>>()?;
    let truth = |value: &Value| match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Nil => Ok(false),
        _ => Err(QueryError(format!("`{operation}` takes comparisons, such as (= name \"x\")"))),
    };
    match (operation, &values[..]) {
        ("and", values) => {
            values.iter().try_fold(true, |all, value| Ok(truth(value)? && all)).map(Value::Bool)
        }
        ("or", values) => {
            values.iter().try_fold(false, |any, value| Ok(truth(value)? || any)).map(Value::Bool)
        }
        (_, [left, right]) => compare(operation, left, right).map(Value::Bool),
        (_, values) => Err(QueryError(format!("`{operation}` takes 2 operands, not {}", values.len()))),
    }
}

fn fact(name: &str, facts: &Facts<'_>) -> Result<Value, QueryError> {
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let count = |count: usize| Value::Number(count as f64);
    Ok(match name {
        "name" => Value::Text(facts.name.into()),
        "arch" => Value::Text(facts.arch.into()),
        "subarch" => Value::Text(facts.subarch.into()),
        "bmc_type" => Value::Text(facts.bmc_type.into()),
        "state" => Value::Text(facts.state.into()),
        "interface_count" => count(facts.interface_count),
        "assignee_count" => count(facts.assignee_count),
        "t" => Value::Bool(true),
        "nil" => Value::Nil,
        _ => return Err(QueryError(format!("`{name}` is no field of a machine; the fields are {FIELDS}"))),
    })
}

fn compare(operation: &str, left: &Value, right: &Value) -> Result<bool, QueryError> {
    let mismatch = || QueryError(format!("`{operation}` cannot compare {} with {}", kind(left), kind(right)));
    if operation == "=~" {
        return match (left, right) {
            (Value::Text(text), Value::Text(part)) => Ok(like(text, part)),
            (Value::Nil, _) | (_, Value::Nil) => Ok(false),
            _ => Err(mismatch()),
        };
    }
    let order = match (left, right) {
        (Value::Nil, _) | (_, Value::Nil) => return Ok(false),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Number(a), Value::Text(b)) => a.total_cmp(&b.parse().map_err(|_| mismatch())?),
        _ => return Err(mismatch()),
    };
    Ok(match operation {
        "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "<" => order == Ordering::Less,
        _ => order != Ordering::Greater,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "a comparison",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
    }
}

/// SQL's `text LIKE '%part%'`, without backtracking beyond the last `%`.
fn like(text: &str, part: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), format!("%{part}%").chars().collect());
    let (mut t, mut p, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '%' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '_' || pattern[p] == text[t]) {
            (t, p) = (t + 1, p + 1);
        } else if let Some((at, matched)) = star {
            star = Some((at, matched + 1));
            (p, t) = (at + 1, matched + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Facts<'_> = Facts {
        name: "node2",
        arch: "arm64",
        subarch: "",
        bmc_type: "plain",
        state: "ready",
        interface_count: 1,
        assignee_count: 0,
    };

    fn ask(text: &str) -> Result<bool, String> {
        Query::parse(text).and_then(|query| query.matches(&NODE)).map_err(|error| error.to_string())
    }

    #[test]
    fn queries_of_old_clients_answer_as_the_original_did() {
        for (text, matches) in [
            ("", true),
            (r#"(= name "node2")"#, true),
            (r#"(!= name "node2")"#, false),
            (r#"(=~ name "ode")"#, true),
            (r#"(=~ name "o%e2")"#, true),
            (r#"(=~ name "o_e2")"#, true),
            (r#"(=~ name "x")"#, false),
            (r#"(and (= arch "arm64") (>= interface_count 1) (= subarch ""))"#, true),
            (r#"(or (= name "node2") (= name "node6"))"#, true),
            ("(and)", true),
            ("(or)", false),
            ("(= name nil)", false),
            (r#"(= interface_count "1")"#, true),
            ("(= interface_count 1.5)", false),
            (r#"(= "a" "a")"#, true),
            ("(> 2 1)", true),
            (r#"(= name "no\"de")"#, false),
            (";c\n(= name \"node2\")", true),
            (r#"(and nil (= name "node2"))"#, false),
            (r#"(< name "node3")"#, true),
            (r#"(= bmc_type "plain" )   "#, true),
        ] {
            assert_eq!(ask(text), Ok(matches), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("(foo name \"x\")", "`foo` is not a valid operation"),
            ("(not (= name \"x\"))", "`not` is not a valid operation"),
            ("(= nosuch \"x\")", "`nosuch` is no field"),
            ("(\"=\" name \"x\")", "s-expr operation must be a symbol"),
            ("()", "s-expr is empty"),
            ("(", "is a ) missing"),
            ("(= name", "is a ) missing"),
            ("name", "an expression such as"),
            ("5", "an expression such as"),
            ("(= name \"a\") (= name \"b\")", "more than one expression"),
            ("(= name)", "takes 2 operands, not 1"),
            ("(= name 5)", "cannot compare a text with a number"),
            ("(= interface_count \"x\")", "cannot compare a number with a text"),
            ("(and (= name \"x\") 5)", "`and` takes comparisons"),
            ("[= name \"x\"]", "unexpected ["),
            ("'(= name \"x\")", "unexpected '"),
            ("(= name \"x", "does not end"),
        ] {
            let error = ask(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(ask(&"(".repeat(100_000)).unwrap_err().contains("nested deeper"));
    }
}
