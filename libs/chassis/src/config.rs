//! How a process is told what to do: defaults < TOML file < `HEXCAB_*` environment < flags.
//!
//! - Keys are those of the service's own `Config`, nested by `.` in flags and `__` in the environment
//!   (`HEXCAB_SERVER__LISTEN`). An unknown key is an error that names the nearest known one.
//! - A secret `x` may be given as `x_file`, the path of a file that holds it.
//! - `--print-config` shows the outcome with secrets masked; `--healthcheck` asks the running service; `migrate`, of a
//!   service that keeps something, brings its database up to date ([`Job`]).
//!
//! This is the only reader of the environment.

use std::{future::Future, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use figment::{
    Figment,
    providers::{Format as _, Serialized, Toml},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Set by a launcher: the process ends when this process id is no longer its parent.
const EXIT_WITH_PARENT: &str = "HEXCAB_EXIT_WITH_PARENT";
/// A fault that a chaos run gives to one process: the file that says at which point it dies (see [`crate::crash`]).
pub(crate) const CRASH_POINT: &str = "HEXCAB_CRASH_POINT";
/// Another: the file that says how much its clocks are off (see `clock/skew.rs`).
pub(crate) const CLOCK_SKEW: &str = "HEXCAB_CLOCK_SKEW";
const PREFIX: &str = "HEXCAB_";
/// How long a health check waits for a connection …
const HEALTH_CONNECT: Duration = Duration::from_secs(1);
/// … and for the answer …
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// … of which it reads so many bytes.
const MAX_STATUS_LINE: u64 = 64;

/// What a process of a service that keeps something is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Serve until it is told to stop.
    Serve,
    /// Bring its database up to date, and end.
    Migrate,
}

/// The subcommand of [`Job::Migrate`].
const MIGRATE: &str = "migrate";

/// Reads the configuration of `service` from the command line and the environment. None when the command line asked for
/// something else, which has then been done.
///
/// # Errors
/// When a key is unknown or a value cannot be read: which one, from where, and what would be right.
pub fn from_args<C>(service: &'static str, about: &'static str) -> anyhow::Result<Option<C>>
where
    C: Default + Serialize + DeserializeOwned,
{
    let read = from_matches(&command(service, about).get_matches())?;
    Ok(read.map(|(_, config)| config))
}

/// The same for a service that keeps something: it may also be told to `migrate`.
///
/// # Errors
/// See [`from_args`].
pub fn from_args_or_migrate<C>(
    service: &'static str,
    about: &'static str,
) -> anyhow::Result<Option<(Job, C)>>
where
    C: Default + Serialize + DeserializeOwned,
{
    from_matches(&command(service, about).subcommand(migrate()).get_matches())
}

fn from_matches<C>(flags: &ArgMatches) -> anyhow::Result<Option<(Job, C)>>
where
    C: Default + Serialize + DeserializeOwned,
{
    let sets: Vec<String> = flags
        .get_many("set")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let config: C = read(flags.get_one::<PathBuf>("config"), &environment(), &sets)?;
    if flags.get_flag("print-config") {
        use std::io::Write as _;
        // A reader that has seen enough, such as head, is no error.
        let _ = writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string_pretty(&config)?
        );
        return Ok(None);
    }
    if flags.get_flag("healthcheck") {
        healthcheck(&serde_json::to_value(&config)?)?;
        println!("serving");
        return Ok(None);
    }
    exit_with_parent()?;
    crate::clock::skew::watch().context("watch the file of HEXCAB_CLOCK_SKEW")?;
    let job = match flags.subcommand_name() {
        Some(_) => Job::Migrate,
        None => Job::Serve,
    };
    Ok(Some((job, config)))
}

fn migrate() -> Command {
    Command::new(MIGRATE)
        .about("Bring the service's database up to date, and exit; where it is already, nothing is done")
        .after_help(
            "Waits up to a minute for the database's server. A service whose setting says that it does not migrate at its \
             start waits until this was done.",
        )
}

fn command(service: &'static str, about: &'static str) -> Command {
    Command::new(format!("hexcab-{service}"))
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help("Every key can also be set as HEXCAB_<KEY>, with __ for the dots; see --print-config for the keys.")
        .args([
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .global(true)
                .help("Read this TOML file"),
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .global(true)
                .help("Set one key, such as server.listen=127.0.0.1:7001"),
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Print the configuration, secrets masked, and exit"),
            Arg::new("healthcheck")
                .long("healthcheck")
                .action(ArgAction::SetTrue)
                .help("Ask the running service whether it is serving; exit 0 or 1"),
        ])
}

/// The `HEXCAB_*` variables of this process.
fn environment() -> Vec<(String, String)> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .filter(|(name, _)| ![EXIT_WITH_PARENT, CRASH_POINT, CLOCK_SKEW].contains(&name.as_str()))
        .collect()
}

