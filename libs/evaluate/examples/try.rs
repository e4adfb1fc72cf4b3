//! dev
#![allow(clippy::unwrap_used)]
use hexcab_evaluate::{recording::*, scene::*, sim::*, forecast::*};
use hexcab_matching::reposition::*;
use hexcab_cities::City;
use hexcab_road::RoadGraph;
use std::time::Instant;
fn main() {
    let dir = std::path::PathBuf::from("../shared/data/sf");
    let recording = Recording::read(std::slice::from_ref(&dir)).unwrap();
    let world = World::new(RoadGraph::read(&dir).unwrap());
    let city = City::built_in("sf").unwrap();
    let args: Vec<String> = std::env::args().collect();
    let opt = |name: &str, default: f64| args.iter().position(|a| a==name).map_or(default, |i| args[i+1].parse().unwrap());
    let fleets: Vec<f64> = args[2].split(',').map(|f| f.parse().unwrap()).collect();
    for day in args[1].split(',') {
    let day: chrono::NaiveDate = format!("2008-05-{day}").parse().unwrap();
    let time = day_time(&city, day).unwrap();
    let scene = Scene::new(&world, &city, &time, recording.rides_within(&time), &recording.shifts);
    let t=Instant::now();
    let from: Vec<_> = recording.days(&city).into_iter().filter(|d| *d < day && *d >= "2008-05-17".parse().unwrap()).collect();
    let forecast = Forecast::new(&world, &city, &recording, day, &from).unwrap();
    eprintln!("day {day} {} trips, {} zones {:?}", scene.trips.len(), forecast.nodes.len(), t.elapsed());
    let mut options = hexcab_matching::Options{ waiting_credit: opt("credit",0.0), max_eta_s: opt("max",480.0), swap_price_s: opt("swap",10.0), ..Default::default()};
    options.unassigned_price_s = opt("price", 1800.0);
    let d = CoverOptions::default();
    let cover = Cover::new(CoverOptions { taken: opt("taken", d.taken as f64) as f32, lost_s: opt("lost", d.lost_s as f64) as f32, horizon_s: opt("horizon", d.horizon_s as f64) as f32, drive_weight: opt("drive", d.drive_weight as f64) as f32, least_gain_s: opt("least", d.least_gain_s as f64) as f32, reach_s: opt("reach", d.reach_s as f64) as f32, coming_s: opt("coming", d.coming_s as f64) as f32, coming_weight: opt("cw", d.coming_weight as f64) as f32, moves: opt("moves", 40.0) as usize });
    let f = FlowOptions::default();
    let flow = Flow::new(FlowOptions { gamma: opt("gamma",1.0) as f32, horizon_s: opt("fh", f.horizon_s as f64) as f32, value_s: opt("value", f.value_s as f64) as f32, least_gain: opt("lg", f.least_gain as f64) as f32, reach_s: opt("reach", f.reach_s as f64) as f32, coming_s: opt("coming", f.coming_s as f64) as f32, coming_weight: opt("cw", f.coming_weight as f64) as f32});
    let repos: &dyn Reposition = if args.iter().any(|a| a=="cover") {&cover} else {&flow};
    let name = if args.iter().any(|a| a=="batched") {"batched"} else if args.iter().any(|a| a=="nearest") {"nearest"} else {"swaps"};
    for &fleet in &fleets {
            let pace = if args.iter().any(|a| a=="pace") { Pace::Every((opt("pace",10.0)*1000.0) as i64) } else { Pace::AtOnce((opt("gap",2.0)*1000.0) as i64) };
            let policy = hexcab_matching::policy(name, options).unwrap();
            let moves = (opt("every", 30.0) > 0.0).then_some(Moves{ policy: repos, forecast: &forecast, every_ms: opt("every", 30.0) as i64 * 1000 });
            let setup = Setup { matching: &*policy, swaps: name=="swaps", swap_until_ms: opt("until",30.0) as i64*1000, chain_ms: None, pace, candidates: opt("k",30.0) as usize, moves, end_weight: opt("ew",0.0), start_weight: opt("sw",0.0) };
            let seeds = if fleet==1.0 {1} else {opt("seeds",1.0) as u64};
            let t=Instant::now();
            let (mut served, mut wait, mut p95, mut w5, mut empty, mut time_share, mut moved, mut mm) = (0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0);
            let n = seeds as f64;
            for seed in 0..seeds {
                let cabs = scene.cabs_of(fleet, seed);
                let out = run(&world, &scene, &scene.trips, &cabs, Rules::default(), &setup, seed);
                eprintln!("  windows {} {} ms, moves {} ms, swaps {}", out.window_us.len(), out.window_us.iter().map(|u| *u as u64).sum::<u64>()/1000, out.moves_us/1000, out.fates.iter().map(|f| f.swaps).sum::<u32>());
                let mut w: Vec<i64> = out.fates.iter().filter_map(|f| f.wait_ms).collect();
                w.sort();
                let all = out.fates.len() as f64;
                served += w.len() as f64 / all * 100.0 / n;
                wait += w.iter().sum::<i64>() as f64 / w.len() as f64 / 1000.0 / n;
                p95 += w[w.len()*95/100] as f64 / 1000.0 / n;
                w5 += w.iter().filter(|w| **w <= 300_000).count() as f64 / all * 100.0 / n;
                empty += out.empty_m / w.len() as f64 / 1000.0 / n;
                mm += out.moves_m / w.len() as f64 / 1000.0 / n;
                time_share += scene.trips.iter().zip(&out.fates).filter(|(_, f)| f.wait_ms.is_some()).map(|(t, _)| t.ride_ms as f64).sum::<f64>() / scene.trips.iter().map(|t| t.ride_ms as f64).sum::<f64>() * 100.0 / n;
                moved += out.moves as f64 / n;
            }
            println!("{day} {fleet:4} {name}: served {served:5.1} wait {wait:4.0} p95 {p95:4.0} in5 {w5:5.1} empty {empty:.2} (moves {mm:.2}) time {time_share:5.1} moves {moved:.0}   {:?}", t.elapsed()/seeds as u32);
    }
    }
}
