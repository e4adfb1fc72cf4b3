//! The page is changed between its marks and nowhere else; the plots are whole.

use super::*;
use crate::{measure::Figures, run::Perfect};

fn report() -> Report {
    let line = |fleet, policy: &str, served_share, gain| Line {
        fleet,
        policy: policy.parse().unwrap(),
        figures: Figures {
            requests: 1_000,
            served_share,
            wait_mean_s: 100.0,
            ..Figures::default()
        },
        days: Vec::new(),
        gain,
        rides_a_second: 20_000.0,
    };
    Report {
        days: vec!["2008-05-28".parse().unwrap()],
        forecast_from: None,
        demand: 1.0,
        seeds: 3,
        refusals: 0.15,
        eta_error: 0.0,
        leave_unassigned_s: None,
        follow: 1.0,
        lines: vec![
            line(0.6, "nearest", 0.8, None),
            line(
                0.6,
                "swaps+flow",
                0.9,
                Some(crate::compare::Gain::default()),
            ),
        ],
        perfect: vec![Perfect {
            fleet: 0.6,
            on_time_share: 0.97,
            at_most_share: 0.99,
        }],
    }
}

#[test]
fn only_what_is_between_the_marks_is_replaced() {
    let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
    let once = into_page(&page, &report(), "plots").unwrap();
    assert!(
        once.starts_with(&format!("before\n{BEGIN}\n"))
            && once.ends_with(&format!("{END}\nafter\n")),
        "{once}"
    );
    assert!(
        !once.contains("old") && once.contains("| 60 % | swaps+flow | 90.0 | 100 |"),
        "{once}"
    );
    assert!(
        once.contains("15 % of offers refused") && once.contains("| 60 % | 97.0 | 99.0 |"),
        "{once}"
    );
    assert_eq!(into_page(&once, &report(), "plots").unwrap(), once);
}

#[test]
fn a_page_without_marks_is_refused() {
    for page in ["", BEGIN, &format!("{END}\n{BEGIN}\n")] {
        assert_eq!(into_page(page, &report(), "plots"), Err(NoMarks));
    }
}

#[test]
fn every_policy_has_its_line_in_every_plot() {
    for plot in plots(&report()) {
        assert_eq!(plot.svg.matches("<polyline").count(), 2, "{}", plot.svg);
        assert!(plot.svg.contains(">swaps+flow</text>") && plot.svg.ends_with("</svg>\n"));
    }
}
