//! Prices: the rules in force, changing one of them or what holds for all, with the preview over the whole catalogue before
//! it counts, and the jobs that give games their prices.
//!
//! A form changes one rule of the set, or the set's own figures, and names the version that it changes. First it is shown
//! what the whole set would do; sent again from there it is saved.

use std::str::FromStr as _;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{PriceRulesError, ReportError, Taxonomy};
use lockstep_domain::Money;
use lockstep_domain::admin::{EndingView, Page, PriceChangeRow, PriceJobRow, PricePreview, PriceRuleRow, PriceRuleSet};
use lockstep_domain::price_rules::{MAX_RULES, MinMargin, PriceEnding, PriceRule, PriceRules, Rounding, RuleEnding};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::catalogue;
use crate::action::{ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, ListPage, Row, Table};

const ROOM: &str = "/admin/prices";
const SET: &str = "/admin/prices/set";
const RULE: &str = "/admin/prices/rule";
/// Changes that a preview lists besides the biggest ones.
const CHANGES: Page = Page { number: 1, size: 20 };
const JOBS: Page = Page { number: 1, size: 10 };
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 100;

const ROUNDINGS: [&str; 4] = ["", "NEAREST", "UP", "DOWN"];

#[derive(Template)]
#[template(path = "prices.html")]
struct PricesPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    actions: Vec<(&'static str, String)>,
    progress: Option<(i32, i32)>,
    tables: Vec<Table>,
}

/// The rules as they are computed with.
fn rules_of(set: &PriceRuleSet) -> Result<PriceRules, PageError> {
    let rules = set.rules.iter().map(rule_of).collect::<Option<Vec<_>>>();
    Ok(PriceRules {
        version: set.version,
        min_margin: MinMargin {
            amount: set.min_margin,
            percent: set.min_margin_percent.0,
        },
        ending: match set.ending {
            None => None,
            Some(view) => Some(ending_of(view).ok_or(PageError::Internal)?),
        },
        rules: rules.ok_or(PageError::Internal)?,
    })
}

fn ending_of(view: EndingView) -> Option<PriceEnding> {
    let rounding = Rounding::ALL.into_iter().find(|known| known.name() == view.rounding)?;
    PriceEnding::new(view.cents?, rounding)
}

fn rule_of(row: &PriceRuleRow) -> Option<PriceRule> {
    Some(PriceRule {
        name: row.name.clone(),
        priority: row.priority,
        genre: row.genre_id,
        platform: row.platform_id,
        activation_service: row.activation_service.clone(),
        cost_from: row.cost_from,
        cost_to: row.cost_to,
        markup_percent: row.markup_percent.map(|percent| percent.0),
        min_margin: MinMargin {
            amount: row.min_margin,
            percent: row.min_margin_percent.0,
        },
        ending: match row.ending {
            None => RuleEnding::OfSet,
            Some(view) if view.rounding == "NONE" => RuleEnding::None,
            Some(view) => RuleEnding::Some(ending_of(view)?),
        },
    })
}

fn percent(words: Language, percent: Decimal) -> String {
    format!("{} %", format::decimal(words, percent.normalize()))
}

fn margin(words: Language, margin: MinMargin) -> String {
    format!(
        "{} / {}",
        format::price(words, margin.amount),
        percent(words, margin.percent)
    )
}

fn ending(words: Language, ending: PriceEnding) -> String {
    format!(
        "{} · {}",
        format::decimal(words, format!("0.{:02}", ending.cents())),
        show::name(words, "rounding", ending.rounding().name())
    )
}

/// Names of genres and platforms.
struct Names {
    genres: Vec<(Uuid, String)>,
    platforms: Vec<(Uuid, String)>,
}

impl Names {
    async fn read(staff: &Staff) -> Result<Self, PageError> {
        let office = staff.office();
        Ok(Self {
            genres: office.terms_to_choose(&staff.admin, Taxonomy::Genres).await?,
            platforms: office.terms_to_choose(&staff.admin, Taxonomy::Platforms).await?,
        })
    }

