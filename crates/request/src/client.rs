//! Client address and user agent of a request, as far as they can be trusted. Rate limits and login histories see the
//! same client in the API and on the pages.
//!
//! Any client can send an `X-Forwarded-For` header, and every proxy appends the address of its peer. With `proxies`
//! trusted proxies, the entry that many places from the end is what the outermost of them saw; the client may have
//! forged all entries in front of it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::Request;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use lockstep_auth::ClientInfo;
use lockstep_domain::language::Language;
use lockstep_domain::tax::Country;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the client of a request that arrived through `proxies` trusted proxies; `language` is the one in which its
/// user reads. If the proxies wrote no address, that of the connection is used.
pub fn client_info(parts: &Parts, proxies: usize, language: Option<Language>) -> ClientInfo {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    device(&parts.headers, peer.map(|ConnectInfo(peer)| peer.ip()), proxies)
        .reading(language)
        .in_country(
            parts
                .extensions
                .get::<NamedCountry>()
                .map(|NamedCountry(country)| *country),
        )
}

/// The country of a client, as a trusted proxy has named it.
#[derive(Debug, Clone, Copy)]
struct NamedCountry(Country);

/// Notes the country that a trusted proxy has named in `header`; [`client_info`] has it then. If the header came more than once, a
/// client may have sent one, and none counts.
pub fn note_country<B>(request: &mut Request<B>, header: &HeaderName) {
    let mut values = request.headers().get_all(header).iter();
    let (first, second) = (values.next(), values.next());
    let country = first
        .filter(|_| second.is_none())
        .and_then(|value| value.to_str().ok())
        .and_then(Country::new);
    if let Some(country) = country {
        request.extensions_mut().insert(NamedCountry(country));
    }
}

fn device(headers: &HeaderMap, peer: Option<IpAddr>, proxies: usize) -> ClientInfo {
    let user_agent = headers
        .get(header::USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    ClientInfo::new(forwarded_for(headers, proxies).or(peer), user_agent.as_deref())
}

fn forwarded_for(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let entries: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|header| header.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .collect();
    let entry = entries.get(entries.len().checked_sub(proxies)?)?;
    entry
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PEER: &str = "10.0.0.9";

    fn address_in(headers: &[&[u8]], proxies: usize) -> String {
        let headers = headers
            .iter()
            .map(|value| (FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap()))
            .collect();
        device(&headers, Some(PEER.parse().unwrap()), proxies)
            .address()
            .unwrap()
            .to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_is_ignored() {
        let claims: [&[&[u8]]; 4] = [&[], &[b"1.1.1.1"], &[b"1.1.1.1, 2.2.2.2"], &[b"1.1.1.1", b"::1"]];
        for headers in claims {
            assert_eq!(address_in(headers, 0), PEER);
        }
    }

    #[test]
    fn the_outermost_trusted_proxy_determines_the_address() {
        assert_eq!(address_in(&[b"2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address_in(&[b"2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b" 2.2.2.2 ,3.3.3.3,\t4.4.4.4 "], 3), "2.2.2.2");
    }

    #[test]
    fn entries_before_the_trusted_proxies_are_ignored() {
        assert_eq!(address_in(&[b"6.6.6.6, 2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address_in(&[b"6.6.6.6, 7.7.7.7, 2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        // The same in several headers, as some proxies write it.
        assert_eq!(address_in(&[b"6.6.6.6", b"2.2.2.2,3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b"6.6.6.6, 2.2.2.2", b"3.3.3.3"], 2), "2.2.2.2");
    }

    #[test]
    fn too_few_entries_fall_back_to_the_connection() {
        assert_eq!(address_in(&[], 1), PEER);
        assert_eq!(address_in(&[b"1.1.1.1"], 3), PEER);
        assert_eq!(address_in(&[b"1.1.1.1"], usize::MAX), PEER);
    }

    #[test]
    fn addresses_may_be_ipv6_and_have_a_port() {
        assert_eq!(address_in(&[b"2001:db8::1"], 1), "2001:db8::1");
        assert_eq!(address_in(&[b"[2001:db8::1]:443"], 1), "2001:db8::1");
        assert_eq!(address_in(&[b"1.2.3.4:55"], 1), "1.2.3.4");
        // An IPv4 client has the same address on a dual-stack socket.
        assert_eq!(address_in(&[b"::ffff:1.2.3.4"], 1), "1.2.3.4");
    }

    #[test]
    fn an_invalid_address_falls_back_to_the_connection() {
        for malformed in [
            "unknown",
            "",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:99999",
            "[2001:db8::1",
            "a,,",
            "' or 1=1",
        ] {
            assert_eq!(address_in(&[malformed.as_bytes()], 1), PEER, "{malformed}");
        }
        assert_eq!(address_in(&[b"2.2.2.2, unknown"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b"2.2.2.2,"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b"2.2.2.2", b"\xff\xfe"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b"2.2.2.2", b"\xff\xfe"], 1), PEER);
    }

    #[test]
    fn a_country_counts_when_one_proxy_has_named_it() {
        let header = HeaderName::from_static("cf-ipcountry");
        let named = |values: &[&str]| {
            let mut request = Request::new(());
            for value in values {
                request
                    .headers_mut()
                    .append(&header, HeaderValue::from_str(value).unwrap());
            }
            note_country(&mut request, &header);
            let country = client_info(&request.into_parts().0, 0, None).country();
            country.map(|country| country.to_string())
        };
        assert_eq!(named(&["de"]).as_deref(), Some("DE"));
        for nothing in [&[][..], &["XX"], &["T1"], &["Germany"], &["DE", "LU"]] {
            assert_eq!(named(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn the_user_agent_is_read_if_present() {
        let named = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("Browser 1.0"))]);
        assert_eq!(device(&named, None, 0).user_agent(), Some("Browser 1.0"));
        assert_eq!(device(&HeaderMap::new(), None, 1), ClientInfo::default());
    }
}
