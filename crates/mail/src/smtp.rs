//! `SMTP_URL`: the mail server, its credentials, and the encryption of the connection.
//!
//! A password is never sent in clear unless the URL says `tls=none`: with credentials STARTTLS is required, without it
//! is used where the server offers it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::commands::Mail;
use lettre::transport::smtp::extension::{ClientId, MailParameter};
use lettre::{Address, AsyncSmtpTransport, Tokio1Executor};
use lockstep_domain::secret::Secret;
use percent_encoding::percent_decode_str;

/// What is invalid in `SMTP_URL`, by its part. No text of these contains the user or the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpAddressError {
    /// Unknown or missing scheme.
    #[error("it begins with neither smtp:// nor smtps://")]
    Scheme,
    /// An unescaped character in the user or the password that would end it early.
    #[error(
        "the user or the password holds /, ?, # or @; percent-encode / as %2F, ? as %3F, # as %23 and @ as %40 in the password"
    )]
    PasswordCharacter,
    /// A `%` that does not begin an escape.
    #[error("the user or the password contains a % that is followed by no two hexadecimal digits; write % as %25")]
    PercentSign,
    /// A user without a password.
    #[error("there is a user and no password; write user:password@host, and percent-encode a : in the user as %3A")]
    NoPassword,
    /// Missing host.
    #[error("the host is missing")]
    NoHost,
    /// Invalid host.
    #[error("the host {0:?} is not a name or an address")]
    Host(String),
    /// Invalid port.
    #[error("the port is not a number from 1 to 65535 (if it is part of the password, percent-encode / and # in it)")]
    Port,
    /// Unknown parameter.
    #[error("the parameter {0:?} is not known; there is ?tls=required, opportunistic or none")]
    Parameter(String),
    /// Unknown value of `tls`.
    #[error("tls is {0:?}; it has to be required, opportunistic or none")]
    Tls(String),
    /// `tls` contradicts `smtps`.
    #[error("smtps:// is always encrypted; remove ?tls=")]
    TlsOfSmtps,
    /// Invalid name for EHLO.
    #[error("the path, which is the name for EHLO, is not a host name")]
    HelloName,
}

/// Encryption of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first byte (`smtps`).
    Implicit,
    /// STARTTLS, without which nothing is sent.
    Required,
    /// STARTTLS where the server offers it.
    Opportunistic,
    /// No encryption.
    None,
}

/// A parsed `SMTP_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpAddress {
    host: String,
    port: u16,
    hello_name: Option<String>,
    credentials: Option<(String, Secret)>,
    encryption: Encryption,
}

