//! `lockstep audit`: checks and exports the audit log.

use std::process::ExitCode;

use anyhow::Result;
use lockstep_store::Store;
use lockstep_store::audit::chain::{self, Checked, Head};

use crate::cli::AuditCommand;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

pub(crate) async fn run(config: &Config, output: Output, command: AuditCommand) -> Result<ExitCode> {
    let database = Database::open(config, Use::Join).await?;
    let result = match command {
        AuditCommand::Verify { head } => verify(&database.store, output, head).await,
        AuditCommand::Export => export(&database.store).await,
    };
    database.close().await;
    result
}

async fn verify(store: &Store, output: Output, expected: Option<Head>) -> Result<ExitCode> {
    let Checked { head, faults } = chain::verify(store, expected).await?;
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let value = serde_json::json!({ "head": head.to_string(), "entries": head.position, "faults": faults });
    output.result(&value, || {
        if faults.is_empty() {
            format!(
                "{} entries, none of them changed. The head, to keep elsewhere and compare with --head:\n{head}",
                head.position
            )
        } else {
            format!(
                "{}\nThe audit log was changed by other means than the shop.",
                faults.join("\n")
            )
        }
    })?;
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn export(store: &Store) -> Result<ExitCode> {
    let mut after = 0;
    loop {
        let entries = chain::export(store, after).await?;
        let Some(last) = entries.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        after = last.position;
        for entry in &entries {
            Output::line(&serde_json::to_string(entry)?)?;
        }
    }
}
