//! A line about how things stand: rewritten in place on a terminal, a line each ten seconds otherwise.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use chrono_tz::Tz;
use hexcab_types::Timestamp;

use crate::{scene::Scene, tally::Glance};

const ON_TERMINAL: Duration = Duration::from_secs(2);
const IN_FILE: Duration = Duration::from_secs(10);

/// Prints until it is dropped. `offset` is what to take off the clock for the window's own time.
pub async fn print(scene: &Scene, offset: chrono::TimeDelta) {
    let terminal = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(if terminal { ON_TERMINAL } else { IN_FILE });
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let text = line(
            &scene.tally.glance(),
            scene.clock.now() - offset,
            scene.city.time_zone,
        );
        say(&text, terminal);
    }
}

/// Ends the line that is rewritten in place.
pub fn end() {
    if std::io::stdout().is_terminal() {
        say("\n", false);
    }
}

fn say(text: &str, in_place: bool) {
    let mut out = std::io::stdout().lock();
    // A reader who left does not stop the city.
    let _ = if in_place {
        write!(out, "\r\x1b[2K{text}")
    } else {
        writeln!(out, "{text}")
    };
    let _ = out.flush();
}

fn line(glance: &Glance, at: Timestamp, zone: Tz) -> String {
    let matching = glance
        .match_p50_s
        .map_or_else(|| "–".to_owned(), |s| format!("{s:.0} s"));
    format!(
        "{}  online {}  waiting {}  on the way {}  riding {}  done {}  cancelled {}  expired {}  match p50 {matching}",
        at.with_timezone(&zone).format("%a %H:%M:%S"),
        glance.online,
        glance.waiting,
        glance.on_the_way,
        glance.riding,
        glance.done,
        glance.cancelled,
        glance.expired,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_in_city_time_and_says_how_things_stand() {
        let glance = Glance {
            online: 321,
            waiting: 4,
            done: 7,
            match_p50_s: Some(6.4),
            ..Glance::default()
        };
        let at = "2008-05-31T00:02:03Z".parse().unwrap();
        assert_eq!(
            line(&glance, at, Tz::America__Los_Angeles),
            "Fri 17:02:03  online 321  waiting 4  on the way 0  riding 0  done 7  cancelled 0  expired 0  match p50 6 s"
        );
    }
}
