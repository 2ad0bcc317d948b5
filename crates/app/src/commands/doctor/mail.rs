//! E-mails that have waited too long, and e-mails that were given up.

use chrono::{DateTime, Utc};
use lockstep_store::Store;
use lockstep_store::mail;

use super::{Finding, NO_ANSWER};

pub(super) async fn look(store: &Store, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    let looked =
        async { Ok::<_, lockstep_store::StoreError>((mail::counts(store).await?, mail::oldest(store).await?)) };
    let (
        mail::Counts {
            pending,
            announcements,
            given_up,
        },
        oldest,
    ) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            findings.push(Finding::wrong("e-mail", error.to_string(), NO_ANSWER));
            return;
        }
    };
    let waiting = match announcements {
        0 => format!("{pending} waiting"),
        _ => format!("{pending} waiting, and {announcements} announcements"),
    };
    match oldest {
        Some(since) if now - since > mail::LATE => findings.push(Finding::wrong(
            "e-mail",
            format!("{waiting}, the oldest since {}", since.format("%Y-%m-%d %H:%M UTC")),
            "is `lockstep serve` or `lockstep worker` running, and does the mail server (see `mail server`) accept e-mails? `last_error` in the table `mail_outbox` has its answer",
        )),
        _ => findings.push(Finding::well("e-mail", waiting)),
    }
    if given_up > 0 {
        findings.push(Finding::note(
            "e-mail",
            format!("{given_up} given up in the last seven days"),
            "remove what `last_error` in the table `mail_outbox` names; those e-mails are not sent again",
        ));
    }
}