    fn name(list: &[(Uuid, String)], id: Uuid) -> String {
        let found = list.iter().find(|(known, _)| *known == id);
        found.map_or_else(|| id.to_string(), |(_, name)| name.clone())
    }
}

/// What a rule fits, in words.
fn criteria(words: Language, rule: &PriceRule, names: &Names) -> String {
    let mut criteria = Vec::new();
    criteria.extend(rule.genre.map(|id| Names::name(&names.genres, id)));
    criteria.extend(rule.platform.map(|id| Names::name(&names.platforms, id)));
    criteria.extend(rule.activation_service.clone());
    let price = |price: Money| format::price(words, price);
    match (rule.cost_from, rule.cost_to) {
        (None, None) => {}
        (from, to) => criteria.push(format!(
            "{}–{}",
            from.map(price).unwrap_or_default(),
            to.map(price).unwrap_or_default()
        )),
    }
    if criteria.is_empty() {
        words.text("console.prices.all_games").to_owned()
    } else {
        criteria.join(" · ")
    }
}

/// `GET /admin/prices`
pub(crate) async fn page(staff: Staff) -> Result<Response, PageError> {
    let (words, office) = (staff.words(), staff.office());
    let set = office.price_rules(&staff.admin).await?;
    let rules = rules_of(&set)?;
    let names = Names::read(&staff).await?;
    let jobs = office.price_jobs(&staff.admin, JOBS).await?;
    let may_write = staff.may(Permission::PricesWrite);
    let facts = vec![
        (
            words.text("console.prices.markup"),
            percent(words, set.default_markup_percent.0),
        ),
        (words.text("console.prices.margin"), margin(words, rules.min_margin)),
        (
            words.text("console.prices.ending"),
            rules.ending.map_or_else(
                || words.text("console.prices.no_ending").to_owned(),
                |of| ending(words, of),
            ),
        ),
        (
            words.text("console.prices.version"),
            format::number(words, u64::try_from(set.version).unwrap_or(0)),
        ),
    ];
    let rows = (0_usize..).zip(&rules.rules).map(|(at, rule)| Row {
        href: may_write.then(|| format!("{RULE}?at={at}")),
        cells: rule_cells(words, rule, &names),
    });
    let table = Table::plain(words, "console.prices.rules", &RULE_HEAD, rows.collect()).or_else(
        words,
        "console.prices.none",
        "console.prices.none.advice",
    );
    let open = set.job.as_ref().filter(|job| job.state == "OPEN");
    let progress = open.map(|job| (job.games_done, job.games_total));
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("console.prices.new"), RULE.to_owned()));
        actions.push((words.text("console.prices.set"), SET.to_owned()));
    }
    let page = PricesPage {
        layout: Layout::new(&staff, words.text("console.room.prices").to_owned(), &[])
            .following_job("/admin/live/prices".to_owned(), progress.is_some()),
        facts,
        actions,
        progress,
        tables: vec![table, job_table(words, jobs.jobs)],
    };
    page::private(&page)
}

const RULE_HEAD: [&str; 6] = [
    "console.column.name",
    "console.prices.fits",
    "#console.prices.priority",
    "#console.prices.markup",
    "#console.prices.margin",
    "#console.prices.ending",
];

fn rule_cells(words: Language, rule: &PriceRule, names: &Names) -> Vec<Cell> {
    vec![
        Cell::Main(rule.name.clone()),
        Cell::Text(criteria(words, rule, names)),
        Cell::Number(rule.priority.to_string()),
        rule.markup_percent
            .map_or(Cell::Nothing, |of| Cell::Number(percent(words, of))),
        if rule.min_margin == MinMargin::default() {
            Cell::Nothing
        } else {
            Cell::Number(margin(words, rule.min_margin))
        },
        match rule.ending {
            RuleEnding::OfSet => Cell::Nothing,
            RuleEnding::None => Cell::Number(words.text("console.prices.no_ending").to_owned()),
            RuleEnding::Some(of) => Cell::Number(ending(words, of)),
        },
    ]
}

