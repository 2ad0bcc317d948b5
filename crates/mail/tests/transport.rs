//! When a connection to the mail server is encrypted, and what is sent before that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};

use lockstep_domain::account::Email;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::language::Language;
use lockstep_mail::{EmailBranding, EmailTransport, EmailTransportError, write};
use lockstep_store::mail::Claimed;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// The lines that a server received in clear, and whether TLS began after them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Heard {
    lines: Vec<String>,
    tls: bool,
}

impl Heard {
    fn verbs(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.split(' ').next().unwrap()).collect()
    }
}

/// A mail server that accepts every e-mail, and closes the connection once TLS begins.
async fn server(offers: &'static str) -> (String, Arc<Mutex<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let record = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let record = Arc::clone(&record);
            tokio::spawn(async move { talk(stream, offers, &record).await });
        }
    });
    (place, heard)
}

async fn talk(stream: TcpStream, offers: &str, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        heard.lock().unwrap().lines.push(line.clone());
        let answer = match line.split(' ').next().unwrap() {
            "EHLO" => format!("250-test\r\n{offers}250 SIZE 1000000\r\n"),
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await?;
                // The first byte of a TLS handshake.
                heard.lock().unwrap().tls = stream.read_u8().await? == 0x16;
                return Ok(());
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                let mut line = String::new();
                while line != ".\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await?;
                }
                "250 kept\r\n".to_owned()
            }
            "AUTH" => "235 welcome\r\n".to_owned(),
            "RCPT" if line.contains("nobody@") => {
                format!("550 no mailbox {} here\r\n", line.trim_start_matches("RCPT TO:"))
            }
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

async fn send(url: &str) -> Result<(), EmailTransportError> {
    let delivery = EmailTransport::smtp(url, "Lockstep <shop@shop.example>", 1).unwrap();
    send_to(&delivery, "ada@example.com").await
}

async fn send_to(delivery: &EmailTransport, recipient: &str) -> Result<(), EmailTransportError> {
    let email = EmailTemplate::PasswordChanged { nickname: "Ada".into() };
    let head = EmailBranding {
        shop: "Lockstep".into(),
        front_url: "https://shop.example".into(),
        public_url: "https://shop.example".into(),
        logo: None,
    };
    let written = write(&email, Language::English, &head).unwrap();
    let claimed = Claimed {
        user: None,
        id: Uuid::now_v7(),
        lease: Uuid::new_v4(),
        recipient: recipient.into(),
        letter: Ok(email),
        is_urgent: false,
        is_announcement: false,
        attempts: 1,
        created_at: "2027-01-01T00:00:00Z".parse().unwrap(),
    };
    delivery.deliver(&claimed, &written).await
}

