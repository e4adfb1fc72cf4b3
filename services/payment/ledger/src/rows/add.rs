//! Adds transfers: one statement, a column an array.

use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Action, Decision, LedgerError, Line, Refusal, TransferId};

/// Columns of rows to be added, one vector each.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    debits: Vec<String>,
    credits: Vec<String>,
    currencies: Vec<&'static str>,
    amounts: Vec<i64>,
    pending_ids: Vec<Option<Uuid>>,
    pending_minors: Vec<Option<i64>>,
    expiries: Vec<Option<Timestamp>>,
    codes: Vec<&'static str>,
    references: Vec<Uuid>,
    ats: Vec<Timestamp>,
    groups: Vec<Uuid>,
    lines: Vec<i16>,
    sizes: Vec<i16>,
}

impl Columns {
    fn push(&mut self, group: Uuid, [line, size]: [usize; 2], row: &Line) {
        let small = |n: usize| i16::try_from(n).expect("groups are bounded by GROUP_MAX");
        let transfer = &row.transfer;
        self.ids.push(transfer.id.uuid());
        self.kinds.push(match transfer.action {
            Action::Post(_) => "posted",
            Action::Pend { .. } => "pending",
            Action::PostPending { .. } => "post_pending",
            Action::VoidPending { .. } => "void_pending",
        });
        self.debits.push(row.movement.debit.to_string());
        self.credits.push(row.movement.credit.to_string());
        self.currencies.push(row.movement.amount.currency.code());
        self.amounts.push(row.movement.amount.minor);
        self.pending_ids
            .push(transfer.resolves().map(TransferId::uuid));
        self.pending_minors.push(row.released_minor);
        self.expiries.push(row.expires_at);
        self.codes.push(transfer.code.word());
        self.references.push(transfer.reference);
        self.ats.push(transfer.at);
        self.groups.push(group);
        self.lines.push(small(line));
        self.sizes.push(small(size));
    }
}

/// Adds the transfers of the groups; says how many were new. A group that is there in part is refused by the schema.
pub(crate) async fn add(
    conn: &mut PgConnection,
    decisions: &[Decision],
) -> Result<u64, LedgerError> {
    let mut columns = Columns::default();
    for Decision { lines, .. } in decisions {
        for (n, line) in lines.iter().enumerate() {
            columns.push(lines[0].transfer.id.uuid(), [n + 1, lines.len()], line);
        }
    }
    let added = sqlx::query(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, pending_id, pending_minor,
             expires_at, code, reference, at, group_id, group_line, group_size)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::uuid[],
             $8::bigint[], $9::timestamptz[], $10::text[], $11::uuid[], $12::timestamptz[], $13::uuid[],
             $14::smallint[], $15::smallint[])
         ON CONFLICT ON CONSTRAINT transfer_once DO NOTHING",
    )
    .bind(columns.ids)
    .bind(columns.kinds)
    .bind(columns.debits)
    .bind(columns.credits)
    .bind(columns.currencies)
    .bind(columns.amounts)
    .bind(columns.pending_ids)
    .bind(columns.pending_minors)
    .bind(columns.expiries)
    .bind(columns.codes)
    .bind(columns.references)
    .bind(columns.ats)
    .bind(columns.groups)
    .bind(columns.lines)
    .bind(columns.sizes)
    .execute(conn)
    .await;
    match added.map_err(PgError::Sql) {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) if error.constraint() == Some("group_complete") => {
            Err(Refusal::PartlyThere.into())
        }
        Err(error) => Err(error.into()),
    }
}