/// Merges the layers and reads them as `C`.
///
/// # Errors
/// See [`from_args`].
pub fn read<C>(
    file: Option<&PathBuf>,
    environment: &[(String, String)],
    sets: &[String],
) -> anyhow::Result<C>
where
    C: Default + Serialize + DeserializeOwned,
{
    let known = serde_json::to_value(C::default()).context("write the default configuration")?;
    let mut layers = Figment::new();
    if let Some(file) = file {
        if !file.is_file() {
            bail!("--config {}: no such file", file.display());
        }
        layers = layers.merge(Toml::file_exact(file));
    }

    for (name, value) in environment {
        let key = name
            .trim_start_matches(PREFIX)
            .to_lowercase()
            .replace("__", ".");
        layers = layers.merge(Serialized::global(&key, parse_value(value)));
    }
    for set in sets {
        let (key, value) = set
            .split_once('=')
            .ok_or_else(|| anyhow!("--set {set}: want KEY=VALUE"))?;
        layers = layers.merge(Serialized::global(key, parse_value(value)));
    }
    let mut given: Value = layers.extract().map_err(|error| anyhow!("{error}"))?;
    read_secret_files(&mut given, &known, "")?;
    refuse_unknown(&given, &known, "")?;
    // Keys that nobody gave come from `#[serde(default)]`, not from a printed default: printing masks secrets.
    Figment::from(Serialized::defaults(given))
        .extract()
        .map_err(|error| anyhow!("configuration: {error}"))
}

/// A value as TOML would read it, or text.
fn parse_value(text: &str) -> figment::value::Value {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Replaces `x_file` by the content of that file as `x`, where `x` is known and `x_file` is not.
fn read_secret_files(given: &mut Value, known: &Value, path: &str) -> anyhow::Result<()> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else {
        return Ok(());
    };
    let keys: Vec<String> = given.keys().cloned().collect();
    for key in keys {
        let full = format!("{path}{key}");
        if let Some(inner) = known.get(&key) {
            if let Some(value) = given.get_mut(&key) {
                read_secret_files(value, inner, &format!("{full}."))?;
            }
            continue;
        }
        let Some(secret) = key
            .strip_suffix("_file")
            .filter(|secret| known.contains_key(*secret))
        else {
            continue;
        };
        let file = given
            .remove(&key)
            .and_then(|file| file.as_str().map(str::to_owned));
        let file = file.ok_or_else(|| anyhow!("configuration: {full} must be a path"))?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("configuration: {full} = {file:?}"))?;
        given.insert(secret.to_owned(), Value::String(text.trim_end().to_owned()));
    }
    Ok(())
}

/// Free-form tables are those whose default is empty.
fn refuse_unknown(given: &Value, known: &Value, path: &str) -> anyhow::Result<()> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else {
        return Ok(());
    };
    if known.is_empty() && !path.is_empty() {
        return Ok(());
    }
    for (key, value) in given {
        match known.get(key) {
            Some(inner) => refuse_unknown(value, inner, &format!("{path}{key}."))?,
            None => bail!(
                "configuration: unknown key {path}{key}{}",
                nearest(key, known.keys())
            ),
        }
    }
    Ok(())
}

fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    known
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| format!("; the nearest known one is {candidate}"))
        .unwrap_or_default()
}

/// Asks `server.listen` for its health, or `listen` of a service that speaks HTTP only.
fn healthcheck(config: &Value) -> anyhow::Result<()> {
    let at = |pointer| {
        let listen = config.pointer(pointer).and_then(Value::as_str)?;
        Some(listen.replacen("0.0.0.0", "127.0.0.1", 1))
    };
    let asked = match (at("/server/listen"), at("/listen")) {
        (Some(listen), _) => on_its_own(ask_grpc(listen)),
        (None, Some(listen)) => on_its_own(ask_http(listen)),
        (None, None) => bail!("this service has no server.listen"),
    };
    asked?
}

async fn ask_grpc(listen: String) -> anyhow::Result<()> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{listen}"))?;
    let channel = endpoint
        .connect_timeout(HEALTH_CONNECT)
        .timeout(HEALTH_TIMEOUT)
        .connect()
        .await?;
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let answer = client
        .check(tonic_health::pb::HealthCheckRequest {
            service: String::new(),
        })
        .await?
        .into_inner();
    match answer.status() {
        tonic_health::pb::health_check_response::ServingStatus::Serving => Ok(()),
        tonic_health::pb::health_check_response::ServingStatus::Unknown
        | tonic_health::pb::health_check_response::ServingStatus::NotServing
        | tonic_health::pb::health_check_response::ServingStatus::ServiceUnknown => {
            bail!("not serving")
        }
    }
}

