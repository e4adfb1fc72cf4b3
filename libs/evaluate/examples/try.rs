//! dev
#![allow(clippy::unwrap_used)]
use hexcab_cities::City;
use hexcab_evaluate::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let opt = |name: &str, default: f64| {
        args.iter()
            .position(|a| a == name)
            .map_or(default, |i| args[i + 1].parse().unwrap())
    };
    let text = |name: &str, default: &str| {
        args.iter()
            .position(|a| a == name)
            .map_or(default.to_owned(), |i| args[i + 1].clone())
    };
    let ground =
        Ground::read(City::built_in("sf").unwrap(), &["../shared/data/sf".into()]).unwrap();
    let mut q = Question::default();
    q.days = args[1]
        .split(',')
        .map(|d| format!("2008-05-{d}").parse().unwrap())
        .collect();
    q.fleets = args[2].split(',').map(|d| d.parse().unwrap()).collect();
    q.policies = text("policy", "swaps+flow")
        .split(',')
        .map(|p| p.parse().unwrap())
        .collect();
    q.seeds = opt("seeds", 1.0) as u64;
    q.demand = opt("demand", 1.0);
    q.bound = args.iter().any(|a| a == "bound");
    q.options.max_eta_s = opt("max", q.options.max_eta_s);
    q.options.unassigned_price_s = opt("price", q.options.unassigned_price_s);
    q.options.swap_price_s = opt("swap", q.options.swap_price_s);
    q.options.end_weight = opt("ew", q.options.end_weight);
    q.options.here_weight = opt("hw", q.options.here_weight);
    q.flow.horizon_s = opt("fh", q.flow.horizon_s as f64) as f32;
    q.flow.value_s = opt("value", q.flow.value_s as f64) as f32;
    q.flow.least_gain = opt("lg", q.flow.least_gain as f64) as f32;
    q.flow.coming_s = opt("coming", q.flow.coming_s as f64) as f32;
    q.flow.coming_weight = opt("cw", q.flow.coming_weight as f64) as f32;
    q.rules.refusals = opt("refuse", 0.0);
    q.rules.eta_error = opt("eta", 0.0);
    q.rules.follow = opt("follow", 1.0);
    if opt("leave", 0.0) > 0.0 {
        q.rules.unassigned_ms = Some(opt("leave", 0.0) as i64 * 1000);
    }
    if opt("every", 0.0) > 0.0 {
        q.pace = sim::Pace::Every(opt("every", 0.0) as i64 * 1000);
    }
    let report = ground
        .answer(&q, &mut |t| {
            if args.iter().any(|a| a == "-v") {
                eprintln!("{t}")
            }
        })
        .unwrap();
    for line in &report.lines {
        println!(
            "{}  {:.0}/s p99 {:.2} ms {}",
            page::row(line).join("\t"),
            line.rides_a_second,
            line.figures.window_p99_ms,
            page::gain_row(line).map_or(String::new(), |r| r.join("\t"))
        );
    }
    for p in &report.perfect {
        println!("{p:?}");
    }
}
