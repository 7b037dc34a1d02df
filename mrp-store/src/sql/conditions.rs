//! Conditions of the query language as SQL over `machines m`. Names, texts and numbers of users are bound.

use mrp_core::query::{Comparison, Condition, NumberField, NumberOperand, TextField, TextOperand};

use super::builder::QueryBuilder;
use super::database::Pool;

/// Adds a condition, which is true or false and never NULL.
pub(super) fn push<'q>(query: &mut QueryBuilder<'q>, condition: &'q Condition, pool: &Pool) {
    match condition {
        Condition::Const(true) => drop(query.push("(1 = 1)")),
        Condition::Const(false) => drop(query.push("(1 = 0)")),
        Condition::Free => drop(query.push("(m.holders = 0)")),
        Condition::All(conditions) => push_joined(query, conditions, " AND ", pool),
        Condition::Any(conditions) => push_joined(query, conditions, " OR ", pool),
        Condition::Truth(left, comparison, right) => {
            query.push("(");
            push(query, left, pool);
            query.push(operator(*comparison));
            push(query, right, pool);
            query.push(")");
        }
        Condition::Number(left, comparison, right) => {
            query.push("(");
            push_number(query, *left);
            query.push(operator(*comparison));
            push_number(query, *right);
            query.push(")");
        }
        Condition::Text(left, comparison, right) => {
            let several = is_several(left) || is_several(right);
            // `!=` of several: none of them is the other side.
            let (no, comparison) = match comparison {
                Comparison::NotEqual if several => (true, Comparison::Equal),
                comparison => (false, *comparison),
            };
            query.push(if no { "(NOT " } else { "(" });
            let end = open(query, left, right);
            push_text(query, left);
            query.push(operator(comparison));
            push_text(query, right);
            query.push(end);
        }
        Condition::Contains(text, part) => {
            query.push("(");
            let end = open(query, text, part);
            push_text(query, text);
            push_pattern(query, part, pool);
            query.push(end);
        }
    }
}

fn push_joined<'q>(
    query: &mut QueryBuilder<'q>,
    conditions: &'q [Condition],
    between: &'static str,
    pool: &Pool,
) {
    query.push("(");
    for (index, condition) in conditions.iter().enumerate() {
        if index > 0 {
            query.push(between);
        }
        push(query, condition, pool);
    }
    query.push(")");
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => " = ",
        Comparison::NotEqual => " <> ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
    }
}

fn push_number(query: &mut QueryBuilder<'_>, operand: NumberOperand) {
    match operand {
        NumberOperand::Value(number) => query.push_bind(number),
        NumberOperand::Field(NumberField::Interfaces) => {
            query.push("(SELECT COUNT(*) FROM interfaces c WHERE c.machine_id = m.id)")
        }
        NumberOperand::Field(NumberField::Holders) => query.push("m.holders"),
    };
}

fn is_several(operand: &TextOperand) -> bool {
    matches!(operand, TextOperand::Field(field) if field.is_several())
}

/// Opens the search among a machine's tags or holders, if one side is such, and answers what ends the condition.
fn open(query: &mut QueryBuilder<'_>, left: &TextOperand, right: &TextOperand) -> &'static str {
    let is = |field| [left, right].contains(&&TextOperand::Field(field));
    if is(TextField::Tag) {
        query.push("EXISTS (SELECT 1 FROM machine_tags t WHERE t.machine_id = m.id AND ");
        "))"
    } else if is(TextField::ReservedBy) {
        query.push("EXISTS (SELECT 1 FROM assignments h JOIN users u ON u.id = h.user_id WHERE h.machine_id = m.id AND ");
        "))"
    } else {
        ")"
    }
}

fn push_text<'q>(query: &mut QueryBuilder<'q>, operand: &'q TextOperand) {
    match operand {
        TextOperand::Value(text) => query.push_bind(text),
        TextOperand::Field(field) => query.push(column(*field)),
    };
}

/// The text of a field; empty where the machine has none.
fn column(field: TextField) -> &'static str {
    match field {
        TextField::Name => "m.name",
        TextField::Arch => "(SELECT a.name FROM archs a WHERE a.id = m.arch_id)",
        TextField::Subarch => "COALESCE((SELECT s.name FROM subarchs s WHERE s.id = m.subarch_id), '')",
        TextField::BmcType => "COALESCE((SELECT b.driver FROM bmcs b WHERE b.id = m.bmc_id), '')",
        TextField::State => "m.state",
        TextField::Power => {
            "COALESCE((SELECT p.state FROM machine_power p WHERE p.machine_id = m.id), 'unknown')"
        }
        TextField::ReservedBy => "u.name",
        TextField::Tag => "t.tag",
    }
}

/// The one text that is not the same for both: SQLite's `LIKE` takes no notice of case, and PostgreSQL has no `GLOB`.
fn push_pattern<'q>(query: &mut QueryBuilder<'q>, part: &'q TextOperand, pool: &Pool) {
    match (pool, part) {
        (Pool::Sqlite(_), TextOperand::Value(part)) => {
            query.push(" GLOB ").push_bind(format!("*{}*", glob(part)));
        }
        (Pool::Sqlite(_), TextOperand::Field(field)) => {
            query.push(" GLOB '*' || replace(replace(replace(replace(replace(").push(column(*field));
            query.push(", '[', '[[]'), '*', '[*]'), '?', '[?]'), '%', '*'), '_', '?') || '*'");
        }
        (Pool::Postgres(_), TextOperand::Value(part)) => {
            query.push(" LIKE ").push_bind(format!("%{part}%")).push(" ESCAPE ''");
        }
        (Pool::Postgres(_), TextOperand::Field(field)) => {
            query.push(" LIKE '%' || ").push(column(*field)).push(" || '%' ESCAPE ''");
        }
    }
}

/// A pattern with `%` and `_` as one with `*` and `?`.
fn glob(part: &str) -> String {
    let mut glob = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            c => glob.push(c),
        }
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_globs_mean_is_taken_literally() {
        assert_eq!(glob("a%b_c"), "a*b?c");
        assert_eq!(glob("*?[x]^"), "[*][?][[]x]^");
    }
}
