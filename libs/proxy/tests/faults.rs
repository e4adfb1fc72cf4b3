//! Every fault, against a real listener that echoes what it gets.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hexcab_chassis::Tasks;
use hexcab_proxy::{Mode, Proxy, Trap};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough for loopback to have brought what it will bring.
const NOTHING_COMES: Duration = Duration::from_millis(100);

struct Echo {
    addr: SocketAddr,
    heard: Arc<AtomicUsize>,
    _tasks: Tasks,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    let heard = Arc::new(AtomicUsize::new(0));
    let (each, counts) = (tasks.clone(), heard.clone());
    tasks.spawn("echo", async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let counts = counts.clone();
            each.spawn("echo.one", async move {
                let mut piece = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut piece).await {
                    counts.fetch_add(read, Ordering::SeqCst);
                    if stream.write_all(&piece[..read]).await.is_err() {
                        break;
                    }
                }
                Ok(())
            });
        }
    });
    Echo {
        addr,
        heard,
        _tasks: tasks,
    }
}

async fn proxied() -> (Echo, Proxy, TcpStream) {
    let echo = echo().await;
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), echo.addr)
        .await
        .unwrap();
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    (echo, proxy, client)
}

async fn say(client: &mut TcpStream, what: &str) -> String {
    client.write_all(what.as_bytes()).await.unwrap();
    let mut back = vec![0; what.len()];
    timeout(PATIENCE, client.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(back).unwrap()
}

/// Nothing more is read: the end of the stream, or a reset.
async fn ends(client: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, client.read(&mut [0; 16])).await.unwrap();
    matches!(read, Ok(0) | Err(_))
}

#[tokio::test]
async fn what_is_passed_is_unchanged() {
    let (_echo, _proxy, mut client) = proxied().await;
    assert_eq!(say(&mut client, "hello").await, "hello");
    assert_eq!(say(&mut client, "again").await, "again");
}

#[tokio::test]
async fn a_cut_ends_open_connections_and_new_ones_pass() {
    let (_echo, proxy, mut client) = proxied().await;
    say(&mut client, "hello").await;
    proxy.cut();
    assert!(ends(&mut client).await);
    let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(say(&mut next, "hello").await, "hello");
}

#[tokio::test]
async fn refusing_cuts_the_open_ones_and_closes_new_ones_until_it_passes_again() {
    let (_echo, proxy, mut client) = proxied().await;
    say(&mut client, "hello").await;
    proxy.set(Mode::Refuse);
    assert!(ends(&mut client).await);
    let mut refused = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(ends(&mut refused).await);
    proxy.set(Mode::Pass);
    let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(say(&mut next, "hello").await, "hello");
}

#[tokio::test]
async fn half_open_brings_nothing_and_loses_nothing() {
    let (echo, proxy, mut client) = proxied().await;
    proxy.set(Mode::HalfOpen);
    client.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    assert!(
        timeout(NOTHING_COMES, client.read_exact(&mut back))
            .await
            .is_err()
    );
    assert_eq!(echo.heard.load(Ordering::SeqCst), 0);
    proxy.set(Mode::Pass);
    timeout(PATIENCE, client.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test]
async fn slow_takes_its_time_both_ways() {
    let (_echo, proxy, mut client) = proxied().await;
    proxy.set(Mode::Slow(Duration::from_millis(50)));
    let begun = tokio::time::Instant::now();
    say(&mut client, "hello").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_trap_before_the_reply_delivers_the_request_and_loses_the_answer() {
    let (echo, proxy, mut client) = proxied().await;
    say(&mut client, "BEGIN;").await;
    proxy.trap(Trap::BeforeReply(b"COMMIT".to_vec()));
    // The pattern lies across two pieces.
    assert_eq!(say(&mut client, "COM").await, "COM");
    client.write_all(b"MIT;").await.unwrap();
    assert!(ends(&mut client).await);
    assert!(proxy.is_sprung());
    assert_eq!(echo.heard.load(Ordering::SeqCst), "BEGIN;COMMIT;".len());
}

#[tokio::test]
async fn a_trap_before_the_request_delivers_nothing_of_it() {
    let (echo, proxy, mut client) = proxied().await;
    say(&mut client, "BEGIN;").await;
    proxy.trap(Trap::BeforeRequest(b"COMMIT".to_vec()));
    client.write_all(b"COMMIT;").await.unwrap();
    assert!(ends(&mut client).await);
    assert_eq!(echo.heard.load(Ordering::SeqCst), "BEGIN;".len());
    let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(say(&mut next, "COMMIT;").await, "COMMIT;");
}

#[tokio::test]
async fn a_trap_at_a_byte_cuts_in_the_middle_of_a_request() {
    let (echo, proxy, mut client) = proxied().await;
    proxy.trap(Trap::AtByte(3));
    client.write_all(b"hello").await.unwrap();
    assert!(ends(&mut client).await);
    assert!(echo.heard.load(Ordering::SeqCst) <= 3);
}
