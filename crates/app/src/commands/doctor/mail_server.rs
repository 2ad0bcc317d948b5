//! Whether e-mails can be sent: the mail server answers, accepts the credentials and encrypts the connection. With an
//! address, sends a test e-mail to it.

use std::time::Duration;

use lockstep_mail::{EmailTransport, EmailTransportError, RenderedEmail, SmtpAddress};
use lockstep_store::mail::servers;

use super::{Finding, NO_ANSWER, State};
use crate::config::Config;
use crate::database::Database;
use crate::secrets::Secrets;

/// Time limit of one answer of the mail server.
const ANSWER: Duration = Duration::from_secs(10);

/// The mail server of `SMTP_URL`.
pub(super) async fn look(config: &Config, send_to: Option<&str>, findings: &mut Vec<Finding>) {
    let Some(url) = &config.smtp_url else { return };
    let place = "the mail server";
    let delivery = match EmailTransport::smtp(url, &config.mail_from, 1) {
        Ok(delivery) => delivery,
        Err(error) => {
            let remedy = "correct SMTP_URL or LOCKSTEP_MAIL_FROM";
            findings.push(Finding::wrong("mail server", error.to_string(), remedy));
            return;
        }
    };
    let address = SmtpAddress::parse(url).ok();
    let exposes_password = address.as_ref().is_some_and(SmtpAddress::exposes_password);
    let weakness = address.and_then(|address| address.weakness());
    findings.push(match (judge(place, "lets us in", delivery.check().await), weakness) {
        (found, Some(weakness)) if found.state == State::Well && exposes_password => Finding::wrong(
            "mail server",
            format!("{}; {weakness}", found.seen),
            "use smtps://, or remove ?tls= from SMTP_URL: whoever listens can send as the shop",
        ),
        (found, Some(weakness)) if found.state == State::Well => Finding::note(
            "mail server",
            format!("{}; {weakness}", found.seen),
            "use smtps://, or remove ?tls=, or set ?tls=required in SMTP_URL",
        ),
        (found, _) => found,
    });
    send(config, place, &delivery, send_to, findings).await;
}

/// Without `SMTP_URL`: the mail server that staff have made the active one.
pub(super) async fn look_at_active(
    config: &Config,
    database: &Database,
    send_to: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    if config.smtp_url.is_some() {
        return;
    }
    if let Ok(Some(secrets)) = Secrets::known(config) {
        database.store.seal_mail_with(secrets.keys);
    }
    let active = match servers::active(&database.store).await {
        Ok(active) => active,
        Err(error) => {
            findings.push(Finding::wrong("mail server", error.to_string(), NO_ANSWER));
            return;
        }
    };
    let (place, delivery) = match &active {
        Some(server) => ("the active mail server", EmailTransport::to_server(server, ANSWER, 1)),
        None => (
            "the folder for e-mails",
            EmailTransport::folder(config.data_dir.join("mail"), &config.mail_from),
        ),
    };
    let delivery = match delivery {
        Ok(delivery) => delivery,
        Err(error @ EmailTransportError::NoServer(_)) => {
            let remedy =
                "enter its password again in the console, or add the secret that sealed it back to LOCKSTEP_KEY_SECRET";
            findings.push(Finding::wrong("mail server", error.to_string(), remedy));
            return;
        }
        Err(error) => {
            let remedy = "correct LOCKSTEP_MAIL_FROM, or the mail server in the console";
            findings.push(Finding::wrong("mail server", error.to_string(), remedy));
            return;
        }
    };
    let remedy = "set SMTP_URL, or enter a mail server in the console and make it the active one";
    findings.push(match &active {
        Some(_) => match (judge(place, "lets us in", delivery.check().await), delivery.weakness()) {
            (found, Some(weakness)) if found.state == State::Well => Finding::note(
                "mail server",
                format!("{}; {weakness}", found.seen),
                "use TLS from the first byte (`secure`), or a user, with which STARTTLS is required",
            ),
            (found, _) => found,
        },
        None if config.production => Finding::wrong("mail server", "none is active: e-mails wait", remedy),
        // The mail folder is created when it is needed, by the process that runs the store.
        None => Finding::note("mail server", "none: e-mails are files in the data folder", remedy),
    });
    if active.is_some() || !config.production {
        send(config, place, &delivery, send_to, findings).await;
    }
}

async fn send(
    config: &Config,
    place: &str,
    delivery: &EmailTransport,
    send_to: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    if let Some(recipient) = send_to {
        let done = format!("accepted an e-mail to {recipient}; check that it arrives");
        let letter = test_letter(config);
        let sent = delivery.send_test(recipient, &letter, config.clock.now()).await;
        findings.push(judge(place, &done, sent));
    }
}

fn judge(place: &str, done: &str, result: Result<(), EmailTransportError>) -> Finding {
    match result {
        Ok(()) => Finding::well("mail server", format!("{place} {done}")),
        Err(EmailTransportError::Address(what)) => Finding::wrong(
            "mail server",
            format!("cannot be an address: {what}"),
            "correct LOCKSTEP_MAIL_FROM, or the address after --send-mail",
        ),
        Err(EmailTransportError::Refused(why)) => Finding::wrong(
            "mail server",
            format!("{place} refuses: {why}"),
            "check user and password in SMTP_URL or in the console, and that they may send as the sender",
        ),
        Err(EmailTransportError::Later(why) | EmailTransportError::NoServer(why)) => Finding::wrong(
            "mail server",
            format!("{place}: {why}"),
            "check host, port and encryption in SMTP_URL or in the console, and that this machine can reach it",
        ),
    }
}

fn test_letter(config: &Config) -> RenderedEmail {
    let shop = &config.shop_name;
    let text = format!("This e-mail was sent by `lockstep doctor --send-mail`. E-mails of {shop} reach you.");
    RenderedEmail {
        subject: format!("{shop}: a test"),
        html: format!(
            "<!doctype html><p>{}</p>",
            text.replace('&', "&amp;").replace('<', "&lt;")
        ),
        text,
        unsubscribe: None,
    }
}
