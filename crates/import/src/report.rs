//! The report of an import: what was brought, and what the other shop got wrong, as text, JSON, or a page for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

/// Something that the other shop got wrong, or that did not fit here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind (`refund_lost`).
    pub kind: &'static str,
    /// The id in the other shop of what it is about.
    pub id: String,
    /// The money that it is about, as decimal text.
    pub amount: Option<String>,
    /// `EUR` where there is an amount.
    pub currency: Option<&'static str>,
    /// What shows it.
    pub evidence: String,
    /// What to do.
    pub proposal: String,
}

impl Finding {
    /// A finding without an amount.
    pub(crate) fn new(kind: &'static str, id: impl Into<String>, evidence: impl Into<String>, proposal: &str) -> Self {
        Self {
            kind,
            id: id.into(),
            amount: None,
            currency: None,
            evidence: evidence.into(),
            proposal: proposal.to_owned(),
        }
    }

    /// The same with an amount in euro.
    #[must_use]
    pub(crate) fn about(mut self, amount: Decimal) -> Self {
        self.amount = Some(format!("{amount:.2}"));
        self.currency = Some("EUR");
        self
    }
}

/// What became of a table's or file's rows: `rows = taken + duplicates + refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Table {
    /// Rows of the source.
    pub rows: u64,
    /// Rows that were brought, or would be.
    pub taken: u64,
    /// Rows that are here already.
    pub duplicates: u64,
    /// Rows that were not brought.
    pub refused: u64,
}

impl Table {
    /// Sets what was refused to what is left.
    pub(crate) fn refuse_rest(&mut self) {
        self.refused = self.rows.saturating_sub(self.taken + self.duplicates);
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.taken += other.taken;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
    }
}

/// A row of a file that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Number of its line in the file, from 1.
    pub line: usize,
    /// `duplicate` or `refused`.
    pub outcome: &'static str,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub cure: String,
}

/// The report of a run.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The run; `null` in a dry run.
    pub run: Option<Uuid>,
    /// Where the rows come from.
    pub source: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// The moment of the source that was read, UTC.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// What the other shop got wrong.
    pub findings: Vec<Finding>,
    /// Rows of files that were not taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Row>,
    /// Remarks about the run.
    pub notes: Vec<String>,
    /// Per table of the source.
    pub tables: BTreeMap<String, Table>,
}

/// The totals of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OfKind {
    count: usize,
    amount: Option<String>,
}

impl Report {
    /// Everything added up.
    pub fn total(&self) -> Table {
        let mut total = Table::default();
        for table in self.tables.values() {
            total.add(*table);
        }
        total
    }

