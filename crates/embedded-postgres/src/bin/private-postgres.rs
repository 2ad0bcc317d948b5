//! Runs a private PostgreSQL for as long as its standard input is open, to inspect a data folder with other tools.
//!
//! `private-postgres <data folder> [--pg-bin <folder>] [--fetch] [--test-only]` prints the URL to connect to.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use lockstep_embedded_postgres::{Durability, Options, Postgres};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = error.source();
            while let Some(source) = cause {
                text = format!("{text}: {source}");
                cause = source.source();
            }
            // If this write fails too, the exit code must suffice.
            writeln!(io::stderr(), "{text}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut options = Options::new(arguments.next().ok_or("name the data folder")?);
    options.fetch = false;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--pg-bin") => {
                options.bin_dir = Some(arguments.next().ok_or("name the folder after --pg-bin")?.into());
            }
            Some("--fetch") => options.fetch = true,
            Some("--test-only") => options.durability = Durability::TestOnly,
            _ => return Err(format!("unknown argument {}", argument.display()).into()),
        }
    }
    let postgres = Postgres::start(&options)?;
    writeln!(io::stdout(), "{}", postgres.connection_string())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(postgres.stop()?)
}
