//! Asks axe-core, the accessibility checker, what is wrong with a page.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::Page;

/// How badly something is in the way of people, as axe-core weighs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// A blemish.
    Minor,
    /// In somebody's way.
    Moderate,
    /// Keeps some people from what they came for.
    Serious,
    /// Keeps people out.
    Critical,
}

/// One rule that a page breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// axe-core's name of the rule, `color-contrast`.
    pub rule: String,
    /// How bad it is.
    pub impact: Impact,
    /// What to do, in words.
    pub help: String,
    /// Where: the selector and what is wrong there, one a thing.
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
    /// Rules of WCAG 2.2 A and AA, and of good practice, that the page breaks as it stands.
    pub fn violations(&self) -> Vec<Violation> {
        if self.evaluate("typeof axe") != "object" {
            // As the browser's own, not the page's: its Content-Security-Policy stays as it is.
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

    /// Fails if axe-core finds anything serious or critical.
    pub fn assert_accessible(&self) {
        let mut bad = self.violations();
        bad.retain(|violation| violation.impact >= Impact::Serious);
        let told: Vec<String> = bad.iter().map(ToString::to_string).collect();
        assert!(
            told.is_empty(),
            "{} keeps people out:\n  {}",
            self.path(),
            told.join("\n  ")
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
            // What axe-core does not weigh is not waved through.
            _ => Impact::Critical,
        },
        help: text("help"),
        places: crate::page::strings(&found["places"]),
    }
}

/// The script: what `LOCKSTEP_AXE_JS` names, else what `cargo xtask test` unpacked.
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
