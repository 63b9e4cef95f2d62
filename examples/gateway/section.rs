use std::{fmt, ops::Range, path::Path};

use serde::Deserialize;
use toml::{Deserializer, Table, Value};

use crate::Failure;

/// What is wrong with a gateway file: the key, and what was expected there.
///
/// It never holds a value: a key of an API may have been put into the wrong place.
#[derive(Debug)]
pub(crate) struct Refusal {
    key: String,
    expected: String,
}

impl Refusal {
    pub(crate) fn new(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
        }
    }

    /// The whole message, with the file in front.
    pub(crate) fn within(&self, file: &Path) -> Failure {
        format!("{}: {self}", file.display()).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.key, self.expected)
    }
}

/// A table of the file, from which keys are taken one by one.
pub(crate) struct Section {
    path: String,
    table: Table,
}

impl Section {
    /// The file as a whole.
    pub(crate) fn root(text: &str) -> Result<Self, Refusal> {
        // A problem shown as a whole quotes the line; the parser's reasons by themselves are fixed texts.
        let parsed = Deserializer::parse(text)
            .map_err(|problem| not_toml(text, problem.span(), problem.message()))?;
        let table = Table::deserialize(parsed)
            .map_err(|problem| not_toml(text, problem.span(), "a value out of range"))?;
        Ok(Self {
            path: String::new(),
            table,
        })
    }

    /// Refuses keys other than these. It comes before all else: a key that seems missing may be a misspelt one.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let known = known.join(", ");
                Err(self.refuse(key, format!("no such key, only {known}")))
            }
        }
    }

    /// A key's full name, as the messages say it.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(crate) fn refuse(&self, key: &str, expected: impl Into<String>) -> Refusal {
        Refusal::new(self.path(key), expected)
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    pub(crate) fn text(&mut self, key: &str, expected: &str) -> Result<Option<String>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.refuse(key, expected)),
        }
    }

    pub(crate) fn required_text(&mut self, key: &str, expected: &str) -> Result<String, Refusal> {
        self.text(key, expected)?
            .ok_or_else(|| self.refuse(key, expected))
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(flag),
            Some(_) => Err(self.refuse(key, "true or false")),
        }
    }

    pub(crate) fn section(&mut self, key: &str, expected: &str) -> Result<Option<Self>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Self {
                path: self.path(key),
                table,
            })),
            Some(_) => Err(self.refuse(key, expected)),
        }
    }

    pub(crate) fn required_section(&mut self, key: &str, expected: &str) -> Result<Self, Refusal> {
        self.section(key, expected)?
            .ok_or_else(|| self.refuse(key, expected))
    }

    /// The tables in this one, which holds nothing else.
    pub(crate) fn sections(mut self) -> Result<Vec<(String, Self)>, Refusal> {
        let names: Vec<_> = self.table.keys().cloned().collect();
        names
            .into_iter()
            .map(|name| {
                let section = self.required_section(&name, "a table")?;
                Ok((name, section))
            })
            .collect()
    }
}

fn not_toml(text: &str, place: Option<Range<usize>>, reason: &str) -> Refusal {
    let before = place.and_then(|place| text.get(..place.start));
    let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
    Refusal::new(format!("line {line}"), format!("TOML ({reason})"))
}
