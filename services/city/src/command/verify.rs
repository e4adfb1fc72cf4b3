//! `hexcab verify`: the invariants over the live databases.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use hexcab_chassis::ClockConfig;

use crate::{
    cli::VerifyArguments,
    say,
    stack::folder::CityFile,
    verify::{Databases, Outcome, SHOWN, settled, violations},
};

/// Makes every check and prints what it found.
///
/// # Errors
/// When a database cannot be asked.
pub async fn run(arguments: VerifyArguments) -> anyhow::Result<ExitCode> {
    let (server, clock) = match &arguments.postgres {
        Some(server) => (server.clone(), arguments.clock),
        None => {
            let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
            let clock: ClockConfig = city.clock.parse()?;
            (city.postgres, clock)
        }
    };
    let mut databases = Databases::open(&server).await?;
    say::step("checking; what is still on its way is waited for");
    let outcomes = settled(&mut databases, &clock.clock(), arguments.settle).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        print(&outcomes);
    }
    Ok(if violations(&outcomes) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A table of checks; the offenders below it.
pub fn print(outcomes: &[Outcome]) {
    println!("{}", table(outcomes));
    for outcome in outcomes.iter().filter(|outcome| outcome.violations > 0) {
        println!("{}: {}", outcome.name, outcome.says);
        for finding in &outcome.findings {
            println!("  {}  {}", finding.id, finding.detail);
        }
        if outcome.violations > SHOWN {
            println!("  … and {} more", outcome.violations - SHOWN);
        }
    }
    println!(
        "{} checks, {} violations",
        outcomes.len(),
        violations(outcomes)
    );
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    // Wrapped to the terminal's width; whole where there is none.
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["check", "promise", "looked at", "violations"]);
    for outcome in outcomes {
        let counts = [
            outcome.looked_at.to_string(),
            outcome.violations.to_string(),
        ];
        let [looked_at, found] = counts;
        table.add_row([
            outcome.name.to_owned(),
            outcome.says.to_owned(),
            looked_at,
            found,
        ]);
    }
    table
}
