//! Text to s-expressions, each with its place in the text.

use super::{MAX_DEPTH, MAX_LENGTH};

/// What is wrong, and the byte of the text where it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    fn syntax(at: usize, what: impl std::fmt::Display) -> Self {
        Self::new(at, format!("failed to parse query: {what}"))
    }
}

/// An expression and the byte where it begins.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) form: Form,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum Form {
    /// A name.
    Symbol(String),
    /// A string.
    Text(String),
    /// A number; finite.
    Number(f64),
    /// A list.
    List(Vec<Expr>),
}

/// The one expression of a text; `None` for an empty text.
pub(super) fn parse(text: &str) -> Result<Option<Expr>, Fault> {
    if text.len() > MAX_LENGTH {
        return Err(Fault::syntax(0, format_args!("{} bytes; {MAX_LENGTH} are allowed", text.len())));
    }
    let mut parser = Parser { text, at: 0 };
    parser.skip_blank();
    if parser.rest().is_empty() {
        return Ok(None);
    }
    let expr = parser.expr(0)?;
    parser.skip_blank();
    if !parser.rest().is_empty() {
        return Err(Fault::syntax(parser.at, "more than one expression"));
    }
    match expr.form {
        Form::List(_) => Ok(Some(expr)),
        _ => Err(Fault::syntax(expr.at, "an expression such as (= name \"x\") is needed")),
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

    fn expr(&mut self, depth: usize) -> Result<Expr, Fault> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(Fault::syntax(at, format_args!("nested deeper than {MAX_DEPTH}")));
        }
        let rest = self.rest();
        let form = match rest.chars().next() {
            None => return Err(Fault::syntax(at, "it ends too early; is a ) missing?")),
            Some('(') => self.list(depth)?,
            Some('"') => self.string()?,
            Some(c @ (')' | '[' | ']' | '\'')) => {
                return Err(Fault::syntax(at, format_args!("unexpected {c}")));
            }
            Some(_) => self.word(),
        };
        Ok(Expr { at, form })
    }

    fn list(&mut self, depth: usize) -> Result<Form, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            if self.rest().starts_with(')') {
                self.at += 1;
                return Ok(Form::List(items));
            }
            items.push(self.expr(depth + 1)?);
        }
    }

    fn string(&mut self) -> Result<Form, Fault> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            let c = match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(Form::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => escaped,
                    None => break,
                },
                c => c,
            };
            if c == '\0' {
                return Err(Fault::syntax(start + offset, "a NUL character is in no name"));
            }
            text.push(c);
        }
        Err(Fault::syntax(start, "this string does not end"))
    }

    fn word(&mut self) -> Form {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "()\";".contains(c)).unwrap_or(rest.len());
        self.at += end;
        let word = &rest[..end];
        let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        number.filter(|_| is_number).map_or_else(|| Form::Symbol(word.to_owned()), Form::Number)
    }
}
