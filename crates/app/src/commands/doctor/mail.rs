//! E-mails that have waited too long, and e-mails that were given up.

use chrono::{DateTime, Utc};
use lockstep_store::Store;
use lockstep_store::mail;

use super::Finding;
use crate::words::say;

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
            findings.push(Finding::failed("e-mail", error));
            return;
        }
    };
    let waiting = match announcements {
        0 => say!("doctor.mail.waiting", pending),
        _ => say!("doctor.mail.waiting_announcements", pending, announcements),
    };
    match oldest {
        Some(since) if now - since > mail::LATE => findings.push(Finding::wrong(
            "e-mail",
            say!("doctor.mail.late", waiting, since.format("%Y-%m-%d %H:%M UTC")),
            "doctor.mail.late.do",
        )),
        _ => findings.push(Finding::well("e-mail", waiting)),
    }
    if given_up > 0 {
        findings.push(Finding::note(
            "e-mail",
            say!("doctor.mail.given_up", given_up),
            "doctor.mail.given_up.do",
        ));
    }
}
