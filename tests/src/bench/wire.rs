//! Bytes on the wire for a metric sample in steady state, frame headers included; QUIC's and UDP's
//! own bytes are not.

use std::time::Duration;

use super::usage::sample;
use super::{Extent, Goal, Row, say};
use crate::rig::{AgentOptions, ONE, Rig, eventually, free_tcp_port, page};

/// Scrapes before it is steady: the dictionary goes out with the first.
const WARM_UP: f64 = 5.0;
/// Parts that the scrapes are cut into, to see how far they differ.
const PARTS: u64 = 4;

/// Measures it at one scrape a second, one scrape a frame.
///
/// # Panics
/// When a program is missing or does not do its work.
pub fn wire(extent: &Extent) -> Vec<Row> {
    say(&format!("{} scrapes on the wire", extent.scrapes));
    let rig = Rig::new(ONE);
    let own = rig.aggregators[0].metrics;
    let port = free_tcp_port();
    let more = format!("[metrics]\ninterval = \"1s\"\nlisten = \"127.0.0.1:{port}\"\n");
    let _agent = rig.agent("bench1.eqiad.test", &AgentOptions { more, ..AgentOptions::default() });
    let look = || {
        let text = page(own, "/metrics").ok()?;
        let of = |family| sample(&text, family, "lane=\"metrics\"");
        Some((of("muster_inbox_frames_total")?, of("muster_inbox_frame_bytes_total")?))
    };
    let until = |frames: f64| {
        eventually("the scrapes arrive", Duration::from_secs(600), || {
            look().filter(|(seen, _)| *seen >= frames)
        })
    };
    let (mut frames, mut bytes) = until(WARM_UP);
    let mut costs = Vec::new();
    for _ in 0..PARTS {
        let (next, next_bytes) = until(frames + (extent.scrapes / PARTS) as f64);
        let text = page(port, "/metrics").expect("the agent's page");
        let samples = text.lines().filter(|line| !line.starts_with('#')).count() as f64;
        costs.push((next_bytes - bytes) / ((next - frames) * samples));
        say(&format!(
            "  {samples} samples a scrape, {:.2} bytes each",
            costs.last().unwrap_or(&0.0)
        ));
        (frames, bytes) = (next, next_bytes);
    }
    vec![Row::new("wire", "a metric sample on the wire", "bytes", &costs).goal(Goal::AtMost(2.0))]
}