/// What accounts of the existing shop have for an address, as this shop judges it and as it is delivered.
#[tokio::test]
async fn every_address_is_delivered_to_or_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let into_folder = EmailTransport::folder(folder.path(), "Lockstep <shop@shop.example>").unwrap();
    let (place, heard) = server("").await;
    let over_smtp = EmailTransport::smtp(&format!("smtp://{place}"), "shop@shop.example", 1).unwrap();
    for (recipient, sent_to) in [
        ("ada@example.com", Some("ada@example.com")),
        ("user@m\u{fc}nchen.de", Some("user@xn--mnchen-3ya.de")),
        ("\"ada lovelace\"@example.com", Some("\"ada lovelace\"@example.com")),
        ("\"a@b\"@example.com", Some("\"a@b\"@example.com")),
        ("\"\"@example.com", None),
        ("\"a\\\"@example.com", None),
        ("a.@hotmail.com", None),
    ] {
        let email = Email::of_existing_account(recipient).unwrap();
        assert_eq!(email.as_str(), recipient);
        assert_eq!(email.takes_mail(), sent_to.is_some(), "{recipient}");
        for delivery in [&into_folder, &over_smtp] {
            let sent = send_to(delivery, recipient).await;
            match sent_to {
                Some(_) => assert!(sent.is_ok(), "{recipient}: {sent:?}"),
                None => assert!(
                    matches!(sent, Err(EmailTransportError::Address(_))),
                    "{recipient}: {sent:?}"
                ),
            }
        }
        if let Some(sent_to) = sent_to {
            let line = format!("RCPT TO:<{sent_to}>");
            assert!(heard.lock().unwrap().lines.contains(&line), "{line}");
        }
    }
    // A mailbox outside ASCII needs a server that knows such addresses.
    let recipient = "j\u{f6}rg@example.com";
    assert!(Email::of_existing_account(recipient).unwrap().takes_mail());
    let refused = send_to(&over_smtp, recipient).await;
    assert!(matches!(refused, Err(EmailTransportError::Address(_))), "{refused:?}");
    let (place, _) = server("250-SMTPUTF8\r\n250-8BITMIME\r\n").await;
    let knows_them = EmailTransport::smtp(&format!("smtp://{place}"), "shop@shop.example", 1).unwrap();
    for delivery in [&into_folder, &knows_them] {
        let sent = send_to(delivery, recipient).await;
        assert!(sent.is_ok(), "{sent:?}");
    }
}

/// The reason is kept and logged; the address is not.
#[tokio::test]
async fn the_reason_of_a_refusal_does_not_name_the_recipient() {
    let (place, _) = server("").await;
    let delivery = EmailTransport::smtp(&format!("smtp://{place}"), "shop@shop.example", 1).unwrap();
    for recipient in ["nobody@example.com", "nobody@m\u{fc}nchen.de"] {
        let refused = send_to(&delivery, recipient).await;
        let Err(EmailTransportError::Refused(reason)) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("no mailbox") && !reason.contains("nobody"), "{reason}");
    }
}

const TLS: &str = "250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n";
const NO_TLS: &str = "250-AUTH PLAIN LOGIN\r\n";

#[tokio::test]
async fn password_is_sent_after_starttls() {
    let (place, heard) = server(TLS).await;
    assert!(send(&format!("smtp://ada:secret@{place}")).await.is_err());
    let heard = heard.lock().unwrap().clone();
    assert_eq!((heard.verbs(), heard.tls), (vec!["EHLO", "STARTTLS"], true));
}

#[tokio::test]
async fn without_required_starttls_nothing_is_sent() {
    for url in ["smtp://ada:secret@{}", "smtp://{}?tls=required"] {
        let (place, heard) = server(NO_TLS).await;
        let error = send(&url.replace("{}", &place)).await.unwrap_err();
        assert!(matches!(error, EmailTransportError::Later(_)), "{error}");
        assert!(error.to_string().contains("STARTTLS"), "{error}");
        let heard = heard.lock().unwrap().clone();
        assert!(
            !heard.verbs().iter().any(|verb| ["AUTH", "MAIL", "DATA"].contains(verb)),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn without_credentials_starttls_is_opportunistic() {
    let (place, heard) = server(TLS).await;
    assert!(send(&format!("smtp://{place}")).await.is_err());
    let with = heard.lock().unwrap().clone();
    assert_eq!((with.verbs(), with.tls), (vec!["EHLO", "STARTTLS"], true));
    let (place, heard) = server(NO_TLS).await;
    send(&format!("smtp://{place}")).await.unwrap();
    let without = heard.lock().unwrap().clone();
    assert!(
        without.verbs().contains(&"DATA") && !without.verbs().contains(&"AUTH"),
        "{without:?}"
    );
}

#[tokio::test]
async fn tls_none_sends_the_password_in_clear() {
    let (place, heard) = server(TLS).await;
    send(&format!("smtp://ada:secret@{place}?tls=none")).await.unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard.verbs().contains(&"AUTH") && heard.verbs().contains(&"DATA"),
        "{heard:?}"
    );
}
