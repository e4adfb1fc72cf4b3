//! `hexcab reconcile`: compare the processor's books with ours now; mismatches, and what an operator does about them.
//!
//! Does not: compare anything itself. Payment does.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use hexcab_chassis::client::Channel;
use hexcab_proto::payment::v1::{
    GetReconciliationRequest, ListMismatchesRequest, Mismatch, MismatchState, Reconciliation,
    ReconciliationState, ResolveMismatchRequest, RunReconciliationRequest,
    reconciliation_service_client::ReconciliationServiceClient,
};
use uuid::Uuid;

use super::payment;
use crate::{
    cli::{ReconcileArguments, ReconcileCommand},
    stack::folder::CityFile,
};

/// Mismatches asked for at once.
const PAGE: i32 = 200;

/// Does what was asked for; exit 1 when a mismatch is open.
///
/// # Errors
/// When no city runs, payment does not answer, or it refuses.
pub async fn run(arguments: ReconcileArguments) -> anyhow::Result<ExitCode> {
    let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
    let mut payment = ReconciliationServiceClient::new(payment::channel(&city)?);
    match arguments.command {
        None => {
            let run = compare(&mut payment).await?;
            println!("{}", told(&run));
            let open = list(&mut payment, false).await?;
            if !open.is_empty() {
                println!("{}", table(&open));
            }
            let ended = run.state() == ReconciliationState::Done;
            Ok(exit(ended && open.is_empty()))
        }
        Some(ReconcileCommand::List { all }) => {
            let found = list(&mut payment, all).await?;
            println!("{}", table(&found));
            let open = found.iter().any(|one| one.state() == MismatchState::Open);
            Ok(exit(!open))
        }
        Some(ReconcileCommand::Resolve {
            mismatch,
            operator,
            reason,
        }) => {
            let request = ResolveMismatchRequest {
                name: format!("mismatches/{mismatch}"),
                request_id: Uuid::now_v7().to_string(),
                operator: format!("operators/{operator}"),
                reason,
            };
            let resolved = payment
                .resolve_mismatch(request)
                .await
                .map_err(payment::refused)?
                .into_inner();
            let one = resolved.mismatch.context("payment did not say what")?;
            println!("{}", table(&[one]));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Compares, and waits for the end.
async fn compare(
    payment: &mut ReconciliationServiceClient<Channel>,
) -> anyhow::Result<Reconciliation> {
    let request_id = Uuid::now_v7().to_string();
    let begun = payment
        .run_reconciliation(RunReconciliationRequest { request_id })
        .await
        .map_err(payment::refused)?;
    let mut run = begun.into_inner().reconciliation;
    loop {
        let current = run.context("payment did not say how it went")?;
        if current.state() != ReconciliationState::Running {
            return Ok(current);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let name = current.name;
        let asked = payment
            .get_reconciliation(GetReconciliationRequest { name })
            .await
            .map_err(payment::refused)?;
        run = asked.into_inner().reconciliation;
    }
}

async fn list(
    payment: &mut ReconciliationServiceClient<Channel>,
    all: bool,
) -> anyhow::Result<Vec<Mismatch>> {
    let states = if all {
        Vec::new()
    } else {
        vec![MismatchState::Open.into()]
    };
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListMismatchesRequest {
            states: states.clone(),
            page_size: PAGE,
            page_token,
        };
        let page = payment
            .list_mismatches(request)
            .await
            .map_err(payment::refused)?
            .into_inner();
        found.extend(page.mismatches);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn told(run: &Reconciliation) -> String {
    let looked = format!(
        "{} payments, {} refunds, {} disputes, {} intents compared: {} new, {} gone, {} open",
        run.payments, run.refunds, run.disputes, run.intents, run.found, run.resolved, run.open
    );
    if run.error.is_empty() {
        looked
    } else {
        format!("{looked}\nnot ended: {}", run.error)
    }
}

fn table(mismatches: &[Mismatch]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "mismatch", "kind", "subject", "ours", "theirs", "seen", "resolved",
    ]);
    for one in mismatches {
        let kind = one.kind().as_str_name();
        let resolved = match (one.operator.as_str(), one.reason.as_str()) {
            ("", "") => String::new(),
            ("", reason) => reason.to_owned(),
            (operator, reason) => format!("{operator}: {reason}"),
        };
        table.add_row([
            one.name.trim_start_matches("mismatches/").to_owned(),
            kind.trim_start_matches("MISMATCH_KIND_").to_owned(),
            one.subject.clone(),
            one.ours.clone(),
            one.theirs.clone(),
            one.times_seen.to_string(),
            resolved,
        ]);
    }
    table
}

fn exit(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
