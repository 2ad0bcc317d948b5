//! `lockstep admin`: account operations that only the operator can perform. No existing admin can create the first one,
//! and no other check can identify an owner who lost their second factor.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, Result, anyhow, bail};
use lockstep_auth::AuthError;
use lockstep_clock::Random;
use lockstep_domain::account::{Email, NewPassword};
use lockstep_domain::staff::StaffRole;
use lockstep_fulfilment::machine;
use lockstep_store::accounts::{AccountError, AdminMade, staff};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::accounts;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// Length of a generated password: 24 of 58 characters are 140 bits.
const LENGTH: usize = 24;
/// Characters that are not mistaken for one another.
const SIGNS: [&[u8]; 3] = [b"abcdefghijkmnopqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789"];

/// Makes `email` an admin: creates the account, or promotes an existing one, which keeps its password if its address
/// was verified.
pub(crate) async fn create(config: &Config, output: Output, email: &str) -> Result<()> {
    let email = Email::parse(email).map_err(|error| anyhow!("{email:?} is {error}"))?;
    let typed = if std::io::stdin().is_terminal() {
        prompt_password(&email)?
    } else {
        None
    };
    let (password, made_up) = match typed {
        Some(password) => (password, false),
        None => (made_up(&config.random), true),
    };
    let database = Database::open(config, Use::Join).await?;
    let made = make(config, &database, &email, &password).await;
    database.close().await;
    let made = made?;
    let console = config.console_url();
    let shown = (made != AdminMade::Promoted && made_up).then_some(password.as_str());
    output.result(
        &serde_json::json!({
            "email": email.as_str(),
            "created": made == AdminMade::Created,
            "promoted": made != AdminMade::Created,
            "password": shown,
            "console": console,
        }),
        || {
            let mut words = match made {
                AdminMade::Created => format!("{email} is an admin now."),
                AdminMade::Promoted => {
                    format!("{email} had an account and is an admin now; the password is still the same.")
                }
                AdminMade::Reclaimed => format!(
                    "{email} is an admin now. This address was registered without being verified: the account has a new password, and all its sessions are ended."
                ),
            };
            if let Some(password) = shown {
                words.push_str(" Their password, shown this once: ");
                words.push_str(password);
            }
            if config.production {
                words.push_str("\nIn production an admin also needs an authenticator: log in and set one up.");
            }
            words.push_str("\nThe console: ");
            words.push_str(&console);
            words
        },
    )
}

/// Changes the role of the account with the address `email`.
pub(crate) async fn role(config: &Config, output: Output, email: &str, role: &str) -> Result<()> {
    let email = Email::parse(email).map_err(|error| anyhow!("{email:?} is {error}"))?;
    let role = StaffRole::from_name(role);
    let database = Database::open(config, Use::Join).await?;
    let changed = async {
        database.be_up_to_date().await?;
        let auth = accounts::open(config, &database.store).await?;
        match auth.assign_role(&email, &role, &machine()).await {
            Ok(before) => Ok(before),
            Err(AuthError::Account(AccountError::NotFound)) => {
                bail!("there is no account with the address {email}")
            }
            Err(AuthError::Account(AccountError::UnknownRole)) => {
                let known = staff::roles(&database.store).await?.join(", ").to_lowercase();
                bail!("there is no role {}; there are user, owner, {known}", role.name())
            }
            Err(AuthError::Store(error)) => Err(anyhow!(error).context("changing the role")),
            Err(error) => bail!(error),
        }
    };
    let changed = changed.await;
    database.close().await;
    let before = changed?;
    let value = serde_json::json!({ "email": email.as_str(), "role": role.name(), "before": before.name() });
    output.result(&value, || {
        if before == role {
            return format!("{email} had the role {} already.", role.name());
        }
        let mut words = match &role {
            StaffRole::None => format!("{email} is no member of staff any more."),
            role => format!("{email} has the role {} now.", role.name()),
        };
        if config.production && role != StaffRole::None {
            words.push_str("\nIn production staff also need an authenticator: log in and set one up.");
        }
        words
    })
}

/// Removes the second factor of an account whose owner has lost it.
pub(crate) async fn reset_second_factor(config: &Config, output: Output, email: &str) -> Result<()> {
    let email = Email::parse(email).map_err(|error| anyhow!("{email:?} is {error}"))?;
    let database = Database::open(config, Use::Join).await?;
    let reset = async {
        let auth = accounts::open(config, &database.store).await?;
        auth.reset_second_factor(&email, &machine())
            .await
            .map_err(|error| match error {
                AuthError::Account(AccountError::NotFound) => anyhow!("there is no account with the address {email}"),
                AuthError::Store(error) => anyhow!(error).context("resetting the second factor"),
                error => anyhow!(error),
            })
    };
    let reset = reset.await;
    database.close().await;
    let reset = reset?;
    output.result(
        &serde_json::json!({ "email": email.as_str(), "reset": reset }),
        || {
            if reset {
                format!("{email} logs in with the password alone now and has got an e-mail about it. All their sessions are ended.")
            } else {
                format!("{email} has no second factor; nothing was changed.")
            }
        },
    )
}

async fn make(config: &Config, database: &Database, email: &Email, password: &str) -> Result<AdminMade> {
    database.be_up_to_date().await?;
    let auth = accounts::open(config, &database.store).await?;
    auth.create_admin(email, password, &machine())
        .await
        .map_err(|error| match error {
            AuthError::Invalid(faults) => anyhow!(
                "{}",
                faults.first().map_or("the password is not good", |fault| fault.msg)
            ),
            AuthError::Store(error) => anyhow!(error).context("making the account"),
            error => anyhow!(error),
        })
}

/// Asks for a password twice without echo; `None` if the operator leaves it empty to have one generated.
fn prompt_password(email: &Email) -> Result<Option<String>> {
    let first = read_hidden(&format!("Password for {email} (leave it empty to have one made up): "))?;
    if first.is_empty() {
        return Ok(None);
    }
    // Check the rule before asking a second time.
    NewPassword::parse(&first, Some(email))?;
    if read_hidden("The same once more: ")? != first {
        bail!("the two passwords are not the same");
    }
    Ok(Some(first))
}

/// Reads a line from the terminal without echo.
fn read_hidden(prompt: &str) -> Result<String> {
    Output::prompt(prompt)?;
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).context("the terminal")?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).context("the terminal")?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &shown).context("the terminal")?;
    read.context("reading the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Generates a password that satisfies the password rule.
fn made_up(random: &Random) -> String {
    let mut random = random.rng();
    let all = SIGNS.concat();
    // One character of each kind, as the rule requires, then any.
    let mut signs: Vec<u8> = SIGNS
        .iter()
        .filter_map(|kind| kind.choose(&mut random).copied())
        .collect();
    signs.extend((signs.len()..LENGTH).filter_map(|_| all.choose(&mut random).copied()));
    signs.shuffle(&mut random);
    signs.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_valid_and_distinct() {
        let email = Email::parse("ada@example.com").unwrap();
        let passwords: std::collections::HashSet<String> = (0..200).map(|_| made_up(&Random::system())).collect();
        assert_eq!(passwords.len(), 200);
        for password in passwords {
            assert_eq!(password.len(), LENGTH);
            assert!(NewPassword::parse(&password, Some(&email)).is_ok(), "{password}");
        }
    }
}