fn job_table(words: Language, jobs: Vec<PriceJobRow>) -> Table {
    let number = |number: i32| Cell::number(words, u64::try_from(number).unwrap_or(0));
    let rows = jobs.into_iter().map(|job| {
        let kind = match job.state.as_str() {
            "OPEN" => "warn",
            "COMPLETED" => "good",
            _ => "",
        };
        Row {
            href: None,
            cells: vec![
                Cell::Text(format!("{} {}", words.text("console.prices.version"), job.version)),
                Cell::Tag(kind, show::name(words, "price_job", &job.state)),
                Cell::Number(format!("{} / {}", job.games_done, job.games_total)),
                number(job.raised),
                number(job.lowered),
                Cell::time(words, job.requested_at),
            ],
        }
    });
    let head = [
        "console.column.what",
        "console.column.state",
        "#console.bulk.games",
        "#console.bulk.raised",
        "#console.bulk.lowered",
        "console.column.requested",
    ];
    Table::plain(words, "console.prices.jobs", &head, rows.collect())
}

/// `GET /admin/prices/jobs`
pub(crate) async fn jobs(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let jobs = staff.office().price_jobs(&staff.admin, staff.page()).await?;
    ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.prices.jobs").to_owned(),
            &[(words.text("console.room.prices"), ROOM)],
        ),
        lead: None,
        actions: Vec::new(),
        table: job_table(words, jobs.jobs).paged(&staff, jobs.paging),
    }
    .answer(&staff)
    .await
}

/// What is edited.
#[derive(Clone, Copy)]
enum Part {
    /// What holds for all games.
    Set,
    /// The rule at this place; a new one without.
    Rule(Option<usize>),
}

impl Part {
    /// The rule that an address or a form names.
    fn rule(text: Option<&str>) -> Self {
        Self::Rule(text.and_then(|at| at.parse().ok()))
    }

    const fn address(self) -> &'static str {
        match self {
            Self::Set => SET,
            Self::Rule(_) => RULE,
        }
    }
}

/// A short text that differs with the rule.
fn mark(rule: Option<&PriceRule>) -> String {
    format!("{:016x}", page::fingerprint(&[&format!("{rule:?}")]))
}

/// The place that the rule of a form has in rules that were saved since: the same rule, or the only one of its name. Without
/// one it is a new rule.
fn moved(words: Language, part: Part, form: &mut Form, rules: &PriceRules) -> Part {
    let Part::Rule(Some(_)) = part else {
        form.wrong("", words.text("wrong.prices_changed"));
        return part;
    };
    let same = rules
        .rules
        .iter()
        .position(|rule| mark(Some(rule)) == form.value("rule"));
    let at = same.or_else(|| {
        let mut named = (0..)
            .zip(&rules.rules)
            .filter(|(_, rule)| rule.name == form.value("was_name"));
        let first = named.next().map(|(at, _)| at);
        first.filter(|_| named.next().is_none())
    });
    form.wrong(
        "",
        match at {
            Some(_) => words.text("wrong.prices_changed"),
            None => words.text("wrong.rule_gone"),
        },
    );
    Part::Rule(at)
}

/// Name, label and value of each field.
fn values(words: Language, part: Part, rules: &PriceRules) -> Vec<(&'static str, String)> {
    let decimal = |number: Decimal| format::decimal(words, number.normalize());
    let amount = |amount: Money| format::decimal(words, amount);
    let cents = |ending: PriceEnding| ending.cents().to_string();
    let rule = match part {
        Part::Set => {
            return vec![
                ("margin", amount(rules.min_margin.amount)),
                ("margin_percent", decimal(rules.min_margin.percent)),
                (
                    "rounding",
                    rules.ending.map_or("", |of| of.rounding().name()).to_owned(),
                ),
                ("cents", rules.ending.map(cents).unwrap_or_default()),
            ];
        }
        Part::Rule(at) => at.and_then(|at| rules.rules.get(at)).cloned().unwrap_or_default(),
    };
    let (rounding, ending) = match rule.ending {
        RuleEnding::OfSet => ("", String::new()),
        RuleEnding::None => ("NONE", String::new()),
        RuleEnding::Some(of) => (of.rounding().name(), cents(of)),
    };
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    vec![
        ("name", rule.name),
        ("priority", rule.priority.to_string()),
        ("genre", id(rule.genre)),
        ("platform", id(rule.platform)),
        ("service", rule.activation_service.unwrap_or_default()),
        ("from", rule.cost_from.map(amount).unwrap_or_default()),
        ("to", rule.cost_to.map(amount).unwrap_or_default()),
        ("markup", rule.markup_percent.map(decimal).unwrap_or_default()),
        ("margin", amount(rule.min_margin.amount)),
        ("margin_percent", decimal(rule.min_margin.percent)),
        ("rounding", rounding.to_owned()),
        ("cents", ending),
    ]
}

