//! What a scrape of this host costs: bytes on the wire and processor time.
//!
//! `cargo run -p muster-agent --example scrape_cost [SCRAPES] [SECONDS_BETWEEN]`

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_agent::host::Host;
use muster_agent::metrics::{Scraper, Settings};
use muster_proto::clock::{Mono, Utc};
use muster_proto::frame::{BodyFacts, Header, Kind, Sealer};
use muster_proto::metric::{Dict, encode_dict, encode_scrapes, parse_scrapes};

fn cpu_s() -> f64 {
    let times = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    times.map_or(0.0, |told| Duration::from(told).as_secs_f64())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<f64> = std::env::args().skip(1).map(|w| w.parse()).collect::<Result<_, _>>()?;
    let scrapes = words.first().map_or(20, |count| *count as u32);
    let between = Duration::from_secs_f64(words.get(1).copied().unwrap_or(0.5));
    let mut scraper = Scraper::new(Host::live(), Settings::default());
    let mut sealer = Sealer::new()?;
    let mut dict = Dict::default();
    let start = Instant::now();
    let (mut bytes, mut samples, mut scraping_s, mut sealing_s) = (0, 0, 0.0, 0.0);
    for number in 0..scrapes {
        let now = Utc(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?);
        let before_s = cpu_s();
        let told = scraper.scrape(now, Mono(u64::try_from(start.elapsed().as_micros())?));
        scraping_s += cpu_s() - before_s;
        let before_s = cpu_s();
        let facts =
            BodyFacts { kind: Kind::Metric, dict: 1, records: 0, first_at: now, last_at: now };
        if let Some(new) = told.dict {
            dict = new;
            let sealed =
                sealer.seal(BodyFacts { kind: Kind::Dict, ..facts }, &encode_dict(&dict))?;
            let len = sealed.body.len() + Header::BYTES;
            println!("scrape {number}: dict of {} series, {len} bytes", dict.series.len());
        }
        let body = encode_scrapes(&dict, std::slice::from_ref(&told.scrape));
        let sealed = sealer.seal(facts, &body)?;
        sealing_s += cpu_s() - before_s;
        assert_eq!(parse_scrapes(&dict, &body)?, std::slice::from_ref(&told.scrape));
        let (len, count) = (sealed.body.len() + Header::BYTES, told.scrape.values.len());
        println!(
            "scrape {number}: {count} samples, raw {}, frame {len} bytes, {:.3} a sample",
            body.len(),
            len as f64 / count as f64
        );
        if number + 1 == scrapes {
            for (series, value) in dict.series.iter().zip(&told.scrape.values) {
                if series.name == "process_resident_memory_bytes" {
                    println!("{} KiB in RAM", value.unwrap_or(0.0) / 1024.0);
                }
                if series.name == "node_scrape_collector_duration_seconds" {
                    println!("{:>9.6} s {}", value.unwrap_or(0.0), series.labels[0].1);
                }
            }
        }
        if number > 0 {
            bytes += len;
            samples += count;
        }
        std::thread::sleep(between);
    }
    let per = f64::from(scrapes);
    println!("{:.3} bytes a sample", bytes as f64 / samples.max(1) as f64);
    println!("{:.2} ms scraping, {:.2} ms sealing", scraping_s / per * 1e3, sealing_s / per * 1e3);
    Ok(())
}
