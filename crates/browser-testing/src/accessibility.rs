//! Runs axe-core, the accessibility checker, on a page.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::Page;

/// Severity of a violation, as rated by axe-core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Cosmetic.
    Minor,
    /// An obstacle for some users.
    Moderate,
    /// Prevents some users from completing a task.
    Serious,
    /// Makes the page unusable for some users.
    Critical,
}

/// A violated accessibility rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// axe-core's name of the rule, such as `color-contrast`.
    pub rule: String,
    /// Severity.
    pub impact: Impact,
    /// How to fix it.
    pub help: String,
    /// The elements: for each the selector and the problem.
    pub places: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}: {}", self.impact, self.rule, self.help)?;
        for place in &self.places {
            write!(f, "\n    {place}")?;
        }
        Ok(())
    }
}

impl Page {
    /// The violated rules of WCAG 2.2 A and AA, and of axe-core's best practices, in the current state of the page.
    pub fn violations(&self) -> Vec<Violation> {
        if self.evaluate("typeof axe") != "object" {
            // Evaluated through the debugger, so that the page's Content-Security-Policy is unchanged.
            self.tab.call(
                "Runtime.evaluate",
                &json!({"expression": axe_core(), "returnByValue": false}),
            );
        }
        let found = self.evaluate(
            "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa',
                 'wcag22aa', 'best-practice']})
               .then((result) => result.violations.map(({id, impact, help, nodes}) => ({id, impact, help,
                   places: nodes.slice(0, 8).map((n) =>
                       `${n.target.join(' ')}: ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? n.html}`)})))",
        );
        let found = found.as_array().expect("axe-core's list of violations");
        found.iter().map(violation).collect()
    }

    /// Panics if axe-core finds a serious or critical violation.
    pub fn assert_accessible(&self) {
        let mut bad = self.violations();
        bad.retain(|violation| violation.impact >= Impact::Serious);
        let listed: Vec<String> = bad.iter().map(ToString::to_string).collect();
        assert!(
            listed.is_empty(),
            "{} keeps people out:\n  {}",
            self.path(),
            listed.join("\n  ")
        );
    }
}

fn violation(found: &Value) -> Violation {
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Violation {
        rule: text("id"),
        impact: match found["impact"].as_str() {
            Some("minor") => Impact::Minor,
            Some("moderate") => Impact::Moderate,
            Some("serious") => Impact::Serious,
            // A violation without a rating counts as critical.
            _ => Impact::Critical,
        },
        help: text("help"),
        places: crate::page::strings(&found["places"]),
    }
}

/// The script: the file that `LOCKSTEP_AXE_JS` names, or the one that `cargo xtask test` unpacked.
fn axe_core() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.test-tools/axe/axe.min.js");
        let file = std::env::var_os("LOCKSTEP_AXE_JS").map_or(unpacked, PathBuf::from);
        std::fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!(
                "browser tests need axe-core, and {} cannot be read ({error}): run `cargo xtask test`, which fetches \
                 it, or name its axe.min.js in LOCKSTEP_AXE_JS",
                file.display()
            )
        })
    })
}