/// The label of a field.
fn label(words: Language, name: &str) -> &'static str {
    match name {
        "name" => words.text("console.column.name"),
        "priority" => words.text("console.prices.priority"),
        "genre" => words.text("console.term.genre"),
        "platform" => words.text("console.term.platform"),
        "service" => words.text("console.prices.service"),
        "from" => words.text("console.prices.from"),
        "to" => words.text("console.prices.to"),
        "markup" => words.text("console.prices.markup"),
        "margin" => words.text("console.prices.margin_amount"),
        "margin_percent" => words.text("console.prices.margin_percent"),
        "rounding" => words.text("console.prices.ending"),
        _ => words.text("console.prices.cents"),
    }
}

/// `GET /admin/prices/set`
pub(crate) async fn set_page(staff: Staff) -> Result<Response, PageError> {
    edit_page(&staff, Part::Set, &Form::default(), None).await
}

/// `GET /admin/prices/rule`
pub(crate) async fn rule_page(staff: Staff) -> Result<Response, PageError> {
    let part = Part::rule(staff.parameter("at").as_deref());
    edit_page(&staff, part, &Form::default(), None).await
}

/// The form; after a conflict with what others have saved, and the version that it then changes.
async fn edit_page(
    staff: &Staff,
    part: Part,
    form: &Form,
    outdated: Option<&PriceRules>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let set = staff.office().price_rules(&staff.admin).await?;
    let now = rules_of(&set)?;
    let rules = outdated.unwrap_or(&now);
    let names = Names::read(staff).await?;
    let has_input = form.pairs().next().is_some();
    let stored = values(words, part, rules);
    let title = match part {
        Part::Set => words.text("console.prices.set").to_owned(),
        Part::Rule(None) => words.text("console.prices.new").to_owned(),
        Part::Rule(Some(at)) => rules
            .rules
            .get(at)
            .map(|rule| rule.name.clone())
            .or_else(|| has_input.then(|| form.value("name").to_owned()))
            .ok_or(PageError::NotFound)?,
    };
    let mut page = ActionPage::new(
        Layout::new(staff, title, &[(words.text("console.room.prices"), ROOM)]),
        form,
        part.address().to_owned(),
        words.text("console.prices.preview"),
        ROOM.to_owned(),
    );
    let version = match outdated {
        None if has_input => form.value("version").to_owned(),
        _ => rules.version.to_string(),
    };
    page.hidden.push(("version", version));
    if let Part::Rule(Some(at)) = part {
        page.hidden.push(("at", at.to_string()));
        page.hidden.push(("rule", mark(rules.rules.get(at))));
        let name = rules.rules.get(at).map(|rule| rule.name.clone());
        page.hidden.push(("was_name", name.unwrap_or_default()));
    }
    if outdated.is_some() {
        // Both versions: what others have saved above, what was entered in the fields.
        let shown = stored.iter().filter(|(_, value)| !value.is_empty());
        page.effects = shown
            .map(|(name, value)| {
                let label = label(words, name);
                (words.with_all("console.prices.stored", &[&label]), value.clone())
            })
            .collect();
    }
    let value = |name: &str| {
        if has_input {
            return form.value(name).to_owned();
        }
        let found = stored.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let choice = |name: &'static str, options: Vec<(String, String)>| {
        let chosen = value(name);
        let options = options.into_iter().map(|(option, name)| {
            let is_chosen = option == chosen;
            (option, name, is_chosen)
        });
        Choice {
            name,
            label: label(words, name),
            options: options.collect(),
        }
    };
    let roundings = |own: &[&'static str]| -> Vec<(String, String)> {
        let names = own.iter().map(|name| {
            let text = match *name {
                "" if matches!(part, Part::Set) => words.text("console.prices.no_ending").to_owned(),
                "" => words.text("console.prices.ending_of_set").to_owned(),
                "NONE" => words.text("console.prices.no_ending").to_owned(),
                name => show::name(words, "rounding", name),
            };
            ((*name).to_owned(), text)
        });
        names.collect()
    };
    let any = |field: &str, list: &[(Uuid, String)]| -> Vec<(String, String)> {
        let all = (String::new(), words.text("console.table.any").to_owned());
        let list = list.iter().map(|(id, name)| (id.to_string(), name.clone()));
        let mut options: Vec<_> = std::iter::once(all).chain(list).collect();
        // One that is not in the list stays what it is: without it the rule would fit all games.
        let chosen = value(field);
        if options.iter().all(|(id, _)| *id != chosen) {
            options.push((chosen.clone(), chosen));
        }
        options
    };
    let field = |name: &'static str, hint: &str| {
        let field = form.field(name, "text", label(words, name));
        let field = if hint.is_empty() {
            field
        } else {
            field.hint(words.text(hint))
        };
        if has_input { field } else { field.filled(&value(name)) }
    };
    let (margins, ending) = (
        [
            field("margin", "console.prices.margin.hint"),
            field("margin_percent", ""),
        ],
        field("cents", "console.prices.cents.hint"),
    );
    match part {
        Part::Set => {
            page.choices = vec![choice("rounding", roundings(&ROUNDINGS))];
            page.fields = margins.into_iter().chain([ending]).collect();
        }
        Part::Rule(at) => {
            page.choices = vec![
                choice("genre", any("genre", &names.genres)),
                choice("platform", any("platform", &names.platforms)),
                choice("rounding", roundings(&["", "NONE", "NEAREST", "UP", "DOWN"])),
            ];
            page.fields = vec![
                field("name", "").required(),
                field("priority", "console.prices.priority.hint"),
                field("service", "console.prices.service.hint"),
                field("from", "console.prices.band.hint"),
                field("to", ""),
                field("markup", "console.prices.markup.hint"),
            ];
            page.fields.extend(margins);
            page.fields.push(ending);
            if at.is_some() {
                page.check = Some((
                    "remove",
                    words.text("console.prices.remove"),
                    form.value("remove") == "yes",
                ));
            }
        }
    }
    page.warning = Some(words.text("console.prices.warning").to_owned());
    let status = if outdated.is_some() {
        StatusCode::CONFLICT
    } else {
        form.status()
    };
    Ok(page::secret(status, page.render()?))
}