/// `GET /healthz`, by hand: it is the only HTTP that is spoken here.
async fn ask_http(listen: String) -> anyhow::Result<()> {
    let asking = async {
        let mut stream = tokio::net::TcpStream::connect(&listen).await?;
        let request = format!("GET /healthz HTTP/1.0\r\nHost: {listen}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(MAX_STATUS_LINE)
            .read_to_end(&mut answer)
            .await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(HEALTH_TIMEOUT, asking).await??;
    let status = answer.split_whitespace().nth(1);
    if status != Some("200") {
        bail!("not serving: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}

/// On a runtime of its own on a thread of its own: the caller is inside one already.
fn on_its_own<T: Send + 'static>(
    asking: impl Future<Output = T> + Send + 'static,
) -> anyhow::Result<T> {
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(asking))
    });
    asked
        .join()
        .map_err(|_| anyhow!("the health check panicked"))?
}

/// Ends this process when its launcher has died, so that nothing is left behind even by kill -9.
///
/// # Errors
/// When the variable that says who the launcher is cannot be read.
pub fn exit_with_parent() -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "configuration is read here")]
    let Ok(parent) = std::env::var(EXIT_WITH_PARENT) else {
        return Ok(());
    };
    let parent: i32 = parent
        .parse()
        .with_context(|| format!("{EXIT_WITH_PARENT}={parent}"))?;
    std::thread::Builder::new()
        .name("parent-watch".into())
        .spawn(move || {
            while nix::unistd::getppid().as_raw() == parent {
                std::thread::sleep(Duration::from_millis(250));
            }
            eprintln!("the launcher is gone; ending");
            std::process::exit(143);
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{ClockConfig, Secret, ServerConfig};

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        server: ServerConfig,
        clock: ClockConfig,
        cities: Vec<String>,
        password: Secret,
        limit: u32,
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                server: ServerConfig::default(),
                clock: ClockConfig::default(),
                cities: Vec::new(),
                password: Secret::new("changeme"),
                limit: 0,
            }
        }
    }

    #[test]
    fn a_default_secret_is_not_its_mask() {
        assert_eq!(
            read::<Config>(None, &[], &[]).unwrap().password.expose(),
            "changeme"
        );
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn later_layers_win() {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(
            file.path(),
            "limit = 1\n[server]\nmax_concurrent_calls = 5\n",
        )
        .unwrap();
        let path = file.path().to_owned();
        let environment = env(&[
            ("HEXCAB_LIMIT", "2"),
            ("HEXCAB_SERVER__LISTEN", "127.0.0.1:9"),
        ]);
        let config: Config = read(Some(&path), &environment, &["limit=3".into()]).unwrap();
        assert_eq!(
            (
                config.limit,
                config.server.max_concurrent_calls,
                config.server.listen.port()
            ),
            (3, 5, 9)
        );
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let environment = env(&[
            ("HEXCAB_CLOCK", "1763720000000,1212192000000,20"),
            ("HEXCAB_CITIES", r#"["sf", "nyc"]"#),
            ("HEXCAB_PASSWORD", "hunter2"),
        ]);
        let config: Config = read(None, &environment, &[]).unwrap();
        assert_eq!(config.clock.to_string(), "1763720000000,1212192000000,20");
        assert_eq!(config.cities, ["sf", "nyc"]);
        assert_eq!(config.password.expose(), "hunter2");
    }

    #[test]
    fn migrate_is_told_the_same_as_serve_before_or_after_its_name() {
        let read = |words: &[&str]| -> (Job, Config) {
            let command = command("test", "a test").subcommand(migrate());
            let words = ["hexcab-test"].iter().chain(words);
            from_matches(&command.get_matches_from(words))
                .unwrap()
                .unwrap()
        };
        for words in [
            &["--set", "limit=3", "migrate"][..],
            &["migrate", "--set", "limit=3"][..],
        ] {
            let (job, config) = read(words);
            assert_eq!((job, config.limit), (Job::Migrate, 3), "{words:?}");
        }
        assert_eq!(read(&["--set", "limit=3"]).0, Job::Serve);
        let stateless = command("test", "a test").try_get_matches_from(["hexcab-test", "migrate"]);
        assert!(
            stateless.is_err(),
            "a service without a database migrates nothing"
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = read::<Config>(None, &env(&[("HEXCAB_SERVER__LISTN", "x")]), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("server.listn") && error.contains("listen"),
            "{error}"
        );
        let error = read::<Config>(None, &[], &["limti=3".into()])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("limti") && error.contains("limit"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        let error = read::<Config>(None, &env(&[("HEXCAB_LIMIT", "many")]), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("limit"), "{error}");
    }

    #[test]
    fn a_secret_comes_from_its_file_and_never_prints() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345\n").unwrap();
        let path = file.path().display().to_string();
        let config: Config = read(None, &env(&[("HEXCAB_PASSWORD_FILE", &path)]), &[]).unwrap();
        assert_eq!(config.password.expose(), "12345");
        assert!(!serde_json::to_string(&config).unwrap().contains("12345"));
        assert!(!format!("{config:?}").contains("12345"));
        let error =
            read::<Config>(None, &env(&[("HEXCAB_PASSWORD_FILE", "/nowhere")]), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("password_file"), "{error:#}");
    }
}
