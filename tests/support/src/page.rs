use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, iter,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A page of the documentation, in tables whose rows the tests report.
///
/// They are compared with the page, or written to it if the environment variable `SALLYGATE_WRITE_DOCS` is 1.
pub struct Page {
    /// Below the crate's folder.
    pub path: &'static str,
    /// What stands before the tables.
    pub head: &'static str,
    /// What every table begins with: the column of the rows' names, and more.
    pub columns: &'static [&'static str],
    /// The tables in their order.
    pub tables: &'static [Table],
}

/// A table of a [`Page`].
pub struct Table {
    /// The heading above it.
    pub title: &'static str,
    /// The names of the rows: no two of a page are the same.
    pub rows: &'static [&'static str],
    /// Those that come after the page's.
    pub columns: &'static [&'static str],
}

/// By name, the rest of the row.
type Rows = BTreeMap<&'static str, Vec<String>>;

const ADVICE: &str = "if that is right, run the tests with SALLYGATE_WRITE_DOCS=1";

impl Page {
    /// What was seen of `row`.
    pub fn report(&self, row: &str, cells: &[&str]) {
        let Some((row, _)) = self.find(row) else {
            panic!("not in the list: {row}");
        };
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        let (_lock, mut rows) = (lock(), self.read());
        if writing() {
            rows.insert(row, cells);
            fs::write(self.file(), self.render(&rows)).unwrap();
        } else {
            assert_eq!(
                rows.get(row),
                Some(&cells),
                "{} (left) is not what was seen of \"{row}\" (right): {ADVICE}",
                self.path
            );
        }
    }

    /// The page is as the reports write it, and has every row.
    pub fn check(&self) {
        let (_lock, rows) = (lock(), self.read());
        let text = self.render(&rows);
        if writing() {
            fs::write(self.file(), text).unwrap();
            return;
        }
        assert!(
            fs::read_to_string(self.file()).unwrap() == text,
            "{} was changed by hand: {ADVICE}",
            self.path
        );
        for row in self.tables.iter().flat_map(|table| table.rows) {
            assert!(rows.contains_key(row), "{row}: {ADVICE}");
        }
    }

    fn find(&self, row: &str) -> Option<(&'static str, &'static Table)> {
        let of =
            |table: &'static Table| Some((*table.rows.iter().find(|name| **name == row)?, table));
        self.tables.iter().find_map(of)
    }

    /// The rows of the page that there still are, with the columns that there still are.
    fn read(&self) -> Rows {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let mut rows = Rows::new();
        for section in text.split("\n## ") {
            let mut lines = section.lines().filter_map(|line| line.strip_prefix('|'));
            let columns = lines.next().unwrap_or_default();
            for line in lines {
                let row: BTreeMap<_, _> = iter::zip(cells(columns), cells(line)).collect();
                let cell = |column: &&str| row.get(*column).copied().unwrap_or_default();
                if let Some((name, table)) = self.find(cell(&self.columns[0])) {
                    let columns = self.columns.iter().chain(table.columns).skip(1);
                    rows.insert(
                        name,
                        columns.map(|column| cell(column).to_owned()).collect(),
                    );
                }
            }
        }
        rows
    }

    fn render(&self, rows: &Rows) -> String {
        let mut text = self.head.to_owned();
        for table in self.tables {
            let columns = [self.columns, table.columns].concat();
            let rule = " --- |".repeat(columns.len());
            let names = columns.join(" | ");
            let _ = write!(text, "\n## {}\n\n| {names} |\n|{rule}\n", table.title);
            for name in table.rows {
                if let Some(cells) = rows.get(name) {
                    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
                }
            }
        }
        text
    }

    fn file(&self) -> PathBuf {
        crate::repository().join(self.path)
    }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split('|').map(str::trim)
}

fn writing() -> bool {
    std::env::var_os("SALLYGATE_WRITE_DOCS").is_some_and(|value| value == "1")
}

/// Tests run side by side and share the pages.
fn lock() -> MutexGuard<'static, ()> {
    static PAGES: Mutex<()> = Mutex::new(());
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}
