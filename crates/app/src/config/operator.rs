//! The operator of the shop: a contact address and the legal pages that a shop in Europe has to show. None is required
//! to run; what is missing is not shown, and `lockstep doctor` reports it in production.

use anyhow::{Result, bail};
use http::Uri;
use lockstep_domain::account::Email;
use lockstep_web::Operator;

use super::Settings;

/// Validates the settings; every page links to the addresses.
pub(crate) fn read(settings: &Settings) -> Result<Operator> {
    if let Some(address) = &settings.lockstep_contact_email
        && Email::parse(address).is_err()
    {
        bail!("LOCKSTEP_CONTACT_EMAIL is {address:?}; it has to be an e-mail address, such as help@shop.example");
    }
    Ok(Operator {
        // Not normalised; only addresses of accounts are.
        contact_email: settings
            .lockstep_contact_email
            .as_ref()
            .map(|address| address.trim().to_owned()),
        imprint_url: page(settings.lockstep_imprint_url.as_deref(), "LOCKSTEP_IMPRINT_URL")?,
        terms_url: page(settings.lockstep_terms_url.as_deref(), "LOCKSTEP_TERMS_URL")?,
        privacy_url: page(settings.lockstep_privacy_url.as_deref(), "LOCKSTEP_PRIVACY_URL")?,
    })
}

/// The address of a page that a visitor's browser can open.
fn page(address: Option<&str>, name: &str) -> Result<Option<String>> {
    let Some(address) = address else { return Ok(None) };
    let is_page = address.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_page {
        bail!("{name} is {address:?}; it has to be the address of a page, such as https://shop.example/page");
    }
    Ok(Some(address.to_owned()))
}

/// The variables of the settings that are missing.
pub(crate) fn missing(operator: &Operator) -> Vec<&'static str> {
    [
        ("LOCKSTEP_CONTACT_EMAIL", &operator.contact_email),
        ("LOCKSTEP_IMPRINT_URL", &operator.imprint_url),
        ("LOCKSTEP_TERMS_URL", &operator.terms_url),
        ("LOCKSTEP_PRIVACY_URL", &operator.privacy_url),
    ]
    .into_iter()
    .filter(|(_, said)| said.is_none())
    .map(|(name, _)| name)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operator_is_optional_and_missing_variables_are_named() {
        let nobody = read(&Settings::default()).unwrap();
        assert_eq!(nobody, Operator::default());
        assert_eq!(missing(&nobody).len(), 4);
        let known = read(&Settings {
            lockstep_contact_email: Some("Help@Shop.example".into()),
            lockstep_imprint_url: Some("https://shop.example/imprint#us".into()),
            lockstep_terms_url: Some("https://shop.example/terms?v=2".into()),
            ..Settings::default()
        })
        .unwrap();
        assert_eq!(known.contact_email.as_deref(), Some("Help@Shop.example"));
        assert_eq!(known.imprint_url.as_deref(), Some("https://shop.example/imprint#us"));
        assert_eq!(missing(&known), ["LOCKSTEP_PRIVACY_URL"]);
    }

    #[test]
    fn invalid_page_address_error_names_the_variable() {
        let refused = |settings: Settings| read(&settings).unwrap_err().to_string();
        for address in ["help", "help@", "@shop.example", "a b@shop.example"] {
            let why = refused(Settings {
                lockstep_contact_email: Some(address.into()),
                ..Settings::default()
            });
            assert!(why.contains("LOCKSTEP_CONTACT_EMAIL"), "{address}: {why}");
        }
        for address in [
            "imprint",
            "/imprint",
            "shop.example/imprint",
            "javascript:alert(1)",
            "ftp://shop.example/x",
            "https://",
            "https://shop.example/a b",
            "https://shop.example/\"><script>",
        ] {
            for (name, settings) in [
                (
                    "LOCKSTEP_IMPRINT_URL",
                    Settings {
                        lockstep_imprint_url: Some(address.into()),
                        ..Settings::default()
                    },
                ),
                (
                    "LOCKSTEP_TERMS_URL",
                    Settings {
                        lockstep_terms_url: Some(address.into()),
                        ..Settings::default()
                    },
                ),
                (
                    "LOCKSTEP_PRIVACY_URL",
                    Settings {
                        lockstep_privacy_url: Some(address.into()),
                        ..Settings::default()
                    },
                ),
            ] {
                let why = refused(settings);
                assert!(why.contains(name), "{address}: {why}");
            }
        }
    }
}
