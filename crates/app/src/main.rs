//! `lockstep`, the one binary: command line, configuration, wiring, schedule and shutdown.
//!
//! Data goes to stdout, everything else to stderr. A command exits with 0 if it succeeded, 1 if it failed, 2 if it was
//! called wrongly, and 75 if trying again later is the remedy. A store that was stopped and had to abort something
//! exits with 1.

mod accounts;
mod cli;
mod clock;
mod commands;
mod config;
mod database;
mod figures;
mod instances;
mod listen;
mod logging;
mod operation;
mod output;
mod payments;
mod schedule;
mod secrets;
mod serve;
mod shutdown;
mod starting;
mod startup_gate;
mod supplier;
mod supplier_calls;
mod supply;
mod sweeping;
mod verifying;
mod words;

use std::process::ExitCode;

use clap::FromArgMatches as _;

use cli::{AdminCommand, Cli, Command, Start};
use config::{Config, Settings};
use output::Output;

/// Exit code for "try again later" (`EX_TEMPFAIL` of sysexits).
const TRY_LATER: u8 = 75;

/// Exit code for a wrong call, as clap's.
const WRONG_CALL: u8 = 2;

/// How long the end of the program waits for a collector to take the last spans.
const LAST_SPANS: std::time::Duration = std::time::Duration::from_secs(2);

/// A failure that a later attempt may not meet: another process is doing the same work, or a dependency is unavailable.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TryLater(pub(crate) String);

fn main() -> ExitCode {
    let _flush = logging::FlushAtEnd;
    let read = cli::command().try_get_matches();
    let read = read.and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (matches, cli)));
    let (matches, cli) = match read {
        Ok(read) => read,
        // Help, or a wrong call.
        Err(error) if !error.use_stderr() || !cli::asks_for_json(std::env::args_os()) => error.exit(),
        Err(error) => {
            output::wrong_call(&error.render().to_string());
            return ExitCode::from(WRONG_CALL);
        }
    };
    let output = Output::new(cli.json);
    let result = Settings::over_file(cli.config.as_deref(), &matches)
        .and_then(|(settings, sources)| {
            let exporter = logging::start(settings.rust_log.as_deref(), settings.collector().as_ref())?;
            Ok((Config::resolve(&settings, &sources)?, exporter))
        })
        .and_then(|(mut config, exporter)| {
            config.settings_file = cli.config;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            lockstep_telemetry::otlp::run_on(runtime.handle());
            let result = runtime.block_on(run(
                cli.command.unwrap_or(Command::Serve(Start::default())),
                config,
                output,
            ));
            if let Some(exporter) = exporter {
                exporter.shutdown(LAST_SPANS);
            }
            // Work that was cancelled and did not end is not waited for.
            runtime.shutdown_timeout(std::time::Duration::from_millis(500));
            result
        });
    match result {
        Ok(code) => code,
        Err(error) => {
            let later = error.chain().any(|cause| {
                cause.is::<TryLater>()
                    || matches!(
                        cause.downcast_ref::<lockstep_store::StoreError>(),
                        Some(lockstep_store::StoreError::Unavailable(_))
                    )
            });
            // After everything that is logged about it.
            logging::flush();
            logging::in_bounded_time(move || output.failure(&error));
            if later {
                ExitCode::from(TRY_LATER)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(command: Command, mut config: Config, output: Output) -> anyhow::Result<ExitCode> {
    if let Command::Serve(start) | Command::Web(start) | Command::Worker(start) = &command {
        config.accept_lost_keys = start.accept_lost_keys;
    }
    match command {
        Command::Serve(_) => return Box::pin(serve::run(&config, serve::Parts { web: true, work: true })).await,
        Command::Web(_) => return Box::pin(serve::run(&config, serve::Parts { web: true, work: false })).await,
        Command::Worker(_) => return Box::pin(serve::run(&config, serve::Parts { web: false, work: true })).await,
        Command::Sync { full, product, dry_run } => {
            commands::sync::run(&config, output, commands::sync::Request { full, product, dry_run }).await?;
        }
        Command::Stock => commands::sync::stock(&config, output).await?,
        Command::Admin(AdminCommand::Create { email }) => commands::admin::create(&config, output, &email).await?,
        Command::Admin(AdminCommand::ResetSecondFactor { email }) => {
            commands::admin::reset_second_factor(&config, output, &email).await?;
        }
        Command::Admin(AdminCommand::Role { email, role }) => {
            commands::admin::role(&config, output, &email, &role).await?;
        }
        Command::Audit(what) => return commands::audit::run(&config, output, what).await,
        Command::Vat(what) => commands::vat::run(&config, output, what).await?,
        Command::Import(what) => commands::import::run(&config, output, what).await?,
        Command::Erase { email, yes } => commands::erase::run(&config, output, &email, yes).await?,
        Command::Promo(what) => commands::promo::run(&config, output, what).await?,
        Command::Migrate => commands::migrate::run(&config, output).await?,
        Command::Doctor { send_mail } => return commands::doctor::run(&config, output, send_mail.as_deref()).await,
        Command::Verify { sample } => return commands::verify::run(&config, output, sample).await,
        Command::Reconcile { reviewed: Some(id), .. } => {
            return commands::reconcile::reviewed(&config, output, id).await;
        }
        Command::Reconcile {
            credit: Some(id),
            amount,
            ..
        } => return commands::reconcile::credit(&config, output, id, amount).await,
        Command::Reconcile { fix, .. } => return commands::reconcile::run(&config, output, fix).await,
        Command::Keys {
            what: cli::KeysCommand::Rotate,
        } => commands::keys::rotate(&config, output).await?,
        Command::Keys {
            what: cli::KeysCommand::Accept,
        } => commands::keys::accept(&config, output).await?,
        Command::Keys {
            what: cli::KeysCommand::Aside(what),
        } => commands::aside::run(&config, output, what).await?,
        Command::Evidence(what) => return commands::evidence::run(output, &what),
        Command::Events(what) => commands::events::run(&config, output, what).await?,
        Command::Backup { folder, force } => commands::backup::backup(&config, &folder, force, output).await?,
        Command::Restore { folder, force } => commands::backup::restore(&config, &folder, force, output).await?,
        Command::Config => commands::show_config(&config, output)?,
        Command::Settings => Output::line(config::sample()?.trim_end())?,
        Command::Openapi => Output::line(&lockstep_api::openapi().to_pretty_json()?)?,
        Command::G2aSandbox {
            listen,
            games,
            catalogue,
            drift,
            seed,
            rate,
            drive,
        } => {
            if let Some(url) = &drive.url {
                return commands::sandbox::drive(url, &drive, output).await;
            }
            commands::sandbox::run(commands::sandbox::Request {
                listen,
                games,
                catalogue,
                drift,
                seed,
                rate,
            })
            .await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
