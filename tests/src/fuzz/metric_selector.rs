//! Selectors of series, in Prometheus' syntax.

use muster_aggregator::stores::metrics::Selector;
use muster_proto::metric::Series;

use super::{Target, lossy, metric_dict, texts};

pub(super) const TARGET: Target =
    Target { rounds: 15_000, ..Target::new("metric-selector", run, seeds) };

fn run(bytes: &[u8]) {
    let text = lossy(bytes);
    match Selector::parse(&text) {
        Ok(selector) => {
            selector.wants_host("db1", "eqiad");
            let series: Vec<Series> = metric_dict::dict(3).series;
            series.iter().for_each(|series| {
                let _ = selector.wants_series(series);
            });
        }
        Err(error) => assert!(error.at <= text.len(), "{error}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "node_load1",
        "node_cpu_seconds_total{cpu=\"0\",mode!~\"idle|iowait\"}",
        "{__name__=~\"node_.*\",host=\"db1\"}",
        "a{b='c\\'\\n',}",
        "a{b=~\"(x{1,1000}){1,1000}\"}",
        "a{b=~\"((((((((((a*)*)*)*)*)*)*)*)*)*\"}",
    ])
}
