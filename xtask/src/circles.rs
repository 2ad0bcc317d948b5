//! Circles between the modules of a crate: two modules that use each other cannot be understood one after the other.
//!
//! A module and the modules below it are one room, so the rule is about siblings: at each level of a crate, the uses
//! between its modules, each with all that is below it, must not lead back to where they began. Tests may use what
//! they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its path below the root of its crate.
type Module = Vec<String>;
/// Which modules each module uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// Returns the circles in the crate whose root file is in `folder`, each as a list of modules.
pub(crate) fn in_crate(folder: &Path, files: &[(PathBuf, String)]) -> Vec<Vec<String>> {
    let mut modules = BTreeMap::new();
    for (file, source) in files {
        let Ok(place) = file.strip_prefix(folder) else { continue };
        let mut module: Module = place
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        match module.last().map(String::as_str) {
            Some("lib" | "main") if module.len() == 1 => module.clear(),
            Some("mod") => drop(module.pop()),
            _ => {}
        }
        modules.insert(module, source.as_str());
    }
    circles(&uses(&modules))
}

fn uses(modules: &BTreeMap<Module, &str>) -> Uses {
    modules
        .iter()
        .map(|(module, source)| {
            let used = paths(source)
                .into_iter()
                .filter_map(|path| resolve(module, &path, modules))
                .filter(|used| used != module)
                .collect();
            (module.clone(), used)
        })
        .collect()
}

/// The module of the crate that a path in `module` leads to; `None` for a path to elsewhere.
fn resolve(module: &[String], path: &[String], modules: &BTreeMap<Module, &str>) -> Option<Module> {
    let mut place: Module = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        first => {
            // A child that is named without `self`.
            let child: Module = module
                .iter()
                .map(String::as_str)
                .chain([first])
                .map(str::to_owned)
                .collect();
            return modules.contains_key(&child).then_some(child);
        }
    };
    let mut rest = path
        .iter()
        .skip_while(|part| matches!(part.as_str(), "crate" | "self"))
        .peekable();
    while rest.next_if(|part| *part == "super").is_some() {
        place.pop();
    }
    for part in rest {
        place.push(part.clone());
        if !modules.contains_key(&place) {
            place.pop();
            break;
        }
    }
    Some(place)
}

/// All paths in the program part of a source, each as its parts.
fn paths(source: &str) -> Vec<Vec<String>> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source);
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = Vec::new();
    for statement in code.split_inclusive(';') {
        let from = statement.rfind("use ").filter(|at| {
            let before = statement.get(..*at).unwrap_or_default();
            before.is_empty() || before.ends_with(['\n', ' ', ')'])
        });
        if let Some(tree) = from.and_then(|at| statement.get(at + "use ".len()..)) {
            expand(tree.trim_end_matches(';'), &[], &mut found);
        }
        let words = statement.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        found.extend(
            words
                .filter(|word| word.contains("::") && !word.starts_with(':'))
                .map(parts),
        );
    }
    found
}

fn parts(path: &str) -> Vec<String> {
    path.split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Expands a tree of `use` into its paths.
fn expand(tree: &str, before: &[String], found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (head, inner) = match tree.split_once('{') {
        Some((head, rest)) => (head, rest.rsplit_once('}').map_or(rest, |(inner, _)| inner)),
        None => (tree.split(" as ").next().unwrap_or(tree), ""),
    };
    let path: Vec<String> = before.iter().cloned().chain(parts(head.trim())).collect();
    if inner.is_empty() {
        found.push(path);
        return;
    }
    let (mut depth, mut start) = (0_usize, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = inner.get(start..at).unwrap_or_default();
                if !part.trim().is_empty() {
                    expand(part, &path, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The circles among siblings, at every level.
fn circles(uses: &Uses) -> Vec<Vec<String>> {
    let parents: BTreeSet<&[String]> = uses
        .keys()
        .flat_map(|module| (0..module.len()).filter_map(|depth| module.get(..depth)))
        .collect();
    let mut found = Vec::new();
    for parent in parents {
        let sibling = |module: &Module| {
            let below = module.starts_with(parent) && module.len() > parent.len();
            below
                .then(|| module.get(..=parent.len()).map(<[String]>::to_vec))
                .flatten()
        };
        let mut graph: Uses = BTreeMap::new();
        for (module, used) in uses {
            let Some(from) = sibling(module) else { continue };
            let to = used.iter().filter_map(sibling).filter(|to| *to != from);
            graph.entry(from.clone()).or_default().extend(to);
        }
        let reach: BTreeMap<&Module, BTreeSet<Module>> =
            graph.keys().map(|module| (module, reachable(&graph, module))).collect();
        let mut told = BTreeSet::new();
        for (module, reached) in &reach {
            if !reached.contains(*module) || told.contains(*module) {
                continue;
            }
            let circle: Vec<&Module> = reached
                .iter()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(*module)))
                .collect();
            told.extend(circle.iter().map(|module| (*module).clone()));
            found.push(circle.iter().map(|module| module.join("::")).collect());
        }
    }
    found
}

fn reachable(graph: &Uses, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files: Vec<_> = files
            .iter()
            .map(|(name, source)| (Path::new("src").join(name), (*source).to_owned()))
            .collect();
        in_crate(Path::new("src"), &files)
    }

    #[test]
    fn modules_that_use_each_other_are_a_circle() {
        let circle = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\nuse a::A;"),
            ("a.rs", "use crate::{c::{C, self}, Settings};"),
            ("b.rs", "pub(crate) use super::a::A;"),
            ("c.rs", "fn f() { crate::b::g(1) }"),
        ];
        assert_eq!(found(&circle), [["a", "b", "c"]]);
        let chain = [
            ("lib.rs", "mod a;\nmod b;\nuse a::A;"),
            ("a.rs", "use crate::b::{B as Other};\nuse crate::Settings;"),
            (
                "b.rs",
                "// not crate::a\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
            ),
        ];
        assert_eq!(found(&chain), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_module_and_its_children_are_one_room_but_siblings_below_it_are_not() {
        let room = [
            ("a.rs", "mod x;\nmod y;\nuse x::X;"),
            ("a/x.rs", "use super::Shared;"),
            ("a/y.rs", "use super::x::X;"),
        ];
        assert_eq!(found(&room), Vec::<Vec<String>>::new());
        let below = [
            ("a/mod.rs", "mod x;\nmod y;"),
            ("a/x.rs", "use super::y::Y;"),
            ("a/y.rs", "use crate::a::x::X;"),
        ];
        assert_eq!(found(&below), [["a::x", "a::y"]]);
        let across = [
            ("a.rs", "mod x;"),
            ("a/x.rs", "use crate::b::B;"),
            ("b.rs", "use crate::a::Shared;"),
        ];
        assert_eq!(found(&across), [["a", "b"]]);
    }
}
