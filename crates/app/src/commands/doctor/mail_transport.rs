//! Whether what goes to the mail server can be read on the way.

use lockstep_mail::SmtpAddress;

use super::Finding;
use crate::config::Config;

pub(super) fn look(config: &Config) -> Option<Finding> {
    let address = SmtpAddress::parse(config.smtp_url.as_deref()?).ok()?;
    let remedy = "use smtps://, or leave ?tls= out, or set ?tls=required in SMTP_URL";
    address
        .weakness()
        .map(|weakness| Finding::note("e-mail", weakness, remedy))
}
