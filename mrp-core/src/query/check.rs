//! S-expressions to conditions: names and types are checked, what is constant is folded.

use super::parse::{Expr, Fault, Form};
use super::{
    Comparison, Condition, FIELDS, Field, FieldNames, MAX_TERMS, NumberOperand, TextField, TextOperand,
};

/// An expression whose type is known.
#[derive(Debug, Clone)]
enum Typed {
    Nil,
    Truth(Condition),
    Number(NumberOperand),
    Text(TextOperand),
}

impl Typed {
    fn kind(&self) -> &'static str {
        match self {
            Typed::Nil => "nil",
            Typed::Truth(_) => "a truth value",
            Typed::Number(_) => "a number",
            Typed::Text(_) => "a text",
        }
    }
}

/// The condition that an expression is.
pub(super) fn condition(expr: &Expr) -> Result<Condition, Fault> {
    match typed(expr, &mut 0)? {
        Typed::Truth(condition) => Ok(condition),
        other => Err(Fault::new(expr.at, format!("{} is no condition", other.kind()))),
    }
}

fn typed(expr: &Expr, terms: &mut usize) -> Result<Typed, Fault> {
    let items = match &expr.form {
        Form::Text(text) => return Ok(Typed::Text(TextOperand::Value(text.clone()))),
        Form::Number(number) => return Ok(Typed::Number(NumberOperand::Value(*number))),
        Form::Symbol(name) => return symbol(name, expr.at),
        Form::List(items) => items,
    };
    let (name, operands) = match items.split_first() {
        None => return Err(Fault::new(expr.at, "s-expr is empty")),
        Some((Expr { form: Form::Symbol(name), at }, operands)) => ((name.as_str(), *at), operands),
        Some((first, _)) => return Err(Fault::new(first.at, "s-expr operation must be a symbol")),
    };
    let (name, at) = name;
    let comparison = Comparison::from_name(name);
    if comparison.is_none() && !["and", "or", "=~"].contains(&name) {
        return Err(Fault::new(
            at,
            format!("`{name}` is not a valid operation; there are and or = != > >= < <= =~"),
        ));
    }
    *terms += if operands.is_empty() { 1 } else { operands.len() };
    if *terms > MAX_TERMS {
        return Err(Fault::new(at, format!("failed to parse query: it has more than {MAX_TERMS} operands")));
    }
    let values: Vec<Typed> =
        operands.iter().map(|operand| typed(operand, terms)).collect::<Result<_, _>>()?;
    match (name, values) {
        ("and", values) => Ok(Typed::Truth(all(truths(name, operands, values)?))),
        ("or", values) => Ok(Typed::Truth(any(truths(name, operands, values)?))),
        (_, values) => {
            let count = values.len();
            let Ok([left, right]) = <[Typed; 2]>::try_from(values) else {
                return Err(Fault::new(at, format!("`{name}` takes 2 operands, not {count}")));
            };
            compare(name, comparison, left, right).map(Typed::Truth).map_err(|what| Fault::new(at, what))
        }
    }
}

fn symbol(name: &str, at: usize) -> Result<Typed, Fault> {
    match name {
        "t" => return Ok(Typed::Truth(Condition::Const(true))),
        "nil" => return Ok(Typed::Nil),
        _ => {}
    }
    match FIELDS.iter().find(|(known, _)| *known == name) {
        Some((_, Field::Text(field))) => Ok(Typed::Text(TextOperand::Field(*field))),
        Some((_, Field::Number(field))) => Ok(Typed::Number(NumberOperand::Field(*field))),
        Some((_, Field::Free)) => Ok(Typed::Truth(Condition::Free)),
        None => {
            Err(Fault::new(at, format!("`{name}` is no field of a machine; the fields are {FieldNames}")))
        }
    }
}

/// The operands of `and` and `or`.
fn truths(name: &str, operands: &[Expr], values: Vec<Typed>) -> Result<Vec<Condition>, Fault> {
    let truth = |(operand, value): (&Expr, Typed)| match value {
        Typed::Truth(condition) => Ok(condition),
        Typed::Nil => Ok(Condition::Const(false)),
        _ => Err(Fault::new(operand.at, format!("`{name}` takes comparisons, such as (= name \"x\")"))),
    };
    operands.iter().zip(values).map(truth).collect()
}

