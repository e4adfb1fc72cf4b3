//! Promises: made, ended once, as they were made, in time.

use super::{Row, accepted, insert, row_refused_by};
use crate::rig::{Rig, driver, rider};

#[tokio::test]
async fn what_ends_a_promise_names_it_and_nothing_else_does() {
    let rig = Rig::start("names").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    for row in [
        Row {
            pending: Some((promise.id, 500)),
            ..Row::posted()
        },
        Row {
            kind: "post_pending",
            ..Row::posted()
        },
        Row {
            kind: "void_pending",
            amount: 0,
            ..Row::posted()
        },
    ] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_resolves");
    }
}

#[tokio::test]
async fn no_more_is_posted_than_was_promised() {
    let rig = Rig::start("within").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let more = Row::ending(&promise, "post_pending", 501);
    assert_eq!(
        row_refused_by(&rig, more.clone()).await,
        "transfer_posts_within_pending"
    );
    let lie = Row {
        pending: Some((promise.id, 501)),
        ..more
    };
    assert_eq!(
        row_refused_by(&rig, lie).await,
        "resolution_matches_pending",
        "nor by saying that more was promised"
    );
}

#[tokio::test]
async fn a_promise_is_ended_as_it_was_made() {
    let rig = Rig::start("as_made").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let end = Row::ending(&promise, "post_pending", 400);
    for row in [
        Row {
            debit: rider(2).to_string(),
            ..end.clone()
        },
        Row {
            credit: driver(2).to_string(),
            ..end.clone()
        },
        Row {
            currency: "EUR",
            ..end.clone()
        },
        Row {
            pending: Some((promise.id, 450)),
            ..end.clone()
        },
    ] {
        assert_eq!(
            row_refused_by(&rig, row).await,
            "resolution_matches_pending"
        );
    }
    accepted(&rig, &[insert(&[end])]).await;
    assert_eq!(rig.violations().await, []);
}

#[tokio::test]
async fn a_promise_is_ended_once() {
    let rig = Rig::start("ended").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    accepted(
        &rig,
        &[insert(&[Row::ending(&promise, "post_pending", 400)])],
    )
    .await;
    for again in [
        Row::ending(&promise, "post_pending", 100),
        Row::ending(&promise, "void_pending", 0),
    ] {
        assert_eq!(row_refused_by(&rig, again).await, "pending_resolved_once");
    }
}

#[tokio::test]
async fn only_an_open_promise_is_ended() {
    let rig = Rig::start("open").await;
    let posted = Row::posted();
    accepted(&rig, &[insert(std::slice::from_ref(&posted))]).await;
    for of in [posted, Row::pending()] {
        let end = Row::ending(&of, "void_pending", 0);
        assert_eq!(row_refused_by(&rig, end).await, "pending_open");
    }
}

#[tokio::test]
async fn a_promise_whose_time_is_over_is_not_posted() {
    let rig = Rig::start("time").await;
    let promise = Row {
        expires: Some(10),
        ..Row::pending()
    };
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let late = Row {
        at: 10,
        ..Row::ending(&promise, "post_pending", 400)
    };
    assert_eq!(row_refused_by(&rig, late.clone()).await, "pending_in_time");
    accepted(&rig, &[insert(&[Row { at: 9, ..late }])]).await;
}

#[tokio::test]
async fn only_a_promise_expires_and_only_later() {
    let rig = Rig::start("later").await;
    for row in [
        Row {
            expires: Some(10),
            ..Row::posted()
        },
        Row {
            expires: Some(0),
            ..Row::pending()
        },
    ] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_expires_later");
    }
}
