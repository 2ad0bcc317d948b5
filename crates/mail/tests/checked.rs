//! The check of the mail configuration detects failures before an e-mail has to be sent.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use lockstep_mail::{EmailTransport, EmailTransportError, RenderedEmail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const FROM: &str = "Shop <shop@example.com>";

/// A mail server without encryption that answers a login with `auth`, and the lines that it receives.
async fn server(auth: &'static str) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (lines_sent, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let lines_sent = lines_sent.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 test\r\n").await.ok();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let answer = match line.split_whitespace().next().unwrap_or_default() {
                        "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n",
                        "AUTH" => auth,
                        "DATA" => "354 go\r\n",
                        "." => "250 kept\r\n",
                        word if word.ends_with(':') || !word.chars().all(|c| c.is_ascii_uppercase()) => "",
                        _ => "250 ok\r\n",
                    };
                    lines_sent.send(line.trim_end().to_owned()).ok();
                    stream.write_all(answer.as_bytes()).await.ok();
                }
            });
        }
    });
    (place, heard)
}

/// Without encryption, in either notation.
fn in_clear(url: &str) -> EmailTransport {
    let said = EmailTransport::smtp(&format!("{url}?tls=none"), FROM, 1);
    said.or_else(|_| EmailTransport::smtp(url, FROM, 1)).unwrap()
}

#[tokio::test]
async fn check_logs_in_without_sending() {
    let (place, mut heard) = server("235 welcome\r\n").await;
    in_clear(&format!("smtp://quill:word@{place}")).check().await.unwrap();
    let mut verbs = Vec::new();
    while let Ok(line) = heard.try_recv() {
        verbs.push(line.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(verbs, ["EHLO", "AUTH", "MAIL", "QUIT"], "no RCPT, no DATA");

    let (place, _heard) = server("535 no such user\r\n").await;
    let refused = in_clear(&format!("smtp://quill:word@{place}"))
        .check()
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, EmailTransportError::Refused(why) if why.contains("no such user")),
        "{refused}"
    );
    assert!(!refused.to_string().contains("word"), "{refused}");

    // What a server repeats of the log-in is told to nobody, in whatever form it was sent.
    let (place, _heard) = server("535 no: quill, word, cXVpbGw=, d29yZA==, AHF1aWxsAHdvcmQ= !\r\n").await;
    let refused = in_clear(&format!("smtp://quill:word@{place}"))
        .check()
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no: …, …, …, …, … !"), "{refused}");

    let away = in_clear("smtp://127.0.0.1:9").check().await.unwrap_err();
    assert!(matches!(away, EmailTransportError::Later(_)), "{away}");
}

/// A server lets a user in and refuses to send as somebody else.
#[tokio::test]
async fn check_finds_out_that_the_sender_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 test\r\n").await.ok();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let answer = if line.starts_with("MAIL FROM:<shop@example.com>") {
                    "553 not yours\r\n"
                } else {
                    "250 ok\r\n"
                };
                stream.write_all(answer.as_bytes()).await.ok();
                line.clear();
            }
        }
    });
    let refused = in_clear(&format!("smtp://{place}")).check().await.unwrap_err();
    assert!(
        matches!(&refused, EmailTransportError::Refused(why) if why.contains("not yours")),
        "{refused}"
    );
}

#[tokio::test]
async fn check_leaves_the_folder_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("mail");
    EmailTransport::folder(&there, FROM).unwrap().check().await.unwrap();
    assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0);
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let wrong = EmailTransport::folder(&file, FROM).unwrap().check().await.unwrap_err();
    assert!(matches!(wrong, EmailTransportError::Later(_)), "{wrong}");
}

#[tokio::test]
async fn test_email_uses_the_normal_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let written = RenderedEmail {
        unsubscribe: None,
        subject: "Test".into(),
        text: "It arrived.".into(),
        html: "<p>It arrived.</p>".into(),
    };
    let delivery = EmailTransport::folder(folder.path(), FROM).unwrap();
    delivery
        .send_test("quill@example.org", &written, chrono::Utc::now())
        .await
        .unwrap();
    let file = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(
        kept.contains("To: quill@example.org") && kept.contains("It arrived."),
        "{kept}"
    );
    let wrong = delivery
        .send_test("nobody", &written, chrono::Utc::now())
        .await
        .unwrap_err();
    assert!(matches!(wrong, EmailTransportError::Address(_)), "{wrong}");
}
