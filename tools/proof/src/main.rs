//! `tools/proof/run`: see `README.md`.

use proof::simulate::{self, Plan};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str, default: u64| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    match args.first().map(String::as_str) {
        Some("simulate") => {
            let hours = value("--hours", 24);
            if args.iter().any(|arg| arg == "--seed") {
                let number = value("--seed", 0);
                match simulate::explain(number, hours) {
                    Some(text) => println!("{text}"),
                    None => println!("seed {number} holds"),
                }
                return ExitCode::SUCCESS;
            }
            std::panic::set_hook(Box::new(|_| {}));
            let plan = Plan {
                base: value("--base", 0),
                seeds: value("--seeds", 1_000),
                hours,
                threads: 0,
                demand_points: true,
            };
            let summary = simulate::run(plan);
            print!("{}", summary.text(hours));
            if let Some(failure) = &summary.failure {
                println!("{failure}");
            }
            for point in &summary.missing {
                println!("never reached: {}", point.name());
            }
            if summary.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Some("sources") => {
            let hours = value("--hours", 6);
            if args.iter().any(|arg| arg == "--seed") {
                let number = value("--seed", 0);
                match proof::sources::explain(number, hours) {
                    Some(text) => println!("{text}"),
                    None => println!("seed {number} holds"),
                }
                return ExitCode::SUCCESS;
            }
            std::panic::set_hook(Box::new(|_| {}));
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let summary = proof::sources::run(value("--base", 0), value("--seeds", 1_000), hours, threads);
            print!("{}", summary.text());
            if let Some(text) = summary.failure.as_ref().and_then(|(number, _)| proof::sources::explain(*number, hours))
            {
                println!("{text}");
            }
            for what in summary.missing() {
                println!("never reached: {what}");
            }
            if summary.failure.is_none() && summary.missing().is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Some("explore") => {
            std::panic::set_hook(Box::new(|_| {}));
            let states = value("--states", 2_000_000) as usize;
            let mut good = true;
            // What is bounded ends soon and proves the less; the others go on until nothing new is left.
            let models = if args.iter().any(|arg| arg == "--bounded") {
                [(proof::explore::QUICK, states), (proof::explore::LOOKS, states), (proof::explore::TWO, states)]
            } else {
                [(proof::explore::ONE, usize::MAX), (proof::explore::LOOKS, usize::MAX), (proof::explore::TWO, states)]
            };
            for (model, most) in models {
                if args.iter().any(|arg| arg == "--one") && model.channels > 1 {
                    continue;
                }
                if args.iter().any(|arg| arg == "--two") && model.channels == 1 {
                    continue;
                }
                if args.iter().any(|arg| arg == "--looks") && model.spec.probe_every.is_none() {
                    continue;
                }
                let explored = proof::explore::run(&model, most);
                print!("{}", explored.text());
                if let Some(failure) = &explored.failure {
                    println!("{failure}");
                    good = false;
                }
            }
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Some("judge") => {
            std::panic::set_hook(Box::new(|_| {}));
            let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
            let found = proof::judge::judge(has("--all"), has("--sources"));
            for (by, rule) in &found {
                println!("killed {by} {rule}");
            }
            if found.is_empty() {
                println!("survived");
                return ExitCode::SUCCESS;
            }
            ExitCode::FAILURE
        }
        Some("mutants") => match proof::mutants::run(&args[1..]) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("mutants: {error}");
                ExitCode::from(if error.kind() == std::io::ErrorKind::InvalidInput { 64 } else { 2 })
            }
        },
        Some("timelines") => match proof::timelines::all() {
            Ok(text) => {
                print!("{text}");
                if text == include_str!("../golden/timelines.txt") {
                    ExitCode::SUCCESS
                } else {
                    println!("these are not the time-lines of golden/timelines.txt");
                    ExitCode::FAILURE
                }
            }
            Err(broken) => {
                println!("{}", broken.text);
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::from(64),
    }
}
