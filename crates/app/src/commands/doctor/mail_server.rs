//! Whether e-mails can be sent: the mail server answers, accepts the credentials and encrypts the connection. With an
//! address, sends a test e-mail to it.

use lockstep_mail::{EmailTransport, EmailTransportError, RenderedEmail, SmtpAddress};

use super::{Finding, State};
use crate::config::Config;

pub(super) async fn look(config: &Config, send_to: Option<&str>, findings: &mut Vec<Finding>) {
    let (place, delivery) = match &config.smtp_url {
        Some(url) => ("the mail server", EmailTransport::smtp(url, &config.mail_from, 1)),
        None => (
            "the folder for e-mails",
            EmailTransport::folder(config.data_dir.join("mail"), &config.mail_from),
        ),
    };
    let delivery = match delivery {
        Ok(delivery) => delivery,
        Err(error) => {
            let remedy = "correct SMTP_URL or LOCKSTEP_MAIL_FROM";
            findings.push(Finding::wrong("mail server", error.to_string(), remedy));
            return;
        }
    };
    // The mail folder is created when it is needed, by the process that runs the store.
    if let Some(url) = &config.smtp_url {
        let weakness = SmtpAddress::parse(url).ok().and_then(|address| address.weakness());
        findings.push(match (judge(place, "lets us in", delivery.check().await), weakness) {
            (found, Some(weakness)) if found.state == State::Well => Finding::note(
                "mail server",
                format!("{}; {weakness}", found.seen),
                "use smtps://, or remove ?tls=, or set ?tls=required in SMTP_URL",
            ),
            (found, _) => found,
        });
    } else {
        let remedy = "set SMTP_URL to send e-mails";
        findings.push(Finding::note(
            "mail server",
            "none: e-mails are files in the data folder",
            remedy,
        ));
    }
    if let Some(recipient) = send_to {
        let done = format!("accepted an e-mail to {recipient}; check that it arrives");
        findings.push(judge(
            place,
            &done,
            delivery
                .send_test(recipient, &test_letter(config), config.clock.now())
                .await,
        ));
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
            "check user and password in SMTP_URL, and that they may send as LOCKSTEP_MAIL_FROM",
        ),
        Err(EmailTransportError::Later(why)) => Finding::wrong(
            "mail server",
            format!("{place}: {why}"),
            "check host, port and encryption in SMTP_URL, and that this machine can reach it",
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
    }
}