/// An amount that is not negative.
fn amount(words: Language, form: &mut Form, name: &'static str) -> Option<Money> {
    let text = form.value(name);
    if text.is_empty() {
        return None;
    }
    let most = Decimal::from(1_000_000);
    let amount = money(text).filter(|amount| *amount >= Money::ZERO && amount.decimal() <= most);
    if amount.is_none() {
        form.wrong(name, words.text("wrong.amount_invalid"));
    }
    amount
}

/// A percentage from 0 to 1,000 with at most two decimals.
fn rate(words: Language, form: &mut Form, name: &'static str) -> Option<Decimal> {
    let text = form.value(name).trim_end_matches('%').trim().replace(',', ".");
    if text.is_empty() {
        return None;
    }
    let rate = Decimal::from_str(&text).ok();
    let rate =
        rate.filter(|rate| (Decimal::ZERO..=Decimal::ONE_THOUSAND).contains(rate) && rate.normalize().scale() <= 2);
    if rate.is_none() {
        form.wrong(name, words.text("wrong.rate_invalid"));
    }
    rate
}

/// The ending of a form; `None` without one.
fn entered_ending(words: Language, form: &mut Form) -> Option<PriceEnding> {
    let rounding = Rounding::ALL
        .into_iter()
        .find(|known| known.name() == form.value("rounding"))?;
    let cents = form.value("cents").trim_start_matches(['0', '.', ',']);
    let cents = if cents.is_empty() { "0" } else { cents };
    let is_empty = form.value("cents").is_empty();
    let ending = cents.parse().ok().and_then(|cents| PriceEnding::new(cents, rounding));
    let ending = ending.filter(|_| !is_empty);
    if ending.is_none() {
        form.wrong("cents", words.text("wrong.cents_invalid"));
    }
    ending
}

