//! The load of a city: the simulator's riders and drivers, a process that knows the public API only.
//!
//! Invariants: it ends with the launcher; its lines are passed on, but for its report, which is in a file. Does not:
//! simulate, start a city, count what became of the rides.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{
    say,
    stack::{child, folder::CityFile, services},
    stop::Stop,
};

/// Who wants what, and for how long.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// When the window begins, in the city's time: decides the hour of the week.
    pub from: &'a str,
    /// How long requests come, city time: 90s, 60m, 2h.
    pub window: &'a str,
    /// How long open rides may go on after it, city time; the simulator's own default when none.
    pub drain: Option<&'a str>,
    /// Decides who wants what when.
    pub seed: u64,
    /// Demand, as a multiple of what is usual or recorded.
    pub demand_scale: f64,
    /// Drivers at the beginning; as many as usual when none.
    pub drivers: Option<usize>,
    /// Recorded rides and shifts.
    pub data: Option<PathBuf>,
    /// Further flags of the simulator.
    pub more: &'a [&'a str],
}

impl Load<'_> {
    /// Sends it to this city and waits until its last ride has ended; what it saw is in `report` then.
    ///
    /// # Errors
    /// When it cannot be started, fails, or was stopped.
    pub async fn carry(&self, city: &CityFile, report: &Path, stop: &Stop) -> anyhow::Result<()> {
        let mut simulator = self
            .simulator(city, report)?
            .spawn()
            .context("start the simulator")?;
        let relayed = relay(&mut simulator);
        let ended = tokio::select! {
            status = async {
                relayed.await;
                simulator.wait().await
            } => status.context("wait for the simulator")?,
            () = stop.cancelled() => {
                child::terminate(&mut simulator).await;
                bail!("stopped before the last ride was over");
            }
        };
        if !ended.success() {
            bail!("the simulator failed ({ended})");
        }
        Ok(())
    }

    fn simulator(&self, city: &CityFile, report: &Path) -> anyhow::Result<Command> {
        let program = services::binary(&services::binaries()?, services::SIMULATOR)?;
        let mut command = Command::new(program);
        command.args(["--gateway", &city.gateway, "--sign-in", &city.sign_in]);
        command.args(["--city", &city.city, "--clock", &city.clock]);
        command.args(["--from", self.from, "--for", self.window]);
        command.args(["--seed", &self.seed.to_string()]);
        command.args(["--demand-scale", &self.demand_scale.to_string()]);
        command.arg("--report").arg(report).args(self.more);
        if let Some(drain) = self.drain {
            command.args(["--drain", drain]);
        }
        if let Some(drivers) = self.drivers {
            command.args(["--drivers", &drivers.to_string()]);
        }
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        // In a group of its own, like the services: Ctrl-C is the launcher's to pass on.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command.env("HEXCAB_EXIT_WITH_PARENT", std::process::id().to_string());
        Ok(command)
    }
}

fn relay(simulator: &mut Child) -> impl Future<Output = ()> + use<> {
    let lines = simulator
        .stdout
        .take()
        .map(|stdout| BufReader::new(stdout).lines());
    async move {
        let Some(mut lines) = lines else { return };
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.starts_with('{') {
                say::step(line);
            }
        }
    }
}
