//! Settings that production refuses, because others could read, forge or guess something.

use anyhow::{Result, bail};

use super::Settings;

/// Minimum number of distinct characters; a random text of 32 characters or more has more.
const FEWEST_CHARACTERS: usize = 8;

/// Refuses settings that are complete but unsafe, by their names.
pub(super) fn refuse_what_is_unsafe(settings: &Settings) -> Result<()> {
    for (name, url) in [
        ("LOCKSTEP_PUBLIC_URL", &settings.public_url),
        ("LOCKSTEP_FRONT_URL", &settings.front_url),
    ] {
        if let Some(url) = url.as_deref().filter(|url| !is_https(url)) {
            bail!(
                "{name} is {url:?}; in production it has to begin with https://, because cookies are sent over HTTPS only and \
                 e-mails lead there"
            );
        }
    }
    if let Some(url) = settings
        .g2a_api_url
        .as_deref()
        .filter(|url| !is_https(url) && !is_loopback(url))
    {
        bail!(
            "G2A_API_URL is {url:?}; in production it has to begin with https:// unless it is on this machine, because game \
             keys and the account's secret go over it"
        );
    }
    if let Some(url) = settings
        .mollie_api_url
        .as_deref()
        .filter(|url| !is_https(url) && !is_loopback(url))
    {
        bail!(
            "MOLLIE_API_URL is {url:?}; in production it has to begin with https:// unless it is on this machine, because the \
             account's key goes over it"
        );
    }
    for (name, secret) in [
        ("JWT_SECRET", &settings.jwt_secret),
        ("JWT_REFRESH_SECRET", &settings.jwt_refresh_secret),
        ("LOCKSTEP_KEY_SECRET", &settings.lockstep_key_secret),
    ] {
        let keys = secret.iter().flat_map(|secret| secret.expose().split(','));
        if keys.map(str::trim).any(is_weak) {
            bail!(
                "{name} is not random: it has fewer than {FEWEST_CHARACTERS} different characters. Make one with \
                 `openssl rand -hex 32`; if data is sealed with it already, see \"Changing the key secret\" in \
                 docs/operations.md"
            );
        }
    }
    Ok(())
}

/// Whether a secret has too few distinct characters: all zeros, one letter forty times, and the like.
pub(super) fn is_weak(secret: &str) -> bool {
    let different: std::collections::BTreeSet<char> = secret.chars().collect();
    different.len() < FEWEST_CHARACTERS
}

fn is_https(url: &str) -> bool {
    url.get(..8)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// The host of an address, without its port.
pub(super) fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    match place.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

pub(super) fn is_loopback(url: &str) -> bool {
    let host = host(url);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &Settings) -> Option<String> {
        refuse_what_is_unsafe(settings).err().map(|error| error.to_string())
    }

    #[test]
    fn unsafe_settings_are_refused_by_name() {
        let random = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let sound = Settings {
            public_url: Some("https://shop.example".into()),
            g2a_api_url: Some("https://api.g2a.com/v1".into()),
            jwt_secret: Some(random.into()),
            jwt_refresh_secret: Some(random.into()),
            lockstep_key_secret: Some(format!("{random},{random}").into()),
            ..Settings::default()
        };
        assert_eq!(refused(&sound), None);
        for here in [
            "http://127.0.0.1:9100/v1",
            "http://localhost:9100",
            "http://[::1]:9100/v1",
        ] {
            let settings = Settings {
                g2a_api_url: Some(here.into()),
                ..sound.clone()
            };
            assert_eq!(refused(&settings), None, "{here}");
        }
        let with = |change: fn(&mut Settings)| {
            let mut settings = sound.clone();
            change(&mut settings);
            settings
        };
        for (settings, name) in [
            (
                with(|s| s.public_url = Some("http://shop.example".into())),
                "LOCKSTEP_PUBLIC_URL",
            ),
            (
                with(|s| s.front_url = Some("http://front.example".into())),
                "LOCKSTEP_FRONT_URL",
            ),
            (
                with(|s| s.g2a_api_url = Some("http://api.g2a.com/v1".into())),
                "G2A_API_URL",
            ),
            (
                with(|s| s.g2a_api_url = Some("http://localhost.evil.example".into())),
                "G2A_API_URL",
            ),
            (
                with(|s| s.g2a_api_url = Some("http://127.0.0.1@evil.example".into())),
                "G2A_API_URL",
            ),
            (with(|s| s.jwt_secret = Some("a".repeat(40).into())), "JWT_SECRET"),
            (
                with(|s| s.jwt_refresh_secret = Some("abcabc".repeat(8).into())),
                "JWT_REFRESH_SECRET",
            ),
            (
                with(|s| s.lockstep_key_secret = Some("00".repeat(32).into())),
                "LOCKSTEP_KEY_SECRET",
            ),
            (
                with(|s| {
                    s.lockstep_key_secret = s
                        .lockstep_key_secret
                        .take()
                        .map(|list| format!("{}, {}", list.expose(), "00".repeat(32)).into());
                }),
                "LOCKSTEP_KEY_SECRET",
            ),
        ] {
            let message = refused(&settings).unwrap();
            assert!(message.starts_with(name), "{name}: {message}");
        }
    }
}
