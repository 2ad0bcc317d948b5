//! Whether every sealed value can be opened, which values still need an older secret, and which e-mails no worker of
//! this shop can open.

use lockstep_store::{instances, mail};

use super::{Finding, NO_ANSWER};
use crate::commands::keys::{Count, count};
use crate::config::Config;
use crate::database::Database;
use crate::secrets::{self, Secrets};

const WHAT: &str = "secrets";

pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    match Secrets::known(config) {
        Ok(Some(secrets)) => match count(config, &secrets.keys, &database.store).await {
            Ok(counts) => judge(&counts, findings),
            Err(error) => findings.push(Finding::wrong(WHAT, format!("{error:#}"), NO_ANSWER)),
        },
        // This check must not generate secrets.
        Ok(None) => {
            let sealed = (database.store)
                .tx("doctor.sealed", |tx| Box::pin(instances::something_is_sealed(tx)))
                .await;
            match sealed {
                Ok(false) => {}
                Ok(true) => findings.push(Finding::wrong(
                    WHAT,
                    secrets::lost(&secrets::file(config)),
                    "bring the file back from a backup, or set LOCKSTEP_KEY_SECRET; until then no process of the shop starts",
                )),
                Err(error) => findings.push(Finding::wrong(WHAT, error.to_string(), NO_ANSWER)),
            }
        }
        Err(error) => findings.push(Finding::wrong(
            WHAT,
            format!("{error:#}"),
            format!(
                "make {} readable and writable for this user, or bring it back from a backup; settings with secrets have 64 \
                 hexadecimal digits",
                secrets::file(config).display()
            ),
        )),
    }
    match mail::left(&database.store).await {
        Ok(0) => {}
        Ok(left) => findings.push(Finding::note(
            "e-mail",
            format!(
                "{left} wait for a worker that can read them: of a newer version, or with the secret that sealed them"
            ),
            "start a worker of the newest version that ran; `last_error` in the table `mail_outbox` names it",
        )),
        Err(error) => findings.push(Finding::wrong("e-mail", error.to_string(), NO_ANSWER)),
    }
}

fn judge(counts: &[Count], findings: &mut Vec<Finding>) {
    let list = |number: fn(&Count) -> u64| {
        let some = counts.iter().filter(|count| number(count) > 0);
        let some: Vec<String> = some.map(|count| format!("{} {}", number(count), count.name)).collect();
        some.join(", ")
    };
    let (all, older, lost) = (
        list(|count| count.all),
        list(|count| count.older),
        list(|count| count.lost),
    );
    if !lost.is_empty() {
        findings.push(Finding::wrong(
            WHAT,
            format!("no secret of LOCKSTEP_KEY_SECRET opens {lost}"),
            "add the secret that they were sealed with to the end of the list, then run `lockstep keys rotate`",
        ));
    }
    if !older.is_empty() {
        findings.push(Finding::note(
            WHAT,
            format!("{older} are not sealed with the first secret of LOCKSTEP_KEY_SECRET"),
            "run `lockstep keys rotate` before you drop an older one",
        ));
    }
    if lost.is_empty() && older.is_empty() && !all.is_empty() {
        findings.push(Finding::well(
            WHAT,
            format!("the first secret of LOCKSTEP_KEY_SECRET opens {all}"),
        ));
    }
}
