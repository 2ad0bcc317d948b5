//! Whether every sealed value can be opened, which values still need an older secret, and which e-mails no worker of
//! this shop can open.

use lockstep_domain::language::Sentence;
use lockstep_store::{instances, mail};

use super::Finding;
use crate::commands::keys::{Count, count};
use crate::config::Config;
use crate::database::Database;
use crate::secrets::{self, Secrets};
use crate::words::say;

const WHAT: &str = "secrets";

pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    match Secrets::known(config) {
        Ok(Some(secrets)) => match count(config, &secrets.keys, &database.store).await {
            Ok(counts) => judge(&counts, findings),
            Err(error) => findings.push(Finding::failed(WHAT, format!("{error:#}"))),
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
                    "doctor.secrets.lost.do",
                )),
                Err(error) => findings.push(Finding::failed(WHAT, error)),
            }
        }
        Err(error) => findings.push(Finding::wrong(
            WHAT,
            Sentence::verbatim(format!("{error:#}")),
            say!("doctor.secrets.unreadable.do", secrets::file(config).display()),
        )),
    }
    match mail::left(&database.store).await {
        Ok(0) => {}
        Ok(left) => findings.push(Finding::note(
            "e-mail",
            say!("doctor.mail.left", left),
            "doctor.mail.left.do",
        )),
        Err(error) => findings.push(Finding::failed("e-mail", error)),
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
            say!("doctor.secrets.shut", lost),
            "doctor.secrets.shut.do",
        ));
    }
    if !older.is_empty() {
        findings.push(Finding::note(
            WHAT,
            say!("doctor.secrets.older", older),
            "doctor.secrets.older.do",
        ));
    }
    if lost.is_empty() && older.is_empty() && !all.is_empty() {
        findings.push(Finding::well(WHAT, say!("doctor.secrets.open", all)));
    }
}
