//! The country of the shop, the duties that its operator takes over, and who asks for consent.

use anyhow::{Result, anyhow, bail};
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::{Duties, Duty};

use super::Settings;

/// Who asks for consent. Nobody is no answer in production: every order would state that nobody was asked.
pub(super) fn consent(settings: &Settings, production: bool) -> Result<ConsentMode> {
    let mode = match settings.lockstep_consent.as_deref() {
        None if production => ConsentMode::Required,
        None => ConsentMode::Development,
        Some(text) => text
            .parse()
            .map_err(|expected| anyhow!("LOCKSTEP_CONSENT is {text:?}; {expected}"))?,
    };
    if production && mode == ConsentMode::Development {
        bail!("LOCKSTEP_CONSENT cannot be development in production; set it to required, or to front");
    }
    Ok(mode)
}

/// The duties of the shop.
pub(super) fn duties(settings: &Settings, production: bool) -> Result<Duties> {
    let country = settings.lockstep_country.as_deref().map(str::to_uppercase);
    if let Some(code) = country.as_deref()
        && (code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        bail!("LOCKSTEP_COUNTRY is {code:?}; it has to be a country of ISO 3166-1, such as DE");
    }
    let names = settings.lockstep_duties_off.as_deref().unwrap_or_default().split(',');
    let named = names.map(str::trim).filter(|name| !name.is_empty() && *name != "none");
    let off = named.map(|name| {
        // Consent has a setting of its own.
        Duty::of_name(name)
            .filter(|duty| *duty != Duty::Consent)
            .ok_or_else(|| {
                anyhow!(
                    "LOCKSTEP_DUTIES_OFF names {name:?}; it has to name reduced-prices, withdrawal or accessibility"
                )
            })
    });
    Ok(Duties {
        country,
        off: off.collect::<Result<_>>()?,
        is_production: production,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_is_required_in_production_unless_a_front_end_asks() {
        let set = |text: Option<&str>, production| {
            let settings = Settings {
                lockstep_consent: text.map(str::to_owned),
                ..Settings::default()
            };
            consent(&settings, production).map_err(|error| error.to_string())
        };
        assert_eq!(set(None, true), Ok(ConsentMode::Required));
        assert_eq!(set(None, false), Ok(ConsentMode::Development));
        assert_eq!(set(Some("front"), true), Ok(ConsentMode::Front));
        assert_eq!(set(Some("required"), false), Ok(ConsentMode::Required));
        assert!(set(Some("development"), true).unwrap_err().contains("LOCKSTEP_CONSENT"));
        assert!(set(Some("never"), true).unwrap_err().contains("LOCKSTEP_CONSENT"));
    }

    #[test]
    fn duties_are_those_of_the_country_without_those_taken_over() {
        let set = |country: Option<&str>, off: Option<&str>| {
            let settings = Settings {
                lockstep_country: country.map(str::to_owned),
                lockstep_duties_off: off.map(str::to_owned),
                ..Settings::default()
            };
            duties(&settings, true).map_err(|error| error.to_string())
        };
        let german = set(Some("de"), Some("accessibility, reduced-prices")).unwrap();
        assert_eq!(german.profile().country, "DE");
        assert!(german.is_on(Duty::Withdrawal) && !german.is_on(Duty::ReducedPrices));
        assert_eq!(set(None, None).unwrap().profile().country, "EU");
        for (country, off) in [
            (Some("Germany"), None),
            (Some("D1"), None),
            (None, Some("consent")),
            (None, Some("tax")),
        ] {
            assert!(set(country, off).is_err(), "{country:?} {off:?}");
        }
    }
}
