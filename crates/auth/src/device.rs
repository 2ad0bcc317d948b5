//! From where a request comes, as far as that can be believed; in one place, so that limits and log-in histories mean
//! the same caller whichever face of the store was asked.
//!
//! Anybody can send an `X-Forwarded-For`, and every proxy adds to its end who asked it. So with `proxies` proxies of our
//! own the entry that many places from the end is what the outermost of them saw; what stands before it is the caller's
//! own word.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName};
use lockstep_store::sessions::Device;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Address and program of whoever sent these headers over a connection from `peer`, with `proxies` of our own proxies in
/// between. Where these did not write an address, the connection's counts.
pub fn device(headers: &HeaderMap, peer: Option<IpAddr>, proxies: usize) -> Device {
    let user_agent = headers
        .get(header::USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Device::new(forwarded_for(headers, proxies).or(peer), user_agent.as_deref())
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
    fn without_a_proxy_of_ours_the_connection_counts_whatever_a_caller_writes() {
        let claims: [&[&[u8]]; 4] = [&[], &[b"1.1.1.1"], &[b"1.1.1.1, 2.2.2.2"], &[b"1.1.1.1", b"::1"]];
        for headers in claims {
            assert_eq!(address_in(headers, 0), PEER);
        }
    }

    #[test]
    fn in_a_chain_of_proxies_the_outermost_of_ours_is_believed() {
        assert_eq!(address_in(&[b"2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address_in(&[b"2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b" 2.2.2.2 ,3.3.3.3,\t4.4.4.4 "], 3), "2.2.2.2");
    }

    #[test]
    fn more_hops_than_we_have_proxies_are_the_callers_own_word() {
        assert_eq!(address_in(&[b"6.6.6.6, 2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address_in(&[b"6.6.6.6, 7.7.7.7, 2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        // The same in several headers, as some proxies write it.
        assert_eq!(address_in(&[b"6.6.6.6", b"2.2.2.2,3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(address_in(&[b"6.6.6.6, 2.2.2.2", b"3.3.3.3"], 2), "2.2.2.2");
    }

    #[test]
    fn fewer_hops_than_we_have_proxies_leave_the_connection() {
        assert_eq!(address_in(&[], 1), PEER);
        assert_eq!(address_in(&[b"1.1.1.1"], 3), PEER);
        assert_eq!(address_in(&[b"1.1.1.1"], usize::MAX), PEER);
    }

    #[test]
    fn addresses_may_be_ipv6_and_have_a_port() {
        assert_eq!(address_in(&[b"2001:db8::1"], 1), "2001:db8::1");
        assert_eq!(address_in(&[b"[2001:db8::1]:443"], 1), "2001:db8::1");
        assert_eq!(address_in(&[b"1.2.3.4:55"], 1), "1.2.3.4");
        // An IPv4 caller is the same one on a socket for both.
        assert_eq!(address_in(&[b"::ffff:1.2.3.4"], 1), "1.2.3.4");
    }

    #[test]
    fn what_is_no_address_leaves_the_connection_and_shifts_nothing() {
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
    fn a_program_is_told_by_name_and_none_is_no_name() {
        let named = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("Browser 1.0"))]);
        assert_eq!(device(&named, None, 0).user_agent(), Some("Browser 1.0"));
        assert_eq!(device(&HeaderMap::new(), None, 1), Device::default());
    }
}
