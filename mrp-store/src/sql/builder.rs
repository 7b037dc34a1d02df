//! Queries whose text depends on what is asked: filters, lists, the query language.

use super::query::{Query, Value};

/// A query in the making. What users sent goes in by [`push_bind`](Self::push_bind) alone.
#[derive(Debug)]
pub(super) struct QueryBuilder<'q> {
    text: String,
    values: Vec<Value<'q>>,
}

impl<'q> QueryBuilder<'q> {
    /// Begins with a text.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Begins with a text that has the parameters `$1` and following, and their values.
    pub(super) fn with(text: &str, values: Vec<Value<'q>>) -> Self {
        Self { text: text.to_owned(), values }
    }

    /// Adds a text.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter with its value.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Adds parameters with their values, with commas between them.
    pub(super) fn push_list<V: Into<Value<'q>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// The query.
    pub(super) fn build(self) -> Query<'q> {
        Query::made(self.text, self.values)
    }
}
