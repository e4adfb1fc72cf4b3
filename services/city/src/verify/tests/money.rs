//! The money of one ride in every book, right, and then wrong in every way that a check looks for.

use super::*;

const AT: &str = "2008-05-31T00:00:00Z";
const PAYOUT: &str = "00000000-0000-0000-0000-000000000077";
/// What payment keeps, without what guards it.
const TABLES: &str = "'public.intents', 'public.extras', 'public.refunds', 'public.disputes', 'public.work', 'public.requests', \
    'public.payouts', 'public.payout_lines', 'ledger.transfers', 'ledger.entries', 'ledger.pendings', 'ledger.balances'";

/// Payment's own tables without constraints, and those of the bus as copies. The ledger derives what follows from its
/// transfers as long as triggers run: until [`unguard`].
pub async fn database(bus: &[&str]) -> (TestDb, PgConnection) {
    let db = TestDb::create("vpayment").await;
    let pg = db.connect().await;
    let mut ledger = sqlx::migrate!("../payment/ledger/migrations");
    ledger.dangerous_set_table_name("_hexcab_ledger_migrations");
    pg.migrate(&ledger).await.unwrap();
    pg.migrate(&PAYMENT).await.unwrap();
    hexcab_bus::migrate(&pg).await.unwrap();
    let mut connection = PgConnection::connect(&db.url()).await.unwrap();
    let mut sql = format!(
        "DO $$ DECLARE one record; BEGIN
             FOR one IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
                 WHERE contype IN ('c', 'f', 'u') AND conrelid = ANY (ARRAY[{TABLES}]::regclass[])
             LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', one.of, one.conname); END LOOP;
             FOR one IN SELECT indexrelid::regclass AS of FROM pg_index
                 WHERE indisunique AND NOT indisprimary AND indrelid = ANY (ARRAY[{TABLES}]::regclass[])
             LOOP EXECUTE format('DROP INDEX %s', one.of); END LOOP;
         END $$;
         ALTER TABLE ledger.transfers DISABLE TRIGGER transfers_agree;
         CREATE SCHEMA planted;"
    );
    for table in bus {
        sql += &format!("CREATE TABLE planted.{table} (LIKE public.{table} INCLUDING DEFAULTS);");
    }
    sql += "INSERT INTO planted.bus_tables SELECT * FROM public.bus_tables; SET search_path = planted, public";
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    (db, connection)
}

/// From here on nothing is derived, and nothing refused.
async fn unguard(payment: &mut PgConnection) {
    change(payment, "SET session_replication_role = replica").await;
}

async fn row(payment: &mut PgConnection, table: &str, row: Value) {
    change(payment, "SET session_replication_role = replica").await;
    super::put(payment, table, row).await;
    change(payment, "SET session_replication_role = origin").await;
}

/// A transfer: id, kind, debit, credit, amount, what it resolves, code.
type Line<'a> = (
    u32,
    &'a str,
    &'a str,
    &'a str,
    i64,
    Option<(u32, i64)>,
    &'a str,
);

