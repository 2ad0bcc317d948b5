//! `GET /accessibility`: how accessible the shop is, from the record of its checks.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{NaiveDate, NaiveTime};
use lockstep_domain::law::Duty;

use crate::error::PageError;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{WebState, format, page};

/// What was checked, and when. A browser test fails when it no longer says what the tests do.
const CHECKS: &str = include_str!("../../accessibility.txt");

#[derive(Template)]
#[template(path = "accessibility.html")]
struct AccessibilityPage {
    layout: Layout,
    /// What was checked, with what, and when.
    checks: String,
}

/// A line of the record; empty if there is none.
fn recorded(name: &str) -> &'static str {
    CHECKS
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(known, _)| known.trim() == name)
        .map_or("", |(_, value)| value.trim())
}

pub(crate) async fn page(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    if !state.shop.duties().is_on(Duty::Accessibility) {
        return Err(PageError::NotFound);
    }
    let (words, pages, tool) = (visit.language, recorded("pages"), recorded("tool"));
    let checks = match recorded("checked").parse::<NaiveDate>() {
        Ok(day) => {
            let day = format::date(words, day.and_time(NaiveTime::MIN).and_utc());
            words.with_all("accessibility.checks", &[&pages, &tool, &day])
        }
        Err(_) => words.with_all("accessibility.unchecked", &[&pages, &tool]),
    };
    let page = AccessibilityPage {
        layout: Layout::new(&state, &visit),
        checks,
    };
    Ok(page::fresh(StatusCode::OK, page.render()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_complete() {
        assert!(recorded("checked") == "not yet" || recorded("checked").parse::<NaiveDate>().is_ok());
        assert!(recorded("tool").starts_with("axe-core "));
        assert!(recorded("pages").parse::<u32>().is_ok_and(|pages| pages > 0));
    }
}
