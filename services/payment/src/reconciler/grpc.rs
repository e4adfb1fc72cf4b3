//! `hexcab.payment.v1.ReconciliationService`: comparisons on demand, and what operators do about mismatches.

use std::time::Duration;

use hexcab_chassis::{Tasks, deadline, status};
use hexcab_proto::{
    convert::{self, FieldError},
    payment::v1::{
        self as proto, GetReconciliationRequest, GetReconciliationResponse, ListMismatchesRequest,
        ListMismatchesResponse, MismatchKind, MismatchState, ReconciliationState,
        ResolveMismatchRequest, ResolveMismatchResponse, RunReconciliationRequest,
        RunReconciliationResponse, reconciliation_service_server::ReconciliationService,
    },
};
use hexcab_types::{IntentId, OperatorId, Timestamp};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::{
    Begun, Mismatch, Reconciler, Run,
    finding::Kind,
    mismatches::{After, Resolve, ResolveError, name},
};
use crate::{status::DOMAIN, store::StoreError};

/// Mismatches on a page when the caller does not say …
const PAGE: i32 = 100;
/// … and at most.
const PAGE_MAX: i32 = 1_000;
/// The longest reason, characters.
const REASON_MAX: usize = 500;
/// How often is looked whether a run has ended …
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// … for callers without a deadline so long …
const PATIENCE: Duration = Duration::from_secs(30);
/// … and how long before the deadline it is answered.
const MARGIN: Duration = Duration::from_millis(250);

/// The service.
#[derive(Clone)]
pub struct Reconciliations {
    reconciler: Reconciler,
    tasks: Tasks,
}

impl Reconciliations {
    /// Answers for this reconciler; runs on demand are tasks of these.
    pub const fn new(reconciler: Reconciler, tasks: Tasks) -> Self {
        Self { reconciler, tasks }
    }

    async fn ended(&self, run: Run) -> Result<Run, Status> {
        let patience = deadline::remaining()
            .unwrap_or(PATIENCE)
            .saturating_sub(MARGIN);
        let until = tokio::time::Instant::now() + patience;
        let mut run = run;
        while run.ended_at.is_none() && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.reconciler.runs().get(run.id).await;
            run = now.map_err(|error| error.status(DOMAIN))?.unwrap_or(run);
        }
        Ok(run)
    }
}

#[tonic::async_trait]
impl ReconciliationService for Reconciliations {
    async fn run_reconciliation(
        &self,
        request: Request<RunReconciliationRequest>,
    ) -> Result<Response<RunReconciliationResponse>, Status> {
        let id = request_id(&request.into_inner().request_id)?;
        let begun = self.reconciler.runs().begin(id).await;
        let run = match begun.map_err(|error| error.status(DOMAIN))? {
            Begun::Before(run) => run,
            Begun::Another => return Err(running()),
            Begun::Now(run) => {
                let (reconciler, begun) = (self.reconciler.clone(), run.clone());
                self.tasks.spawn("reconciliation", async move {
                    if let Err(error) = reconciler.carry_out(&begun).await {
                        tracing::warn!(%error, "a comparison could not be kept");
                    }
                    Ok(())
                });
                run
            }
        };
        let reconciliation = Some(self.ended(run).await?.into());
        Ok(Response::new(RunReconciliationResponse { reconciliation }))
    }

    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Result<Response<GetReconciliationResponse>, Status> {
        let asked = request.into_inner().name;
        let id = id_of(&asked, "reconciliations", "name")?;
        let run = self.reconciler.runs().get(id).await;
        let run = run.map_err(|error| error.status(DOMAIN))?.ok_or_else(|| {
            let message = format!("{asked} is not a reconciliation");
            status::error(Code::NotFound, "RECONCILIATION_NOT_FOUND", DOMAIN, message)
        })?;
        Ok(Response::new(GetReconciliationResponse {
            reconciliation: Some(run.into()),
        }))
    }