/// A group of transfers about one thing.
async fn transfers(payment: &mut PgConnection, about: &str, group: &[Line<'_>]) {
    let id = |number: u32| format!("00000000-0000-0000-0000-0000000002{number:02}");
    let lines: Vec<String> = (1..)
        .zip(group)
        .map(|(line, (number, kind, debit, credit, minor, resolves, code))| {
            let (pending, promised) = resolves.map_or(("NULL".to_owned(), "NULL".to_owned()), |(of, minor)| {
                (format!("'{}'", id(of)), minor.to_string())
            });
            let (own, first, size) = (id(*number), id(group[0].0), group.len());
            format!(
                "('{own}', '{kind}', '{debit}', '{credit}', 'USD', {minor}, {pending}, {promised}, '{code}', '{about}', '{AT}', \
                 '{first}', {line}, {size})"
            )
        })
        .collect();
    let sql = format!(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, pending_id, pending_minor, code, \
         reference, at, group_id, group_line, group_size) VALUES {}",
        lines.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(payment)
        .await
        .unwrap();
}

/// Tells trip something about the intent, in the outbox and in its inbox.
async fn told(databases: &mut Databases, number: i32, kind: &str, subject: &str) {
    let (id, kind) = (event_id(number), format!("hexcab.payment.v1.{kind}"));
    tell(
        &mut databases.payment,
        &id,
        "hexcab.payment.v1",
        &kind,
        subject,
    )
    .await;
    take(&mut databases.trip, "trip", &id, &kind).await;
}

async fn charge(databases: &mut Databases, id: &str, amount: i64, received: i64, status: &str) {
    let row = json!({"id": id, "seq": 1, "amount": amount, "amount_received": received, "currency": "usd", "status": status,
        "payment_method": "card", "metadata": {"key": id}});
    super::put(&mut databases.sandbox, "payment_intents", row).await;
}

/// `HELD`, `CAPTURED` or `DECLINED` (and owed), all the way to the processor.
pub async fn put(databases: &mut Databases, state: &str) {
    let (rider, driver) = (format!("riders/{RIDER}"), format!("drivers/{DRIVER}"));
    let (subject, ended) = (format!("intents/{INTENT}"), state != "HELD");
    let mut intent = json!({"id": INTENT, "trip": T, "rider": RIDER, "method": "CARD", "state": state, "currency": "USD",
        "amount_minor": 1000, "held_minor": 1000, "processor_id": "pi_1", "version": if ended { 2 } else { 1 },
        "created_at": AT, "updated_at": AT});
    if ended {
        let ending = json!({"ended_as": "DRIVEN", "ended_at": AT, "charge_minor": 1000, "driver": DRIVER,
            "driver_due_minor": 700, "tax_minor": 50});
        intent
            .as_object_mut()
            .unwrap()
            .extend(ending.as_object().unwrap().clone());
    }
    let payment = &mut databases.payment;
    let hold = (1, "pending", "processor", &*rider, 1000, None, "hold");
    let shares = [
        (3, "posted", &*rider, &*driver, 700, None, "driver_share"),
        (4, "posted", &*rider, "platform:tax", 50, None, "tax"),
        (
            5,
            "posted",
            &*rider,
            "platform:revenue",
            250,
            None,
            "platform_fee",
        ),
    ];
    match state {
        "HELD" => {
            row(payment, "intents", intent).await;
            transfers(payment, INTENT, &[hold]).await;
            charge(databases, "pi_1", 1000, 0, "requires_capture").await;
            told(databases, 90, "HoldPlaced", &subject).await;
        }
        "CAPTURED" => {
            intent["captured_minor"] = json!(1000);
            intent["owed_minor"] = json!(0);
            row(payment, "intents", intent).await;
            transfers(payment, INTENT, &[hold]).await;
            let kept = (
                2,
                "post_pending",
                "processor",
                &*rider,
                1000,
                Some((1, 1000)),
                "capture",
            );
            transfers(payment, INTENT, &[&[kept][..], &shares].concat()).await;
            charge(databases, "pi_1", 1000, 1000, "succeeded").await;
            told(databases, 90, "HoldPlaced", &subject).await;
            told(databases, 91, "Captured", &subject).await;
        }
        _ => {
            intent["held_minor"] = json!(0);
            intent["processor_id"] = Value::Null;
            intent["decline_code"] = json!("card_declined");
            intent["owed_minor"] = json!(1000);
            row(payment, "intents", intent).await;
            transfers(payment, INTENT, &[hold]).await;
            let released = (
                2,
                "void_pending",
                "processor",
                &*rider,
                0,
                Some((1, 1000)),
                "release",
            );
            transfers(payment, INTENT, &[released]).await;
            transfers(payment, INTENT, &shares).await;
            charge(databases, "pi_1", 1000, 0, "requires_payment_method").await;
            told(databases, 90, "HoldDeclined", &subject).await;
            told(databases, 91, "DebtIncurred", &subject).await;
        }
    }
}

async fn driven(money: &str) -> City {
    let mut city = city().await;
    ride(&mut city, &WHOLE, "COMPLETED", money).await;
    unguard(&mut city.databases.payment).await;
    city
}

/// A ride that was captured, tipped, given back in part and disputed in part, and its driver paid.
async fn lived() -> City {
    let mut city = city().await;
    ride(&mut city, &WHOLE, "COMPLETED", "CAPTURED").await;
    let databases = &mut city.databases;
    let (rider, driver) = (format!("riders/{RIDER}"), format!("drivers/{DRIVER}"));
    let payment = &mut databases.payment;
    let tip = json!({"id": INTENT, "intent": INTENT, "kind": "TIP", "amount_minor": 200, "driver": DRIVER, "state": "DONE",
        "processor_id": "pi_tip", "created_at": AT});
    row(payment, "extras", tip).await;
    transfers(
        payment,
        INTENT,
        &[(10, "pending", "processor", &rider, 200, None, "tip")],
    )
    .await;
    let tipped = [
        (
            11,
            "post_pending",
            "processor",
            &*rider,
            200,
            Some((10, 200)),
            "tip",
        ),
        (12, "posted", &*rider, &*driver, 200, None, "tip"),
    ];
    transfers(payment, INTENT, &tipped).await;
    let refund = json!({"id": INTENT, "intent": INTENT, "amount_minor": 100, "driver_minor": 70, "tax_minor": 5, "clawback": true,
        "reason": "late", "operator": RIDER, "state": "DONE", "processor_id": "re_1", "created_at": AT});
    row(payment, "refunds", refund).await;
    transfers(
        payment,
        INTENT,
        &[(20, "pending", &rider, "processor", 100, None, "refund")],
    )
    .await;
    let refunded = [
        (
            21,
            "posted",
            "platform:revenue",
            &*rider,
            25,
            None,
            "refund",
        ),
        (22, "posted", "platform:tax", &*rider, 5, None, "refund"),
        (23, "posted", &*driver, &*rider, 70, None, "refund"),
        (
            24,
            "post_pending",
            &*rider,
            "processor",
            100,
            Some((20, 100)),
            "refund",
        ),
    ];
    transfers(payment, INTENT, &refunded).await;
    let dispute = json!({"id": "dp_1", "intent": INTENT, "payment": "pi_1", "amount_minor": 50, "reason": "fraudulent",
        "state": "OPEN", "opened_at": AT});
    row(payment, "disputes", dispute).await;
    let opened = (
        30,
        "posted",
        "processor:disputes",
        "processor",
        50,
        None,
        "chargeback",
    );
    transfers(payment, INTENT, &[opened]).await;
    let head = json!({"id": PAYOUT, "currency": "USD", "as_of": AT, "minimum_minor": 1, "line_count": 1, "total_minor": 500,
        "sha256": "\\x00", "state": "CONFIRMED", "created_at": AT, "confirmed_at": AT});
    row(payment, "payouts", head).await;
    let line = json!({"payout": PAYOUT, "number": 1, "driver": DRIVER, "currency": "USD", "amount_minor": 500,
        "transfer": "00000000-0000-0000-0000-000000000240", "state": "PAID"});
    row(payment, "payout_lines", line).await;
    transfers(
        payment,
        PAYOUT,
        &[(
            40,
            "pending",
            &driver,
            "platform:payouts",
            500,
            None,
            "payout",
        )],
    )
    .await;
    let paid = [
        (
            41,
            "post_pending",
            &*driver,
            "platform:payouts",
            500,
            Some((40, 500)),
            "payout",
        ),
        (
            42,
            "posted",
            "platform:payouts",
            "bank",
            500,
            None,
            "payout",
        ),
    ];
    transfers(payment, PAYOUT, &paid).await;
    let now = "UPDATE intents SET state = 'PARTLY_REFUNDED', refunded_minor = 100, version = 5";
    unguard(payment).await;
    change(payment, now).await;
    let subject = format!("intents/{INTENT}");
    for (number, kind) in [
        (92, "TipCharged"),
        (93, "Refunded"),
        (94, "ChargebackOpened"),
    ] {
        told(databases, number, kind, &subject).await;
    }
    for (number, kind) in [(95, "PayoutBatchCreated"), (96, "PayoutBatchConfirmed")] {
        told(databases, number, kind, &format!("payouts/{PAYOUT}")).await;
    }
    charge(databases, "pi_tip", 200, 200, "succeeded").await;
    let sandbox = &mut databases.sandbox;
    let back = json!({"id": "re_1", "seq": 1, "payment_intent": "pi_1", "amount": 100, "status": "succeeded",
        "metadata": {"key": "re_1"}, "created_at": AT});
    super::put(sandbox, "refunds", back).await;
    let taken = json!({"id": "dp_1", "seq": 1, "payment_intent": "pi_1", "amount": 50, "status": "needs_response",
        "reason": "fraudulent", "created_at": AT});
    super::put(sandbox, "disputes", taken).await;
    city
}

#[tokio::test]
async fn a_ride_with_everything_that_money_can_do_is_in_order() {
    let mut city = lived().await;
    assert_eq!(failed(&mut city).await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_declined_ride_that_its_rider_owes_is_in_order() {
    let mut city = driven("DECLINED").await;
    assert_eq!(failed(&mut city).await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_ride_whose_hold_is_declined_on_the_way_is_in_order_and_a_search_is_not() {
    for (state, found) in [("IN_PROGRESS", false), ("EN_ROUTE", true)] {
        let mut city = driven("DECLINED").await;
        let open = "UPDATE intents SET owed_minor = NULL, ended_as = NULL, ended_at = NULL, charge_minor = NULL, driver = NULL,
            driver_due_minor = NULL, tax_minor = NULL";
        change(&mut city.databases.payment, open).await;
        let of_trip = format!(
            "UPDATE trips SET charge_minor = NULL, driver_due_minor = NULL, state = '{state}'"
        );
        sqlx::raw_sql(AssertSqlSafe(of_trip))
            .execute(&mut city.databases.trip)
            .await
            .unwrap();
        let failed = failed(&mut city).await;
        assert_eq!(
            failed.contains(&"money of trips"),
            found,
            "{state}: {failed:?}"
        );
        // Its shares were planted by the end that it did not have.
        assert!(failed.contains(&"money stories"), "{failed:?}");
    }
}

async fn found(city: &mut City, check: &str, plant: &str) {
    let failed = failed(city).await;
    assert!(
        failed.contains(&check),
        "{check} not in {failed:?} after {plant}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_money_is_found() {
    let revenue = "UPDATE ledger.entries SET posted_minor = posted_minor + 1 WHERE account = 'platform:revenue'";
    let elsewhere = "UPDATE ledger.transfers SET reference = gen_random_uuid() WHERE code = 'tax'";
    let plants: &[(&str, &str)] = &[
        ("ledger sum", revenue),
        (
            "ledger sum",
            "UPDATE ledger.entries SET pending_minor = pending_minor + 1 WHERE account = 'processor'",
        ),
        ("ledger rules", revenue),
        (
            "ledger rules",
            "DELETE FROM ledger.transfers WHERE code = 'tax'",
        ),
        ("ledger references", elsewhere),
        ("money stories", elsewhere),
        ("money stories", "UPDATE intents SET captured_minor = 999"),
        ("money stories", "UPDATE intents SET tax_minor = 49"),
        (
            "money told",
            "DELETE FROM outbox WHERE kind LIKE '%Captured'",
        ),
        ("money told", "INSERT INTO outbox SELECT * FROM outbox"),
        ("money told", "UPDATE intents SET version = 3"),
        ("money of trips", "DELETE FROM intents"),
        ("money of trips", "UPDATE intents SET owed_minor = 1"),
        (
            "money of trips",
            "UPDATE intents SET state = 'CASH_COLLECTED'",
        ),
        ("money of trips", "UPDATE intents SET driver = rider"),
        (
            "money extra",
            "CREATE TEMP TABLE twin AS SELECT * FROM intents; UPDATE twin SET id = gen_random_uuid(); INSERT INTO intents SELECT * FROM twin",
        ),
        ("money extra", "UPDATE intents SET captured_minor = 900"),
        ("holds", "UPDATE intents SET state = 'HELD'"),
        ("processor", "UPDATE intents SET captured_minor = 999"),
        ("processor", "UPDATE intents SET processor_id = 'pi_2'"),
        (
            "processor",
            "UPDATE intents SET state = 'CAPTURE_FAILED', captured_minor = 0",
        ),
        (
            "processor account",
            "UPDATE ledger.entries SET posted_minor = 999 WHERE account = 'processor' AND posted_minor > 0",
        ),
        (
            "drivers owed",
            "UPDATE ledger.entries SET account = 'platform:tax' WHERE account LIKE 'drivers/%'",
        ),
        ("events trip→payment", "DELETE FROM inbox"),
        (
            "events payment→trip",
            "UPDATE outbox SET event_id = gen_random_uuid()",
        ),
    ];
    for (check, sql) in plants {
        let mut city = driven("CAPTURED").await;
        change(&mut city.databases.payment, sql).await;
        found(&mut city, check, sql).await;
    }
}

#[tokio::test]
async fn what_is_wrong_beside_the_hold_is_found() {
    let second_tip = "INSERT INTO extras SELECT gen_random_uuid(), intent, kind, 1, driver, 'AWAITED', NULL, NULL, created_at FROM extras";
    let two_lines = "UPDATE payouts SET state = 'OPEN'; UPDATE payout_lines SET state = 'PENDING';
        INSERT INTO payout_lines SELECT payout, 2, driver, currency, amount_minor, transfer, state FROM payout_lines";
    let plants: &[(&str, &str)] = &[
        ("money extra", second_tip),
        ("money answered", second_tip),
        ("money extra", "UPDATE extras SET kind = 'REST'"),
        ("money answered", "UPDATE refunds SET state = 'UNKNOWN'"),
        (
            "money answered",
            "INSERT INTO requests (request_id, body_hash, asked_at) VALUES (gen_random_uuid(), '', now())",
        ),
        ("money refunded", "UPDATE refunds SET amount_minor = 1001"),
        ("money refunded", "UPDATE refunds SET tax_minor = 51"),
        ("money refunded", "UPDATE refunds SET driver_minor = 701"),
        ("money refunded", "UPDATE intents SET refunded_minor = 99"),
        ("money stories", "UPDATE refunds SET driver_minor = 60"),
        ("money stories", "UPDATE extras SET amount_minor = 201"),
        ("money stories", "UPDATE disputes SET state = 'LOST'"),
        ("money told", "UPDATE disputes SET state = 'LOST'"),
        (
            "money told",
            "DELETE FROM outbox WHERE kind LIKE '%Refunded'",
        ),
        ("payouts", "UPDATE payouts SET total_minor = 501"),
        ("payouts", "UPDATE payouts SET line_count = 2"),
        ("payouts", "UPDATE payouts SET state = 'OPEN'"),
        ("payouts", "UPDATE payout_lines SET state = 'FAILED'"),
        (
            "payouts",
            "UPDATE payout_lines SET transfer = gen_random_uuid()",
        ),
        ("payouts", two_lines),
        ("payouts owed", "UPDATE payout_lines SET amount_minor = 831"),
        ("drivers owed", "DELETE FROM payout_lines"),
        ("drivers owed", "DELETE FROM extras"),
        ("drivers owed", "DELETE FROM refunds"),
        ("processor", "UPDATE extras SET amount_minor = 201"),
        ("processor", "UPDATE extras SET processor_id = 'pi_none'"),
        ("processor refunds", "DELETE FROM refunds"),
        (
            "processor refunds",
            "UPDATE refunds SET processor_id = 're_none'",
        ),
        ("processor disputes", "DELETE FROM disputes"),
        (
            "processor disputes",
            "UPDATE disputes SET amount_minor = 51",
        ),
        ("processor disputes", "UPDATE disputes SET id = 'dp_none'"),
    ];
    for (check, sql) in plants {
        let mut city = lived().await;
        change(&mut city.databases.payment, sql).await;
        found(&mut city, check, sql).await;
    }
}

#[tokio::test]
async fn what_the_processor_says_otherwise_is_found() {
    let plants: &[(&str, &str)] = &[
        (
            "processor",
            "UPDATE payment_intents SET amount_received = 999 WHERE id = 'pi_1'",
        ),
        (
            "processor account",
            "UPDATE payment_intents SET amount_received = 999 WHERE id = 'pi_1'",
        ),
        (
            "processor",
            "UPDATE payment_intents SET id = 'pi_other' WHERE id = 'pi_tip'",
        ),
        (
            "processor keys",
            "UPDATE payment_intents SET metadata = '{\"key\": \"one\"}'",
        ),
        ("processor refunds", "UPDATE refunds SET amount = 99"),
        ("processor account", "UPDATE refunds SET status = 'failed'"),
        ("processor disputes", "UPDATE disputes SET status = 'won'"),
        ("processor account", "UPDATE disputes SET status = 'won'"),
    ];
    for (check, sql) in plants {
        let mut city = lived().await;
        change(&mut city.databases.sandbox, sql).await;
        found(&mut city, check, sql).await;
    }
}
