//! Checks of the first day only: an address that customers can reach, and a mark-up that was set.

use http::Uri;
use lockstep_store::{Store, price_rules, site};

use super::Finding;
use crate::config::{Config, Source};
use crate::words::say;

/// Whether customers can reach the shop: production, and an address with https that is not this machine's.
pub(super) fn look(config: &Config) -> Finding {
    let url = &config.public_url;
    let is_public = is_public(url);
    if config.production && is_public {
        Finding::well("address", say!("doctor.address.production", url))
    } else if is_public {
        let remedy = "doctor.address.development.do";
        Finding::note("address", say!("doctor.address.development", url), remedy)
    } else {
        let remedy = "doctor.address.local.do";
        Finding::note("address", say!("doctor.address.local", url), remedy)
    }
}

fn is_public(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host.is_empty() || host == "localhost" || host.ends_with(".localhost"),
    };
    uri.scheme_str() == Some("https") && !is_local
}

/// Whether the mark-up on G2A's price was set: by a setting, or by rules.
pub(super) async fn look_at_prices(config: &Config, store: &Store) -> Finding {
    let rules = match store.read(|tx| Box::pin(price_rules::current(tx))).await {
        Ok(rules) => rules.value,
        Err(error) => return Finding::failed("prices", error),
    };
    let markup = config.pricing.markup_percent;
    let is_set = config
        .shown
        .iter()
        .any(|shown| shown.key == "g2a_markup_percent" && shown.source != Source::Default);
    match (is_set, rules.is_empty()) {
        (_, false) => Finding::well("prices", "doctor.prices.rules"),
        (true, true) => Finding::well("prices", say!("doctor.prices.markup", markup)),
        (false, true) => {
            let seen = say!("doctor.prices.undecided", markup);
            Finding::note("prices", seen, "doctor.prices.undecided.do")
        }
    }
}

/// Whether the shop says who runs it, and on which terms: by pages of its own, or by addresses in settings.
pub(super) async fn look_at_legal_pages(config: &Config, store: &Store) -> Finding {
    let site = match store.read(|tx| Box::pin(site::site(tx))).await {
        Ok(site) => site.value,
        Err(error) => return Finding::failed("legal pages", error),
    };
    let operator = &config.operator;
    let lacking: Vec<&str> = [
        ("imprint", operator.imprint_url.is_some()),
        ("terms", operator.terms_url.is_some()),
        ("privacy", operator.privacy_url.is_some()),
        ("shipping", false),
    ]
    .into_iter()
    .filter(|(slug, is_set)| !is_set && !site.pages.iter().any(|page| page.slug == *slug))
    .map(|(slug, _)| slug)
    .collect();
    if lacking.is_empty() {
        Finding::well("legal pages", "doctor.legal.published")
    } else {
        let seen = say!("doctor.legal.missing", lacking.join(", "));
        Finding::note("legal pages", seen, "doctor.legal.missing.do")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_not_public() {
        for (url, public) in [
            ("https://shop.example", true),
            ("http://shop.example", false),
            ("https://localhost:8080", false),
            ("https://127.0.0.1", false),
            ("https://[::1]:8443", false),
            ("https://0.0.0.0", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_public(url), public, "{url}");
        }
    }
}
