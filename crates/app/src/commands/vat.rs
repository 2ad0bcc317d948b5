//! `lockstep vat`: the rates in force, and newer ones.

use std::time::Duration;

use anyhow::{Result, anyhow};
use lockstep_domain::tax::{VatRates, rate_text};
use lockstep_fulfilment::machine;
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::vat;
use lockstep_vat::fetch_rates;

use crate::cli::VatCommand;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// Time limit of the download.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(config: &Config, output: Output, command: VatCommand) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let result = with_store(config, &database.store, output, command).await;
    database.close().await;
    result
}

async fn with_store(config: &Config, store: &Store, output: Output, command: VatCommand) -> Result<()> {
    match command {
        VatCommand::Show => {
            let (rates, settings) = (vat::rates(store).await?, vat::settings(store).await?);
            let value = serde_json::json!({
                "source": rates.source, "date": rates.date.to_string(), "rates": rates.to_json(), "settings": settings,
            });
            output.result(&value, || {
                let country = settings
                    .country
                    .map_or_else(|| "no country".to_owned(), |country| country.to_string());
                format!("{}\nStatus: {}, {country}.", in_words(&rates), settings.status.as_str())
            })
        }
        VatCommand::Update { url } => {
            let url = url.unwrap_or_else(|| config.vat.rates_url.clone());
            let fetched = fetch_rates(&url, TIMEOUT)
                .await
                .map_err(|error| anyhow!(error).context(format!("no rates from {url}")))?;
            let is_new = vat::put_rates(store, &fetched, &url, &By::Operator(machine()))
                .await
                .map_err(|error| anyhow!(error))?;
            let value = serde_json::json!({
                "source": fetched.source, "date": fetched.date.to_string(), "rates": fetched.to_json(), "changed": is_new,
            });
            output.result(&value, || {
                if is_new {
                    format!(
                        "{}\nStored. Orders from now on are taxed by these rates.",
                        in_words(&fetched)
                    )
                } else {
                    format!("The rates in force, of {}, are the newest.", fetched.date)
                }
            })
        }
    }
}

fn in_words(rates: &VatRates) -> String {
    let all: Vec<String> = rates
        .all()
        .map(|(country, rate)| format!("{country} {:>5} %", rate_text(rate)))
        .collect();
    format!(
        "Standard rates as of {}, from {}:\n{}",
        rates.date,
        rates.source,
        all.join("\n")
    )
}