    async fn list_mismatches(
        &self,
        request: Request<ListMismatchesRequest>,
    ) -> Result<Response<ListMismatchesResponse>, Status> {
        let (states, after, size) = parse(&request.into_inner())?;
        let mismatches = self.reconciler.mismatches();
        let mut found = mismatches.list(&states, after, i64::from(size) + 1).await?;
        let has_more = found.len() > size as usize;
        found.truncate(size as usize);
        let next_page_token = found
            .last()
            .filter(|_| has_more)
            .map(token)
            .unwrap_or_default();
        Ok(Response::new(ListMismatchesResponse {
            mismatches: found.into_iter().map(proto::Mismatch::from).collect(),
            next_page_token,
        }))
    }

    async fn resolve_mismatch(
        &self,
        request: Request<ResolveMismatchRequest>,
    ) -> Result<Response<ResolveMismatchResponse>, Status> {
        let ask = ask(&request.into_inner())?;
        let resolved = self.reconciler.mismatches().resolve(&ask).await?;
        self.reconciler.measure().await;
        Ok(Response::new(ResolveMismatchResponse {
            mismatch: Some(resolved.into()),
        }))
    }
}

fn running() -> Status {
    status::error(
        Code::FailedPrecondition,
        "RECONCILIATION_RUNNING",
        DOMAIN,
        "another comparison runs",
    )
}

impl From<ResolveError> for Status {
    fn from(error: ResolveError) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            ResolveError::Store(error) => return StoreError::into(error),
            ResolveError::NotFound => (Code::NotFound, "MISMATCH_NOT_FOUND"),
            ResolveError::Resolved => (Code::FailedPrecondition, "MISMATCH_RESOLVED"),
            ResolveError::RequestIdReused => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        };
        status::error(code, reason, DOMAIN, message)
    }
}

fn ask(request: &ResolveMismatchRequest) -> Result<Resolve, FieldError> {
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        let problem = format!("must be 1 to {REASON_MAX} characters");
        return Err(FieldError::new("reason", problem));
    }
    Ok(Resolve {
        id: id_of(&request.name, "mismatches", "name")?,
        request: request_id(&request.request_id)?,
        operator: convert::name::<OperatorId>(&request.operator, "operator")?,
        reason: reason.to_owned(),
    })
}

fn request_id(text: &str) -> Result<Uuid, FieldError> {
    let id = Uuid::parse_str(text).ok().filter(|id| !id.is_nil());
    id.ok_or_else(|| FieldError::new("request_id", "must be a UUID"))
}

fn id_of(text: &str, collection: &str, field: &'static str) -> Result<Uuid, FieldError> {
    let id = text
        .strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| FieldError::new(field, format!("must be {collection}/{{uuid}}")))
}

fn parse(
    request: &ListMismatchesRequest,
) -> Result<(Vec<&'static str>, Option<After>, i32), FieldError> {
    let mut states = Vec::new();
    for state in &request.states {
        let column = match MismatchState::try_from(*state) {
            Ok(MismatchState::Open) => "OPEN",
            Ok(MismatchState::Resolved) => "RESOLVED",
            Ok(MismatchState::Unspecified) | Err(_) => {
                return Err(FieldError::new("states", format!("{state} is no state")));
            }
        };
        states.push(column);
    }
    let size = match request.page_size {
        0 => PAGE,
        size if size > 0 => size.min(PAGE_MAX),
        _ => return Err(FieldError::new("page_size", "is below zero")),
    };
    Ok((states, page(&request.page_token)?, size))
}

/// Where the next page begins: when the last mismatch was found, in microseconds, and its id.
fn token(last: &Mismatch) -> String {
    format!("{}.{}", last.found_at.timestamp_micros(), last.id)
}

fn page(token: &str) -> Result<Option<After>, FieldError> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (micros, id) = token.split_once('.')?;
        Some(After {
            found_at: Timestamp::from_timestamp_micros(micros.parse().ok()?)?,
            id: Uuid::parse_str(id).ok()?,
        })
    };
    read()
        .map(Some)
        .ok_or_else(|| FieldError::new("page_token", "is not one that was given out"))
}