/// A genre or platform; `None` without one.
fn term(words: Language, form: &mut Form, name: &str) -> Option<Uuid> {
    let text = form.value(name);
    let id = text.parse().ok();
    if id.is_none() && !text.is_empty() {
        form.wrong("", words.text("wrong.no_such_term"));
    }
    id
}

fn entered_rule(words: Language, form: &mut Form) -> Option<PriceRule> {
    let line = |text: &str| text.chars().count() <= MAX_NAME && !text.contains(char::is_control);
    let name = form.value("name").to_owned();
    if name.is_empty() || !line(&name) {
        form.wrong("name", words.text("wrong.name_needed"));
    }
    let service = form.value("service").to_owned();
    if !line(&service) {
        form.wrong("service", words.text("wrong.name_needed"));
    }
    let priority = match form.value("priority") {
        "" => Some(0),
        text => text.parse::<i32>().ok().filter(|of| (-1_000..=1_000).contains(of)),
    };
    if priority.is_none() {
        form.wrong("priority", words.text("wrong.priority_invalid"));
    }
    let ending = match form.value("rounding") {
        "" => RuleEnding::OfSet,
        "NONE" => RuleEnding::None,
        _ => entered_ending(words, form).map(RuleEnding::Some).unwrap_or_default(),
    };
    let rule = PriceRule {
        name,
        priority: priority.unwrap_or_default(),
        genre: term(words, form, "genre"),
        platform: term(words, form, "platform"),
        activation_service: Some(service).filter(|service| !service.is_empty()),
        cost_from: amount(words, form, "from"),
        cost_to: amount(words, form, "to"),
        markup_percent: rate(words, form, "markup"),
        min_margin: MinMargin {
            amount: amount(words, form, "margin").unwrap_or_default(),
            percent: rate(words, form, "margin_percent").unwrap_or_default(),
        },
        ending,
    };
    if rule.cost_to.is_some_and(|to| to <= rule.cost_from.unwrap_or_default()) {
        form.wrong("to", words.text("wrong.band_invalid"));
    }
    form.is_sound().then_some(rule)
}

/// The rules in force with what the form changes.
fn candidate(words: Language, part: Part, form: &mut Form, mut rules: PriceRules) -> Option<PriceRules> {
    match part {
        Part::Set => {
            rules.min_margin = MinMargin {
                amount: amount(words, form, "margin").unwrap_or_default(),
                percent: rate(words, form, "margin_percent").unwrap_or_default(),
            };
            rules.ending = entered_ending(words, form);
        }
        Part::Rule(Some(at)) if form.value("remove") == "yes" => {
            if at < rules.rules.len() {
                rules.rules.remove(at);
            }
        }
        Part::Rule(at) => {
            let rule = entered_rule(words, form)?;
            let has_room = rules.rules.len() < MAX_RULES;
            match at.and_then(|at| rules.rules.get_mut(at)) {
                Some(place) => *place = rule,
                None if has_room => rules.rules.push(rule),
                None => form.wrong("", words.text("wrong.too_many_rules")),
            }
        }
    }
    form.is_sound().then_some(rules)
}