fn all(conditions: Vec<Condition>) -> Condition {
    if conditions.contains(&Condition::Const(false)) {
        return Condition::Const(false);
    }
    let mut open: Vec<_> = conditions.into_iter().filter(|c| *c != Condition::Const(true)).collect();
    match open.len() {
        0 => Condition::Const(true),
        1 => open.remove(0),
        _ => Condition::All(open),
    }
}

fn any(conditions: Vec<Condition>) -> Condition {
    if conditions.contains(&Condition::Const(true)) {
        return Condition::Const(true);
    }
    let mut open: Vec<_> = conditions.into_iter().filter(|c| *c != Condition::Const(false)).collect();
    match open.len() {
        0 => Condition::Const(false),
        1 => open.remove(0),
        _ => Condition::Any(open),
    }
}

/// A comparison; `None` stands for `=~`.
fn compare(
    name: &str,
    comparison: Option<Comparison>,
    left: Typed,
    right: Typed,
) -> Result<Condition, String> {
    let mismatch = format!("`{name}` cannot compare {} with {}", left.kind(), right.kind());
    let Some(comparison) = comparison else {
        return match (left, right) {
            (Typed::Text(text), Typed::Text(part)) => contains(text, part),
            (Typed::Nil, _) | (_, Typed::Nil) => Ok(Condition::Const(false)),
            _ => Err(mismatch),
        };
    };
    let no = || Condition::Const(false);
    match (left, right) {
        (Typed::Nil, Typed::Nil) => Ok(truth(no(), comparison, no())),
        (Typed::Nil, Typed::Truth(right)) => Ok(truth(no(), comparison, right)),
        (Typed::Truth(left), Typed::Nil) => Ok(truth(left, comparison, no())),
        (Typed::Nil, _) | (_, Typed::Nil) => Ok(no()),
        (Typed::Truth(left), Typed::Truth(right)) => Ok(truth(left, comparison, right)),
        (Typed::Text(left), Typed::Text(right)) => text(left, comparison, right),
        (Typed::Number(left), Typed::Number(right)) => Ok(number(left, comparison, right)),
        (Typed::Number(left), Typed::Text(TextOperand::Value(right))) => {
            Ok(number(left, comparison, written_number(&right).ok_or(mismatch)?))
        }
        (Typed::Text(TextOperand::Value(left)), Typed::Number(right)) => {
            Ok(number(written_number(&left).ok_or(mismatch)?, comparison, right))
        }
        _ => Err(mismatch),
    }
}

/// A number that is written as a string, as `(= interface_count "1")`.
fn written_number(text: &str) -> Option<NumberOperand> {
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(NumberOperand::Value)
}

fn truth(left: Condition, comparison: Comparison, right: Condition) -> Condition {
    match (&left, &right) {
        (Condition::Const(a), Condition::Const(b)) => Condition::Const(comparison.holds(a.cmp(b))),
        _ => Condition::Truth(Box::new(left), comparison, Box::new(right)),
    }
}

fn number(left: NumberOperand, comparison: Comparison, right: NumberOperand) -> Condition {
    if let (NumberOperand::Value(a), NumberOperand::Value(b)) = (left, right)
        && let Some(order) = a.partial_cmp(&b)
    {
        return Condition::Const(comparison.holds(order));
    }
    Condition::Number(left, comparison, right)
}

fn text(left: TextOperand, comparison: Comparison, right: TextOperand) -> Result<Condition, String> {
    match (&left, &right) {
        (TextOperand::Value(a), TextOperand::Value(b)) => Ok(Condition::Const(comparison.holds(a.cmp(b)))),
        (TextOperand::Field(a), TextOperand::Field(b)) if several(*a, *b) => Err(two_sides()),
        _ => Ok(Condition::Text(left, comparison, right)),
    }
}

fn contains(text: TextOperand, part: TextOperand) -> Result<Condition, String> {
    match (&text, &part) {
        (TextOperand::Value(text), TextOperand::Value(part)) => Ok(Condition::Const(like(text, part))),
        (TextOperand::Field(a), TextOperand::Field(b)) if several(*a, *b) => Err(two_sides()),
        _ => Ok(Condition::Contains(text, part)),
    }
}

fn several(a: TextField, b: TextField) -> bool {
    a.is_several() && b.is_several()
}

fn two_sides() -> String {
    "`tag` and `reserved_by` may stand on one side of a comparison only".into()
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