impl From<Kind> for MismatchKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::MissingThere => Self::MissingThere,
            Kind::MissingHere => Self::MissingHere,
            Kind::AmountDiffers => Self::AmountDiffers,
            Kind::StateDiffers => Self::StateDiffers,
            Kind::LedgerDiffers => Self::LedgerDiffers,
            Kind::StuckUnknown => Self::StuckUnknown,
            Kind::StuckHold => Self::StuckHold,
        }
    }
}

impl From<Mismatch> for proto::Mismatch {
    fn from(mismatch: Mismatch) -> Self {
        let state = match mismatch.resolution {
            None => MismatchState::Open,
            Some(_) => MismatchState::Resolved,
        };
        let at = |resolution: &super::mismatches::Resolution| convert::to_timestamp(resolution.at);
        let resolution = mismatch.resolution.as_ref();
        Self {
            name: name(mismatch.id),
            kind: MismatchKind::from(mismatch.kind).into(),
            state: state.into(),
            subject: mismatch.subject.name(),
            intent: mismatch.intent.map(IntentId::name).unwrap_or_default(),
            ours: mismatch.ours,
            theirs: mismatch.theirs,
            find_time: Some(convert::to_timestamp(mismatch.found_at)),
            seen_time: Some(convert::to_timestamp(mismatch.seen_at)),
            times_seen: mismatch.times_seen,
            resolve_time: resolution.map(at),
            operator: resolution
                .and_then(|resolution| resolution.operator)
                .map(OperatorId::name)
                .unwrap_or_default(),
            reason: resolution
                .map(|resolution| resolution.reason.clone())
                .unwrap_or_default(),
        }
    }
}

impl From<Run> for proto::Reconciliation {
    fn from(run: Run) -> Self {
        let state = match (run.ended_at, &run.error) {
            (None, _) => ReconciliationState::Running,
            (Some(_), None) => ReconciliationState::Done,
            (Some(_), Some(_)) => ReconciliationState::Failed,
        };
        Self {
            name: format!("reconciliations/{}", run.id),
            state: state.into(),
            start_time: Some(convert::to_timestamp(run.started_at)),
            end_time: run.ended_at.map(convert::to_timestamp),
            payments: run.tally.payments,
            refunds: run.tally.refunds,
            disputes: run.tally.disputes,
            intents: run.tally.intents,
            found: run.tally.found,
            resolved: run.tally.resolved,
            open: run.open,
            error: run.error.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_nonsense_name_their_field() {
        let right = || ResolveMismatchRequest {
            name: format!("mismatches/{}", Uuid::from_u128(1)),
            request_id: Uuid::from_u128(2).to_string(),
            operator: format!("operators/{}", Uuid::from_u128(3)),
            reason: "paid by hand".into(),
        };
        assert!(ask(&right()).is_ok());
        let wrong = |change: fn(&mut ResolveMismatchRequest)| {
            let mut request = right();
            change(&mut request);
            ask(&request).unwrap_err().field
        };
        assert_eq!(wrong(|r| r.name = "intents/x".into()), "name");
        assert_eq!(wrong(|r| r.request_id.clear()), "request_id");
        assert_eq!(wrong(|r| r.operator = "riders/x".into()), "operator");
        assert_eq!(wrong(|r| r.reason = " ".into()), "reason");
        assert_eq!(wrong(|r| r.reason = "x".repeat(501)), "reason");
        let list = |states: Vec<i32>, page_size, page_token: &str| {
            let request = ListMismatchesRequest {
                states,
                page_size,
                page_token: page_token.into(),
            };
            parse(&request).map(|_| ()).unwrap_err().field
        };
        assert_eq!(list(vec![0], 0, ""), "states");
        assert_eq!(list(vec![], -1, ""), "page_size");
        assert_eq!(list(vec![], 0, "x"), "page_token");
    }
}