#[derive(Template)]
#[template(path = "price_preview.html")]
struct PreviewPage {
    layout: Layout,
    as_of: (String, String),
    facts: Vec<(&'static str, String)>,
    action: &'static str,
    hidden: Vec<(String, String)>,
    submit: String,
    tables: Vec<Table>,
}

/// `POST /admin/prices/set`
pub(crate) async fn change_set(sent: StaffForm) -> Result<Response, PageError> {
    change(sent, Part::Set).await
}

/// `POST /admin/prices/rule`
pub(crate) async fn change_rule(sent: StaffForm) -> Result<Response, PageError> {
    let at = sent.form.value("at").to_owned();
    let part = Part::rule(Some(at.as_str()).filter(|at| !at.is_empty()));
    change(sent, part).await
}

async fn change(sent: StaffForm, part: Part) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, office) = (staff.words(), staff.office());
    let set = office.price_rules(&staff.admin).await?;
    let now = rules_of(&set)?;
    let version = form.value("version").parse().map_err(|_| PageError::BadRequest)?;
    // A rule is meant by its place in the version that was shown.
    if now.version != version {
        let part = moved(words, part, &mut form, &now);
        return edit_page(&staff, part, &form, Some(&now)).await;
    }
    let Some(rules) = candidate(words, part, &mut form, now) else {
        return edit_page(&staff, part, &form, None).await;
    };
    if form.value("confirm") != "yes" {
        return match office.preview_price_rules(&staff.admin, &rules, CHANGES).await {
            Ok(preview) => preview_page(&staff, part, &form, preview),
            Err(ReportError::Busy | ReportError::TooSlow) => {
                form.wrong("", words.text("wrong.busy"));
                edit_page(&staff, part, &form, None).await
            }
            Err(ReportError::Store(error)) => Err(error.into()),
        };
    }
    match office.save_price_rules(&staff.admin, version, &rules).await {
        Ok(_) => Ok(forms::done("/admin/prices?done=prices_saved")),
        Err(PriceRulesError::Store(error)) => Err(error.into()),
        Err(PriceRulesError::Outdated { current, .. }) => {
            let part = moved(words, part, &mut form, &current);
            edit_page(&staff, part, &form, Some(&current)).await
        }
        Err(PriceRulesError::NoSuchGenre | PriceRulesError::NoSuchPlatform) => {
            form.wrong("", words.text("wrong.no_such_term"));
            edit_page(&staff, part, &form, None).await
        }
    }
}

fn preview_page(staff: &Staff, part: Part, form: &Form, preview: PricePreview) -> Result<Response, PageError> {
    let words = staff.words();
    let number = |number: u64| format::number(words, number);
    let facts = vec![
        (words.text("console.bulk.games"), number(preview.games)),
        (words.text("console.bulk.raised"), number(preview.raised)),
        (words.text("console.bulk.lowered"), number(preview.lowered)),
        (words.text("console.prices.unchanged"), number(preview.unchanged)),
        (words.text("console.prices.own"), number(preview.own_prices)),
        (words.text("console.bulk.below_cost"), number(preview.below_cost)),
        (words.text("console.prices.held_back"), number(preview.held_back)),
        (words.text("console.prices.unknown_cost"), number(preview.unknown_cost)),
    ];
    let table = |caption: &str, rows: Vec<PriceChangeRow>| {
        let rows = rows.into_iter().map(|change| Row {
            href: Some(format!("/admin/catalogue/{}", change.game_id)),
            cells: vec![
                Cell::Main(show::short(&change.title, 120)),
                catalogue::cost(words, Some(change.supplier_price.0)).map_or(Cell::Nothing, Cell::Number),
                Cell::money(words, change.price),
                Cell::money(words, change.new_price),
                Cell::text_or_none(change.rule),
            ],
        });
        let head = [
            "console.column.game",
            "#console.column.supplier_price",
            "#console.bulk.before",
            "#console.bulk.after",
            "console.prices.rule",
        ];
        let rows: Vec<Row> = rows.collect();
        (!rows.is_empty()).then(|| Table::plain(words, caption, &head, rows))
    };
    let tables = [
        table("console.prices.rises", preview.biggest_rises),
        table("console.prices.falls", preview.biggest_falls),
    ];
    let hidden = form.pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let page = PreviewPage {
        layout: Layout::new(
            staff,
            words.text("console.prices.preview").to_owned(),
            &[(words.text("console.room.prices"), ROOM)],
        ),
        as_of: (table::machine(preview.as_of), format::moment(words, preview.as_of)),
        facts,
        action: part.address(),
        hidden: hidden.chain([("confirm".to_owned(), "yes".to_owned())]).collect(),
        submit: words.count("console.prices.save", preview.raised + preview.lowered),
        tables: tables.into_iter().flatten().collect(),
    };
    page::private(&page)
}
