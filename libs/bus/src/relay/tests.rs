//! That a poll of the relay costs what waits, not what there is.

use hexcab_testkit::TestDb;
use serde_json::Value;

use super::*;

/// A week of events, from now on, in their partitions; all published but three.
const FILL: &str = "
    INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, payload)
    SELECT overlay(gen_random_uuid()::text PLACING left(bus_id_at(now() + n * interval '30 seconds')::text, 13) FROM 1)::uuid,
           'hexcab.trip.v1', 'sf', 'x', 'trip', 'trips/1', now(), ''
    FROM generate_series(1, 20000) n;
    UPDATE outbox_cursor SET (tx_id, seq) = (SELECT tx_id, seq - 3 FROM outbox ORDER BY tx_id DESC, seq DESC LIMIT 1)";

#[tokio::test]
async fn a_poll_reads_only_what_waits() {
    let db = TestDb::create("poll").await;
    let pg = db.connect().await;
    crate::migrate(&pg).await.unwrap();
    let now = retention::clock(&pg).await.unwrap();
    for day in 1..6 {
        let then = now + Duration::from_secs(day * 86_400);
        retention::prepare(&pg, then).await.unwrap();
    }
    let mut connection = pg.pool().acquire().await.unwrap().detach();
    sqlx::raw_sql(FILL).execute(&mut connection).await.unwrap();
    by_index_only(&mut connection).await.unwrap();
    let plan: Value = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "EXPLAIN (ANALYZE, FORMAT JSON) {}",
        NEXT.replace("$1", "500")
    )))
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let top = &plan[0]["Plan"];
    assert_eq!(top["Actual Rows"].as_f64(), Some(3.0), "{plan:#}");
    let mut scans = Vec::new();
    of_outbox(top, &mut scans);
    assert!(scans.len() >= 9, "every partition is looked at: {plan:#}");
    for scan in scans {
        assert_eq!(scan["Node Type"], "Index Scan", "{plan:#}");
        assert_eq!(scan["Rows Removed by Filter"], Value::Null, "{plan:#}");
        assert!(
            scan["Index Cond"]
                .as_str()
                .unwrap()
                .contains("ROW(tx_id, seq) >"),
            "{plan:#}"
        );
    }
}

fn of_outbox<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    if relation.starts_with("outbox_") && relation != "outbox_cursor" {
        found.push(node);
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        of_outbox(child, found);
    }
}
