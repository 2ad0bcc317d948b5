//! Pages and searches of lists as parameters of SQL.

use lockstep_domain::admin::Page;

/// `limit` and `offset` of a page.
pub(crate) fn bounds(page: Page) -> (i64, i64) {
    (i64::from(page.size), i64::try_from(page.offset()).unwrap_or(i64::MAX))
}

/// An `ilike` pattern that matches `text` anywhere.
pub(crate) fn contains(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_text_is_escaped_in_patterns() {
        assert_eq!(contains(r"50%_a\b"), r"%50\%\_a\\b%");
    }
}
