use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::{Deserializer, Table, Value};

use crate::refusal::Refusal;

/// A table of the file, from which keys are taken one by one.
pub(crate) struct Section {
    path: String,
    table: Table,
    /// Paths in the file are relative to it.
    folder: PathBuf,
}

pub(crate) const PEM: &str = "the path of a PEM file";

/// One of what may be one or a list.
pub(crate) enum Entry {
    Other(String),
    Table(Section),
    Text(String, String),
}

impl Entry {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Other(path) | Self::Text(path, _) => path,
            Self::Table(table) => &table.path,
        }
    }
}

impl Section {
    /// The file as a whole.
    pub(crate) fn root(text: &str, folder: &Path) -> Result<Self, Refusal> {
        // A problem shown as a whole quotes the line; the parser's reasons by themselves are fixed texts.
        let parsed = Deserializer::parse(text)
            .map_err(|problem| not_toml(text, problem.span(), problem.message()))?;
        let table = Table::deserialize(parsed)
            .map_err(|problem| not_toml(text, problem.span(), "a value out of range"))?;
        Ok(Self {
            path: String::new(),
            table,
            folder: folder.to_owned(),
        })
    }

    fn below(&self, path: String, table: Table) -> Self {
        Self {
            path,
            table,
            folder: self.folder.clone(),
        }
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

    /// The table's full name.
    pub(crate) fn name(&self) -> &str {
        &self.path
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

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn take(&mut self, key: &str) -> Option<Value> {
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

    /// A path as it is to be used.
    pub(crate) fn file(&mut self, key: &str, expected: &str) -> Result<Option<PathBuf>, Refusal> {
        let file = self.text(key, expected)?;
        Ok(file.map(|file| self.folder.join(file)))
    }

    pub(crate) fn required_file(&mut self, key: &str, expected: &str) -> Result<PathBuf, Refusal> {
        self.file(key, expected)?
            .ok_or_else(|| self.refuse(key, expected))
    }

    pub(crate) fn number(&mut self, key: &str, expected: &str) -> Result<Option<u64>, Refusal> {
        let number = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => number.try_into().ok(),
            Some(_) => None,
        };
        number.map(Some).ok_or_else(|| self.refuse(key, expected))
    }

    /// A time that is not none.
    pub(crate) fn duration(&mut self, key: &str) -> Result<Option<Duration>, Refusal> {
        const EXPECTED: &str = r#"a time such as "90s", "15m" or "24h""#;
        let Some(text) = self.text(key, EXPECTED)? else {
            return Ok(None);
        };
        duration(&text)
            .filter(|duration| !duration.is_zero())
            .map(Some)
            .ok_or_else(|| self.refuse(key, EXPECTED))
    }

    /// A list of texts, with at least one in it.
    pub(crate) fn texts(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let wrong = self.refuse(key, expected);
        let values = match self.take(key) {
            None => return Ok(None),
            Some(Value::Array(values)) if !values.is_empty() => values,
            Some(_) => return Err(wrong),
        };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        });
        texts.collect::<Option<_>>().map(Some).ok_or(wrong)
    }

    /// A table of texts.
    pub(crate) fn pairs(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let Some(table) = self.section(key, expected)? else {
            return Ok(Vec::new());
        };
        let pairs = table.table.into_iter().map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            _ => None,
        });
        pairs
            .collect::<Option<_>>()
            .ok_or_else(|| self.refuse(key, expected))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.table.get(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.refuse(key, "true or false")),
        }
    }

    pub(crate) fn section(&mut self, key: &str, expected: &str) -> Result<Option<Self>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(self.below(self.path(key), table))),
            Some(_) => Err(self.refuse(key, expected)),
        }
    }

    pub(crate) fn required_section(&mut self, key: &str, expected: &str) -> Result<Self, Refusal> {
        self.section(key, expected)?
            .ok_or_else(|| self.refuse(key, expected))
    }

    /// What stands under a key, be it one or a list.
    pub(crate) fn one_or_more(&mut self, key: &str) -> Vec<Entry> {
        let path = self.path(key);
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                let values = values.into_iter().enumerate();
                values
                    .map(|(number, value)| self.entry(format!("{path}[{number}]"), value))
                    .collect()
            }
            Some(value) => vec![self.entry(path, value)],
        }
    }

    fn entry(&self, path: String, value: Value) -> Entry {
        match value {
            Value::String(text) => Entry::Text(path, text),
            Value::Table(table) => Entry::Table(self.below(path, table)),
            _ => Entry::Other(path),
        }
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

/// Reads `90s`, `15m` or `24h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn not_toml(text: &str, place: Option<Range<usize>>, reason: &str) -> Refusal {
    let before = place.and_then(|place| text.get(..place.start));
    let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
    Refusal::new(format!("line {line}"), format!("TOML ({reason})"))
}
