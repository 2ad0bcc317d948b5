//! Diagnostics: what `lockstep doctor` finds, as a page and as text to copy; versions; and the settings in force.

use askama::Template;
use axum::response::Response;
use lockstep_admin::{CheckState, Diagnosis};
use lockstep_domain::language::Sentence;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{format, forms, page};

use super::layout;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table, machine};

#[derive(Template)]
#[template(path = "diagnostics.html")]
struct DiagnosticsPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    /// The reader may begin one.
    may_run: bool,
    is_running: bool,
    /// When the last one ended.
    at: Option<(String, String)>,
    findings: Table,
    /// The same, as text.
    text: Option<String>,
}

/// `GET /admin/system/diagnostics`
pub(super) async fn page(staff: Staff) -> Result<Response, PageError> {
    let (words, office) = (staff.words(), staff.office());
    let (last, is_running) = office.diagnosis(&staff.admin);
    let versions = office.versions(&staff.admin).await?;
    let mut facts = Vec::new();
    let mut about = Vec::new();
    if let Some(process) = &versions.process {
        let mode = if process.production {
            words.text("system.production")
        } else {
            words.text("system.development")
        };
        facts.push((words.text("system.version"), process.version.to_owned()));
        facts.push((words.text("system.mode"), mode.to_owned()));
        facts.push((
            words.text("system.started"),
            format!(
                "{} ({})",
                format::moment(words, process.started_at),
                format::ago(words, process.started_at, staff.now)
            ),
        ));
        about.push(format!(
            "Lockstep {}, {}, up since {}",
            process.version,
            if process.production {
                "production"
            } else {
                "development"
            },
            machine(process.started_at)
        ));
    }
    facts.push((words.text("system.schema"), versions.schema.to_string()));
    facts.push((words.text("system.postgres"), versions.postgres.clone()));
    about.push(format!(
        "schema {} ({} pending), PostgreSQL {}",
        versions.schema, versions.pending, versions.postgres
    ));
    let text = last.as_ref().map(|last| {
        let head = about.join("\n");
        format!("{head}\n{}\n{}", machine(last.at), last.text)
    });
    let page = DiagnosticsPage {
        layout: layout(&staff, words.text("system.diagnostics").to_owned(), &[])
            .following_job("/admin/live/diagnostics".to_owned(), is_running),
        facts,
        may_run: staff.may(Permission::SystemWrite),
        is_running,
        at: last
            .as_ref()
            .map(|last| (machine(last.at), format::moment(words, last.at))),
        findings: findings(&staff, last),
        text,
    };
    page::private(&page)
}

fn findings(staff: &Staff, last: Option<Diagnosis>) -> Table {
    let words = staff.words();
    let rows = last.into_iter().flat_map(|last| last.findings).map(|finding| {
        let (kind, state) = match finding.state {
            CheckState::Well => ("good", words.text("system.check.well")),
            CheckState::Note => ("warn", words.text("system.check.note")),
            CheckState::Wrong => ("bad", words.text("system.check.wrong")),
        };
        Row {
            href: None,
            cells: vec![
                Cell::Tag(kind, state.to_owned()),
                what(words, finding.what),
                told(words, &finding.seen),
                finding.remedy.map_or(Cell::Nothing, |remedy| told(words, &remedy)),
            ],
        }
    });
    let head = [
        "console.column.state",
        "system.column.check",
        "system.column.seen",
        "system.column.remedy",
    ];
    Table::plain(words, "system.diagnostics", &head, rows.collect()).or_else(
        words,
        "system.diagnostics.none",
        "system.diagnostics.none.advice",
    )
}

fn what(words: Language, what: &str) -> Cell {
    let key = format!("doctor.what.{}", what.to_lowercase().replace(' ', "_"));
    match words.find(&key) {
        Some(text) => Cell::Text(text.to_owned()),
        None => Cell::English(what.to_owned()),
    }
}

/// What PostgreSQL or a provider said is English.
fn told(words: Language, sentence: &Sentence) -> Cell {
    let text = words.tell(sentence);
    if sentence.is_verbatim() {
        Cell::English(text)
    } else {
        Cell::Text(text)
    }
}

/// `POST /admin/system/diagnostics`
pub(super) async fn run(sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    staff.office().diagnose(&staff.admin, staff.state.shop.clock());
    Ok(forms::done("/admin/system/diagnostics"))
}

/// `GET /admin/system/settings`
pub(super) async fn settings(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let rows = staff
        .office()
        .settings_in_force(&staff.admin)
        .into_iter()
        .map(|setting| {
            let kind = if setting.source == "default" { "" } else { "good" };
            let source = match setting.source {
                "flag" => words.text("system.source.flag"),
                "environment" => words.text("system.source.environment"),
                "file" => words.text("system.source.file"),
                _ => words.text("system.source.default"),
            };
            Row {
                href: None,
                cells: vec![
                    Cell::Main(setting.name),
                    match (setting.value, setting.default) {
                        (Some(value), _) => Cell::Text(value),
                        (None, Some(default)) => Cell::Text(format!("({default})")),
                        (None, None) => Cell::Text(words.text("system.not_set").to_owned()),
                    },
                    Cell::Tag(kind, source.to_owned()),
                ],
            }
        });
    let head = ["system.column.setting", "system.column.value", "system.column.source"];
    ListPage {
        layout: layout(&staff, words.text("system.settings").to_owned(), &[]),
        lead: Some(words.text("system.settings.lead").to_owned()),
        actions: Vec::new(),
        table: Table::plain(words, "system.settings", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}