impl SmtpAddress {
    /// Parses `smtps://user:password@host:465` or `smtp://host:587?tls=required`. User and password are
    /// percent-encoded. The default port is 465 for `smtps`, 587 where STARTTLS is required, and 25 otherwise.
    ///
    /// # Errors
    /// [`SmtpAddressError`], the invalid part.
    pub fn parse(url: &str) -> Result<Self, SmtpAddressError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(SmtpAddressError::Scheme)?;
        let is_implicit = match scheme.to_ascii_lowercase().as_str() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(SmtpAddressError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if tail.contains('@') || authority.matches('@').count() > 1 {
            return Err(SmtpAddressError::PasswordCharacter);
        }
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        let credentials = userinfo.map(credentials).transpose()?;
        let (host, port) = host_and_port(place)?;
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, query),
            None => (tail, ""),
        };
        let hello_name = hello_name(path)?;
        let encryption = encryption(is_implicit, query, credentials.is_some())?;
        let usual_port = match encryption {
            Encryption::Implicit => 465,
            Encryption::Required => 587,
            Encryption::Opportunistic | Encryption::None => 25,
        };
        Ok(Self {
            host,
            port: port.unwrap_or(usual_port),
            hello_name,
            credentials,
            encryption,
        })
    }

    /// The server of separate settings. With `is_implicit` TLS begins with the first byte; otherwise STARTTLS is required
    /// with credentials and used where it is offered without.
    ///
    /// # Errors
    /// [`SmtpAddressError::Host`], [`SmtpAddressError::Port`].
    pub fn of_parts(
        host: &str,
        port: u16,
        is_implicit: bool,
        credentials: Option<(String, Secret)>,
    ) -> Result<Self, SmtpAddressError> {
        let is_host = is_host_name(host) && !host.is_empty();
        if !is_host && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(SmtpAddressError::Host(host.to_owned()));
        }
        if port == 0 {
            return Err(SmtpAddressError::Port);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            hello_name: None,
            encryption: encryption(is_implicit, "", credentials.is_some())?,
            credentials,
        })
    }

    /// Host name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// User; empty without a log-in.
    pub fn user(&self) -> &str {
        self.credentials.as_ref().map_or("", |(user, _)| user)
    }

    /// The encryption of connections.
    pub fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// Whether the server is on this machine, so that nobody can listen on the way.
    fn is_here(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || (self.host.parse::<std::net::IpAddr>()).is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// Whether an eavesdropper could learn the password.
    pub fn exposes_password(&self) -> bool {
        let is_plain = matches!(self.encryption, Encryption::None | Encryption::Opportunistic);
        is_plain && self.credentials.is_some() && !self.is_here()
    }

    /// `text` without user and password, also in the forms in which they are sent: a server may repeat what it was told.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let Some((user, password)) = &self.credentials else {
            return text.to_owned();
        };
        let password = password.expose();
        let sent = [
            BASE64.encode(format!("\0{user}\0{password}")),
            BASE64.encode(password),
            BASE64.encode(user),
            password.to_owned(),
            user.clone(),
        ];
        (sent.iter().filter(|secret| !secret.is_empty()))
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }

    /// What an eavesdropper could learn, in words; `None` when nothing.
    pub fn weakness(&self) -> Option<&'static str> {
        if self.is_here() {
            return None;
        }
        match (self.encryption, &self.credentials) {
            (Encryption::Implicit | Encryption::Required, _) => None,
            (Encryption::None, Some(_)) => {
                Some("the mail server's password and every e-mail are sent in clear (tls=none)")
            }
            (Encryption::Opportunistic, Some(_)) => Some(
                "the mail server's password and every e-mail are sent in clear if the server offers no STARTTLS \
                 (tls=opportunistic)",
            ),
            (Encryption::None, None) => Some("e-mails, with their links, codes and keys, are sent in clear (tls=none)"),
            (Encryption::Opportunistic, None) => Some(
                "e-mails, with their links, codes and keys, are sent in clear if the mail server offers no STARTTLS; \
                 require it with ?tls=required",
            ),
        }
    }

    fn tls_parameters(&self) -> Result<TlsParameters, SmtpAddressError> {
        // Where an attacker on the path can disable encryption, a certificate proves nothing, and a self-signed one is
        // better than no encryption.
        let is_unproved = self.encryption == Encryption::Opportunistic && self.credentials.is_none();
        TlsParameters::builder(self.host.clone())
            .dangerous_accept_invalid_certs(is_unproved)
            .build()
            .map_err(|_| SmtpAddressError::Host(self.host.clone()))
    }

    /// Connects, logs in, and asks whether the server takes e-mails from `sender`. Sends nothing.
    pub(crate) async fn try_sender(
        &self,
        sender: &Address,
        timeout: Duration,
    ) -> Result<(), lettre::transport::smtp::Error> {
        let name = self.hello_name.clone().map_or_else(ClientId::default, ClientId::Domain);
        let parameters = || {
            self.tls_parameters().ok() // Built before, with the pool.
        };
        let wrapper = (self.encryption == Encryption::Implicit).then(parameters).flatten();
        let place = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(place, Some(timeout), &name, wrapper, None).await?;
        let wants_tls = match self.encryption {
            Encryption::Required => true,
            Encryption::Opportunistic => connection.can_starttls(),
            Encryption::Implicit | Encryption::None => false,
        };
        if let Some(parameters) = wants_tls.then(parameters).flatten() {
            connection.starttls(parameters, &name).await?;
        }
        if let Some((user, password)) = &self.credentials {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        let is_ascii = sender.user().is_ascii();
        let utf8 = (!is_ascii).then_some(MailParameter::SmtpUtfEight);
        connection
            .command(Mail::new(Some(sender.clone()), utf8.into_iter().collect()))
            .await?;
        // It has said what we wanted to know.
        let _goodbye = connection.quit().await;
        Ok(())
    }

    /// The connection pool. Does not connect yet.
    pub(crate) fn transport(
        &self,
        timeout: Duration,
        connections: u32,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, SmtpAddressError> {
        let tls = match self.encryption {
            Encryption::Implicit => Tls::Wrapper(self.tls_parameters()?),
            Encryption::Required => Tls::Required(self.tls_parameters()?),
            Encryption::Opportunistic => Tls::Opportunistic(self.tls_parameters()?),
            Encryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(timeout))
            .pool_config(PoolConfig::new().max_size(connections));
        if let Some(name) = &self.hello_name {
            builder = builder.hello_name(ClientId::Domain(name.clone()));
        }
        if let Some((user, password)) = &self.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }
}

fn credentials(userinfo: &str) -> Result<(String, Secret), SmtpAddressError> {
    let (user, password) = userinfo.split_once(':').ok_or(SmtpAddressError::NoPassword)?;
    if password.is_empty() {
        return Err(SmtpAddressError::NoPassword);
    }
    Ok((decoded(user)?, Secret::new(decoded(password)?)))
}

fn decoded(text: &str) -> Result<String, SmtpAddressError> {
    let is_code = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_code) {
        return Err(SmtpAddressError::PercentSign);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| SmtpAddressError::PercentSign)
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), SmtpAddressError> {
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(SmtpAddressError::Port)
    };
    // An IPv6 address is in brackets.
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| SmtpAddressError::Host(place.to_owned()))?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| SmtpAddressError::Host(place.to_owned()))?;
        let number = match rest.strip_prefix(':') {
            Some(number) => Some(port(number)?),
            None if rest.is_empty() => None,
            None => return Err(SmtpAddressError::Port),
        };
        return Ok((host.to_owned(), number));
    }
    let (host, number) = match place.split_once(':') {
        Some((host, number)) => (host, Some(port(number)?)),
        None => (place, None),
    };
    if host.is_empty() {
        return Err(SmtpAddressError::NoHost);
    }
    if !is_host_name(host) {
        return Err(SmtpAddressError::Host(host.to_owned()));
    }
    Ok((host.to_owned(), number))
}

fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn hello_name(path: &str) -> Result<Option<String>, SmtpAddressError> {
    match path.trim_matches('/') {
        "" => Ok(None),
        name if is_host_name(name) => Ok(Some(name.to_owned())),
        _ => Err(SmtpAddressError::HelloName),
    }
}

fn encryption(is_implicit: bool, query: &str, has_credentials: bool) -> Result<Encryption, SmtpAddressError> {
    let mut tls = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "tls" {
            return Err(SmtpAddressError::Parameter(name.to_owned()));
        }
        tls = Some(value);
    }
    match (is_implicit, tls) {
        (true, None) => Ok(Encryption::Implicit),
        (true, Some(_)) => Err(SmtpAddressError::TlsOfSmtps),
        (false, None) if has_credentials => Ok(Encryption::Required),
        (false, None | Some("opportunistic")) => Ok(Encryption::Opportunistic),
        (false, Some("required")) => Ok(Encryption::Required),
        (false, Some("none")) => Ok(Encryption::None),
        (false, Some(other)) => Err(SmtpAddressError::Tls(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        SmtpAddress::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn passwords_require_encryption_unless_disabled_in_the_url() {
        for (url, encryption, port) in [
            ("smtps://u:p@mail.example", Encryption::Implicit, 465),
            ("smtp://u:p@mail.example", Encryption::Required, 587),
            ("smtp://u:p@mail.example:25", Encryption::Required, 25),
            ("SMTP://mail.example", Encryption::Opportunistic, 25),
            ("smtp://127.0.0.1:1025", Encryption::Opportunistic, 1025),
            ("smtp://mail.example?tls=required", Encryption::Required, 587),
            (
                "smtp://u:p@mail.example?tls=opportunistic",
                Encryption::Opportunistic,
                25,
            ),
            (
                "smtp://u:p@mail.example:587/shop.example?tls=none",
                Encryption::None,
                587,
            ),
            ("smtp://[::1]:26", Encryption::Opportunistic, 26),
        ] {
            let address = SmtpAddress::parse(url).unwrap();
            assert_eq!((address.encryption(), address.port), (encryption, port), "{url}");
            let is_here = ["127.0.0.1", "::1"].contains(&address.host());
            let is_safe = is_here || matches!(encryption, Encryption::Implicit | Encryption::Required);
            assert_eq!(address.weakness().is_none(), is_safe, "{url}");
            assert_eq!(
                address.exposes_password(),
                !is_safe && address.credentials.is_some(),
                "{url}"
            );
        }
        let address = SmtpAddress::parse("smtp://ada%40shop.example:a%2Fb%23c%25@mail.example/shop.example").unwrap();
        let (user, password) = address.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose()), ("ada@shop.example", "a/b#c%"));
        assert_eq!(address.hello_name.as_deref(), Some("shop.example"));
    }

    #[test]
    fn errors_name_the_invalid_part_and_never_the_password() {
        for (url, part) in [
            ("mail.example:587", "smtp://"),
            ("http://u:hunter2@mail.example", "smtp://"),
            ("smtp://u:hunt/er2@mail.example:587", "percent-encode / as %2F"),
            ("smtp://u:hunt#er2@mail.example", "# as %23"),
            ("smtp://u:hunt?er2@mail.example", "? as %3F"),
            ("smtp://u:hunt@er2@mail.example", "@ as %40"),
            ("smtp://u:hunt%er2@mail.example", "% as %25"),
            ("smtp://u:hunter2%4@mail.example", "% as %25"),
            ("smtp://hunter2@mail.example", "no password"),
            ("smtp://u:@mail.example", "no password"),
            ("smtp://u:hunter2@", "host is missing"),
            ("smtp://u:hunter2@:587", "host is missing"),
            ("smtp://u:hunter2@mail example", "the host \"mail example\""),
            ("smtp://u:hunter2@mail.example:smtp", "port"),
            ("smtp://u:hunter2@mail.example:0", "port"),
            ("smtp://u:hunter2@mail.example:70000", "port"),
            (
                "smtp://u:hunter2@mail.example?starttls=yes",
                "\"starttls\" is not known",
            ),
            ("smtp://u:hunter2@mail.example?tls=yes", "tls is \"yes\""),
            ("smtps://u:hunter2@mail.example?tls=none", "remove ?tls="),
        ] {
            let error = error(url);
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hunt") && !error.contains("er2"), "{url}: {error}");
        }
        let shown = format!("{:?}", SmtpAddress::parse("smtp://u:hunter2@mail.example").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