    fn kinds(&self) -> BTreeMap<&'static str, OfKind> {
        let mut sums: BTreeMap<&'static str, (usize, Option<Decimal>)> = BTreeMap::new();
        for finding in &self.findings {
            let (count, sum) = sums.entry(finding.kind).or_default();
            *count += 1;
            if let Some(amount) = finding.amount.as_deref().and_then(|text| text.parse::<Decimal>().ok()) {
                *sum = Some(sum.unwrap_or_default() + amount);
            }
        }
        sums.into_iter()
            .map(|(kind, (count, sum))| {
                (
                    kind,
                    OfKind {
                        count,
                        amount: sum.map(|sum| format!("{sum:.2}")),
                    },
                )
            })
            .collect()
    }

    /// The end of the report as JSON: the run, the totals of all rows, per table, and per kind of finding.
    pub fn summary(&self) -> serde_json::Value {
        let total = self.total();
        serde_json::json!({
            "run": self.run, "source": self.source, "dryRun": self.dry_run, "snapshotAt": self.snapshot_at,
            "rows": total.rows, "taken": total.taken, "duplicates": total.duplicates, "refused": total.refused,
            "tables": self.tables, "totals": self.kinds(), "notes": self.notes,
        })
    }

    /// The whole report as one JSON object: the summary with the findings.
    pub fn json(&self) -> String {
        let mut value = self.summary();
        value["findings"] = serde_json::to_value(&self.findings).unwrap_or_default();
        if !self.lines.is_empty() {
            value["lines"] = serde_json::to_value(&self.lines).unwrap_or_default();
        }
        let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The report in the form that a file's name asks for: `.json`, `.html`, else text.
    pub fn for_file(&self, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        if std::path::Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "json")
        {
            self.json()
        } else if std::path::Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "html" || ending == "htm")
        {
            self.html()
        } else {
            self.text()
        }
    }

    fn head(&self) -> String {
        match (self.dry_run, self.run) {
            (false, Some(run)) => format!("Import from {}, run {run}", self.source),
            _ => format!("Dry run of an import from {}: nothing was written", self.source),
        }
    }

    /// The report in words.
    pub fn text(&self) -> String {
        let mut text = self.head();
        if let Some(at) = self.snapshot_at {
            write!(text, "\nAs of {} UTC", at.format("%Y-%m-%d %H:%M:%S")).ok();
        }
        text.push_str("\n\nRows                 in source      taken  duplicates    refused\n");
        for (name, table) in self
            .tables
            .iter()
            .map(|(name, table)| (name.as_str(), *table))
            .chain([("all", self.total())])
        {
            writeln!(
                text,
                "{name:<18} {:>11} {:>10} {:>11} {:>10}",
                table.rows, table.taken, table.duplicates, table.refused
            )
            .ok();
        }
        if !self.findings.is_empty() {
            text.push_str("\nFindings\n");
            for (kind, of) in self.kinds() {
                let amount = of.amount.map(|amount| format!("  {amount} EUR")).unwrap_or_default();
                writeln!(text, "  {kind:<22} {:>7}{amount}", of.count).ok();
            }
            for finding in &self.findings {
                let amount = (finding.amount.as_deref())
                    .map(|amount| format!("  {amount} EUR"))
                    .unwrap_or_default();
                write!(
                    text,
                    "\n{} {}{amount}\n  {}\n  → {}\n",
                    finding.kind, finding.id, finding.evidence, finding.proposal
                )
                .ok();
            }
        }
        for row in &self.lines {
            write!(
                text,
                "\nline {}: {}: {} {}",
                row.line, row.outcome, row.reason, row.cure
            )
            .ok();
        }
        for note in &self.notes {
            write!(text, "\n{note}").ok();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The report as a page without scripts.
    pub fn html(&self) -> String {
        let safe = |text: &str| html_escape::encode_safe(text).into_owned();
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n<style>\n\
             body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1a1a1a }}\n\
             table {{ border-collapse: collapse; width: 100%; margin: 1rem 0 }}\n\
             th, td {{ border-bottom: 1px solid #ccc; padding: .4rem .6rem; text-align: left; vertical-align: top }}\n\
             .n {{ text-align: right; white-space: nowrap }}\n.id {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere }}\n\
             </style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            title = safe(&self.head())
        );
        if let Some(at) = self.snapshot_at {
            writeln!(html, "<p>As of {} UTC.</p>", at.format("%Y-%m-%d %H:%M:%S")).ok();
        }
        html.push_str(
            "<h2>Rows</h2>\n<table>\n<tr><th scope=\"col\">Table</th><th scope=\"col\" class=\"n\">In source</th>\
             <th scope=\"col\" class=\"n\">Taken</th><th scope=\"col\" class=\"n\">Duplicates</th>\
             <th scope=\"col\" class=\"n\">Refused</th></tr>\n",
        );
        for (name, table) in self
            .tables
            .iter()
            .map(|(name, table)| (name.as_str(), *table))
            .chain([("all", self.total())])
        {
            writeln!(
                html,
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                safe(name),
                table.rows,
                table.taken,
                table.duplicates,
                table.refused
            ).ok();
        }
        html.push_str("</table>\n");
        for (kind, of) in self.kinds() {
            let sum = of.amount.map(|amount| format!(", {amount} EUR")).unwrap_or_default();
            write!(
                html,
                "<h2>{kind}: {}{sum}</h2>\n<table>\n<tr><th scope=\"col\">Id</th><th scope=\"col\" class=\"n\">Amount</th>\
                 <th scope=\"col\">Evidence</th><th scope=\"col\">Proposal</th></tr>\n",
                of.count
            ).ok();
            for finding in self.findings.iter().filter(|finding| finding.kind == kind) {
                let amount = (finding.amount.as_deref())
                    .map(|amount| format!("{amount} EUR"))
                    .unwrap_or_default();
                writeln!(
                    html,
                    "<tr><td class=\"id\">{}</td><td class=\"n\">{amount}</td><td>{}</td><td>{}</td></tr>",
                    safe(&finding.id),
                    safe(&finding.evidence),
                    safe(&finding.proposal)
                )
                .ok();
            }
            html.push_str("</table>\n");
        }
        if !self.lines.is_empty() {
            html.push_str("<h2>Lines</h2>\n<ul>\n");
            for row in &self.lines {
                writeln!(
                    html,
                    "<li>Line {}: {}: {} {}</li>",
                    row.line,
                    row.outcome,
                    safe(&row.reason),
                    safe(&row.cure)
                )
                .ok();
            }
            html.push_str("</ul>\n");
        }
        for note in &self.notes {
            writeln!(html, "<p>{}</p>", safe(note)).ok();
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report {
            source: "prisma".into(),
            dry_run: true,
            ..Report::default()
        };
        report.findings.push(
            Finding::new("refund_lost", "o<1>", "FAILED & paid.", "Give it back.").about(Decimal::new(12_305, 2)),
        );
        report
            .findings
            .push(Finding::new("key_duplicate", "k1", "Equal to k0.", "None."));
        report.tables.insert(
            "orders".into(),
            Table {
                rows: 3,
                taken: 1,
                duplicates: 1,
                refused: 1,
            },
        );
        report
    }

    #[test]
    fn a_finding_has_the_fields_that_programs_read() {
        let value = serde_json::to_value(&report().findings[0]).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "kind": "refund_lost", "id": "o<1>", "amount": "123.05", "currency": "EUR", "evidence": "FAILED & paid.",
                "proposal": "Give it back."
            })
        );
        let whole: serde_json::Value = serde_json::from_str(&report().for_file("x.JSON")).unwrap();
        assert_eq!(whole["tables"]["orders"]["refused"], 1);
        assert_eq!(whole["totals"]["refund_lost"]["amount"], "123.05");
        assert_eq!(whole["totals"]["key_duplicate"]["amount"], serde_json::Value::Null);
    }

    #[test]
    fn the_page_escapes_what_the_other_shop_wrote_and_has_no_scripts() {
        let html = report().for_file("x.html");
        assert!(html.contains("o&lt;1&gt;") && html.contains("FAILED &amp; paid.") && !html.contains("<script"));
        assert!(report().for_file("x.txt").contains("refund_lost o<1>  123.05 EUR"));
    }
}
