//! The database refuses by itself what the code would never do.

use hexcab_cities::City as Rules;
use hexcab_pg::{Pg, PgError};
use hexcab_pricing::store::Store;
use hexcab_testkit::TestDb;
use hexcab_types::Timestamp;

use crate::city::{City, ask};

async fn refused_by(pg: &Pg, sql: &'static str) -> String {
    let error = sqlx::query(sql)
        .execute(pg.pool())
        .await
        .map_err(PgError::from)
        .expect_err(sql);
    error.constraint().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_given_price_cannot_be_changed() {
    let mut city = City::start().await;
    city.quote(ask()).await.unwrap();
    let pg = city.db.connect().await;
    assert_eq!(
        refused_by(
            &pg,
            "UPDATE quotes SET expire_time = expire_time + interval '1 h'"
        )
        .await,
        "quotes_never_change"
    );
    assert_eq!(
        refused_by(&pg, "UPDATE fare_policies SET valid_from = now()").await,
        "fare_policies_never_change"
    );
    assert_eq!(
        refused_by(&pg, "DELETE FROM fare_policies").await,
        "fare_policies_never_change"
    );
}

/// Copies the one quote there is, with something wrong in it.
const COPY: [(&str, &str); 5] = [
    (
        "quotes_lines_are_the_price",
        "price_minor = price_minor + 1",
    ),
    ("quotes_shares_fit", "driver_pay_minor = price_minor"),
    ("quotes_expire_later", "expire_time = create_time"),
    ("quotes_fare_known", "fare_version = 99"),
    ("quotes_request_once", "quote_id = gen_random_uuid()"),
];

#[tokio::test]
async fn a_quote_that_does_not_add_up_cannot_be_kept() {
    let mut city = City::start().await;
    city.quote(ask()).await.unwrap();
    let pg = city.db.connect().await;
    for (constraint, wrong) in COPY {
        let fresh_request = if constraint == "quotes_request_once" {
            ""
        } else {
            ", request_id = gen_random_uuid()"
        };
        let mut transaction = pg.pool().acquire().await.unwrap();
        let steps = format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM quotes; \
             UPDATE copy SET quote_id = gen_random_uuid(), {wrong}{fresh_request}; \
             INSERT INTO quotes SELECT * FROM copy;"
        )
        .replace(
            "quote_id = gen_random_uuid(), quote_id = gen_random_uuid()",
            "quote_id = gen_random_uuid()",
        );
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(steps))
            .execute(&mut *transaction)
            .await
            .unwrap_err();
        assert_eq!(
            PgError::from(error).constraint(),
            Some(constraint),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_changed_fare_policy_is_a_new_version() {
    let db = TestDb::create("pricing").await;
    let store = Store::open(db.connect().await).await.unwrap();
    let now = Timestamp::from_timestamp(1_212_192_000, 0).unwrap();
    let mut rules = Rules::built_in("sf").unwrap();
    assert_eq!(store.fare_version(&rules, now).await.unwrap(), 1);
    assert_eq!(
        store.fare_version(&rules, now).await.unwrap(),
        1,
        "as it was"
    );
    rules.products[0].fare.base_minor += 1;
    assert_eq!(store.fare_version(&rules, now).await.unwrap(), 2);
    assert_eq!(store.fare_version(&rules, now).await.unwrap(), 2);
}
