//! What is asked outside about VAT, and who names the country of a request. What the operator states about VAT is in the database.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use http::HeaderName;
use lockstep_vat::ViesConfig;

use super::Settings;

/// How long VIES may take: a shopper waits for it.
const VIES_TIMEOUT: Duration = Duration::from_secs(5);
/// The set of rates that `lockstep vat update` reads: those of the European Commission, checked daily.
const RATES_URL: &str = "https://cdn.jsdelivr.net/gh/vatnode/eu-vat-rates-data@main/data/eu-vat-rates-data.json";

/// Settings of VAT.
#[derive(Debug, Clone)]
pub(crate) struct VatConfig {
    /// The header in which the outermost trusted proxy names the country of the client.
    pub(crate) country_header: Option<HeaderName>,
    /// The register of VAT ids; `None`: it is not asked.
    pub(crate) vies: Option<ViesConfig>,
    /// Where newer rates are.
    pub(crate) rates_url: String,
}

pub(super) fn read(settings: &Settings, trusted_proxies: usize) -> Result<VatConfig> {
    let header = settings.lockstep_country_header.as_deref();
    let country_header = header
        .map(|name| {
            name.parse::<HeaderName>().map_err(|_| {
                anyhow!("LOCKSTEP_COUNTRY_HEADER is {name:?}; it has to be the name of a header, such as CF-IPCountry")
            })
        })
        .transpose()?;
    if country_header.is_some() && trusted_proxies == 0 {
        bail!(
            "LOCKSTEP_COUNTRY_HEADER needs LOCKSTEP_TRUSTED_PROXIES: without a proxy any client could name its country"
        );
    }
    let vies = settings.lockstep_vies_url.clone().map(|url| ViesConfig {
        url,
        timeout: VIES_TIMEOUT,
    });
    if let Some(vies) = &vies {
        lockstep_vat::Vies::new(vies).map_err(|error| anyhow!("LOCKSTEP_VIES_URL: {error}"))?;
    }
    Ok(VatConfig {
        country_header,
        vies,
        rates_url: settings
            .lockstep_vat_rates_url
            .clone()
            .unwrap_or_else(|| RATES_URL.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_taken_only_from_a_trusted_proxy() {
        let named = Settings {
            lockstep_country_header: Some("CF-IPCountry".into()),
            ..Settings::default()
        };
        assert!(read(&named, 0).is_err());
        assert_eq!(read(&named, 1).unwrap().country_header.unwrap(), "cf-ipcountry");
        let odd = Settings {
            lockstep_country_header: Some("no header".into()),
            ..Settings::default()
        };
        assert!(read(&odd, 1).is_err());
    }

    #[test]
    fn vies_is_off_until_its_address_is_set() {
        assert!(read(&Settings::default(), 0).unwrap().vies.is_none());
        let at = |url: &str| Settings {
            lockstep_vies_url: Some(url.into()),
            ..Settings::default()
        };
        assert!(read(&at("https://vies.example/rest-api"), 0).unwrap().vies.is_some());
        assert!(read(&at("http://vies.example/rest-api"), 0).is_err());
    }
}
