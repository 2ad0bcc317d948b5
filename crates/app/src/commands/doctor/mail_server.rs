//! Whether e-mails can be sent: the mail server answers, accepts the credentials and encrypts the connection. With an
//! address, sends a test e-mail to it.

use std::time::Duration;

use lockstep_domain::language::Sentence;
use lockstep_mail::{EmailTransport, EmailTransportError, RenderedEmail, SmtpAddress};
use lockstep_store::mail::servers;

use super::{Finding, State};
use crate::config::Config;
use crate::database::Database;
use crate::secrets::Secrets;
use crate::words::say;

/// Time limit of one answer of the mail server.
const ANSWER: Duration = Duration::from_secs(10);

/// The mail server of `SMTP_URL`.
pub(super) async fn look(config: &Config, send_to: Option<&str>, findings: &mut Vec<Finding>) {
    let Some(url) = &config.smtp_url else { return };
    let place: Sentence = "doctor.mail.the_server".into();
    let delivery = match EmailTransport::smtp(url, &config.mail_from, 1) {
        Ok(delivery) => delivery,
        Err(error) => {
            let remedy = "doctor.mail.settings.do";
            findings.push(Finding::wrong("mail server", Sentence::verbatim(error), remedy));
            return;
        }
    };
    let address = SmtpAddress::parse(url).ok();
    let exposes_password = address.as_ref().is_some_and(SmtpAddress::exposes_password);
    let weakness = address.and_then(|address| address.weakness());
    findings.push(
        match (
            judge(
                &place,
                say!("doctor.mail.lets_in", place.clone()),
                delivery.check().await,
            ),
            weakness,
        ) {
            (found, Some(weakness)) if found.state == State::Well && exposes_password => Finding::wrong(
                "mail server",
                say!("doctor.both", found.seen, weakness),
                "doctor.mail.exposed.do",
            ),
            (found, Some(weakness)) if found.state == State::Well => Finding::note(
                "mail server",
                say!("doctor.both", found.seen, weakness),
                "doctor.mail.weak.do",
            ),
            (found, _) => found,
        },
    );
    send(config, &place, &delivery, send_to, findings).await;
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
            findings.push(Finding::failed("mail server", error));
            return;
        }
    };
    let (place, delivery) = match &active {
        Some(server) => (
            "doctor.mail.active_server",
            EmailTransport::to_server(server, ANSWER, 1),
        ),
        None => (
            "doctor.mail.folder",
            EmailTransport::folder(config.data_dir.join("mail"), &config.mail_from),
        ),
    };
    let place = Sentence::from(place);
    let delivery = match delivery {
        Ok(delivery) => delivery,
        Err(error @ EmailTransportError::NoServer(_)) => {
            let remedy = "doctor.mail.sealed.do";
            findings.push(Finding::wrong("mail server", Sentence::verbatim(error), remedy));
            return;
        }
        Err(error) => {
            let remedy = "doctor.mail.sender.do";
            findings.push(Finding::wrong("mail server", Sentence::verbatim(error), remedy));
            return;
        }
    };
    let remedy = "doctor.mail.none.do";
    findings.push(match &active {
        Some(_) => match (
            judge(
                &place,
                say!("doctor.mail.lets_in", place.clone()),
                delivery.check().await,
            ),
            delivery.weakness(),
        ) {
            (found, Some(weakness)) if found.state == State::Well => Finding::note(
                "mail server",
                say!("doctor.both", found.seen, weakness),
                "doctor.mail.weak_active.do",
            ),
            (found, _) => found,
        },
        None if config.production => Finding::wrong("mail server", "doctor.mail.none_active", remedy),
        // The mail folder is created when it is needed, by the process that runs the store.
        None => Finding::note("mail server", "doctor.mail.none", remedy),
    });
    if active.is_some() || !config.production {
        send(config, &place, &delivery, send_to, findings).await;
    }
}

async fn send(
    config: &Config,
    place: &Sentence,
    delivery: &EmailTransport,
    send_to: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    if let Some(recipient) = send_to {
        let done = say!("doctor.mail.tested", place.clone(), recipient);
        let letter = test_letter(config);
        let sent = delivery.send_test(recipient, &letter, config.clock.now()).await;
        findings.push(judge(place, done, sent));
    }
}

fn judge(place: &Sentence, done: Sentence, result: Result<(), EmailTransportError>) -> Finding {
    match result {
        Ok(()) => Finding::well("mail server", done),
        Err(EmailTransportError::Address(what)) => Finding::wrong(
            "mail server",
            say!("doctor.mail.no_address", what),
            "doctor.mail.no_address.do",
        ),
        Err(EmailTransportError::Refused(why)) => Finding::wrong(
            "mail server",
            say!("doctor.mail.refuses", place.clone(), why),
            "doctor.mail.refuses.do",
        ),
        Err(EmailTransportError::Later(why) | EmailTransportError::NoServer(why)) => Finding::wrong(
            "mail server",
            say!("doctor.mail.silent", place.clone(), why),
            "doctor.mail.silent.do",
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
