//! The arrows between the modules, as docs/architecture.md has them: they run one way, from the doors through the corridor
//! to the ground, and no files go round in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{Item, UseTree, visit::Visit};

/// Ways into an application. They do not know each other.
const DOORS: [&str; 3] = ["preview", "proxy", "stored"];

/// What carries an admitted request to an upstream and its response back. It knows no door. Each may use those behind it.
const CORRIDOR: [&str; 3] = ["door", "forward", "exchange"];

/// A module as a path: `forward::send` is `["forward", "send"]`.
type Module = Vec<String>;

/// What a module takes from where, by the full path of what it takes, and the names that it gives on.
#[derive(Default)]
struct Imports {
    module: Module,
    paths: BTreeSet<Module>,
    given_on: BTreeMap<String, Module>,
}

impl Imports {
    fn follow(&mut self, tree: &UseTree, mut path: Module, given_on: bool) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.follow(&tree.tree, path, given_on);
            }
            UseTree::Group(tree) => {
                for tree in &tree.items {
                    self.follow(tree, path.clone(), given_on);
                }
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                if name != "self" {
                    path.push(name);
                }
                self.add(path, None, given_on);
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                self.add(path, Some(tree.rename.to_string()), given_on);
            }
            UseTree::Glob(_) => self.add(path, None, false),
        }
    }

    fn add(&mut self, path: Module, name: Option<String>, given_on: bool) {
        let Some(path) = self.resolve(&path) else {
            return;
        };
        let name = name.or_else(|| path.last().cloned());
        match name.filter(|_| given_on) {
            Some(name) => drop(self.given_on.insert(name, path)),
            None => drop(self.paths.insert(path)),
        }
    }

    /// From the crate's root, if it is a path of this crate.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.module[..], rest].concat()),
            "super" => {
                let above = path.iter().take_while(|word| *word == "super").count();
                let base = &self.module[..self.module.len() - above];
                Some([base, &path[above..]].concat())
            }
            _ => None,
        }
    }
}

impl<'a> Visit<'a> for Imports {
    fn visit_item(&mut self, item: &'a Item) {
        let tests = |attributes: &[syn::Attribute]| {
            attributes.iter().any(|attribute| {
                let list = attribute.meta.require_list();
                attribute.path().is_ident("cfg")
                    && list.is_ok_and(|list| list.tokens.to_string() == "test")
            })
        };
        match item {
            Item::Mod(module) if tests(&module.attrs) => {}
            Item::Use(import) => {
                let given_on = !matches!(import.vis, syn::Visibility::Inherited);
                self.follow(&import.tree, Module::new(), given_on);
            }
            item => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let words: Module = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.add(words, None, false);
        syn::visit::visit_path(self, path);
    }
}

/// The files of `src/`, but for those that only tests have.
struct House(BTreeMap<Module, Imports>);

impl House {
    fn read() -> Self {
        let mut house = Self(BTreeMap::new());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        house.read_folder(&source, &[]);
        house
    }

    fn read_folder(&mut self, folder: &Path, module: &[String]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let own = [module, std::slice::from_ref(&stem)].concat();
            if path.is_dir() {
                self.read_folder(&path, &own);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = if matches!(stem.as_str(), "mod" | "lib") {
                    module.to_vec()
                } else {
                    own
                };
                // The skeleton of a door is a test in a file of its own.
                if !matches!(stem.as_str(), "skeleton" | "tests") {
                    let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
                    let mut imports = Imports {
                        module: module.clone(),
                        ..Imports::default()
                    };
                    imports.visit_file(&file);
                    self.0.insert(module, imports);
                }
            }
        }
    }

    /// The file in which something is defined, through the modules that only give it on.
    fn home(&self, path: &[String], steps: usize) -> Option<Module> {
        let within = (0..=path.len())
            .rev()
            .find(|end| self.0.contains_key(&path[..*end]))?;
        let (module, rest) = path.split_at(within);
        let given_on = rest
            .first()
            .and_then(|name| self.0[module].given_on.get(name));
        match given_on {
            Some(further) if steps > 0 && further != path => {
                self.home(&[&further[..], &rest[1..]].concat(), steps - 1)
            }
            _ => Some(module.to_vec()),
        }
    }

    /// Each file, and the files that it takes something from.
    fn arrows(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let homes = |imports: &Imports| {
            let homes = imports.paths.iter().filter_map(|path| self.home(path, 8));
            homes.filter(|home| *home != imports.module).collect()
        };
        self.0
            .iter()
            .map(|(module, imports)| (module, homes(imports)))
            .collect()
    }
}

/// The storey of a module: nothing is taken from a higher one.
fn storey(module: &[String]) -> usize {
    let room = module.first().map(String::as_str).unwrap_or_default();
    match CORRIDOR.iter().rev().position(|other| *other == room) {
        Some(place) => 1 + place,
        None if DOORS.contains(&room) => 1 + CORRIDOR.len(),
        None => 0,
    }
}

#[test]
fn arrows_run_one_way_from_doors_through_the_corridor_to_the_ground() {
    let house = House::read();
    let mut seen = BTreeSet::new();
    for (from, targets) in house.arrows() {
        if from.is_empty() {
            // The crate's root gives names on.
            continue;
        }
        for to in targets {
            let (above, below) = (storey(from), storey(&to));
            let same = from.first() == to.first();
            assert!(
                below < above || same || above == 0 && below == 0,
                "{from:?} takes from {to:?}"
            );
            seen.insert((above, below));
        }
    }
    // The doors use the corridor, and the corridor the ground: a reader of no imports would pass everything.
    assert!(seen.contains(&(4, 2)) && seen.contains(&(2, 0)), "{seen:?}");
}

#[test]
fn files_of_doors_and_corridor_go_round_in_no_circle() {
    let house = House::read();
    let arrows = house.arrows();
    let upstairs = |module: &&&Module| storey(module) > 0;
    let mut left: BTreeSet<&Module> = arrows.keys().copied().filter(|m| upstairs(&m)).collect();
    assert!(left.len() > 20);
    // Whoever takes nothing from those that are left is no part of a circle.
    while let Some(done) = left
        .iter()
        .copied()
        .find(|module| arrows[*module].iter().all(|target| !left.contains(target)))
    {
        left.remove(done);
    }
    assert!(left.is_empty(), "a circle, and what leads to it: {left:?}");
}
