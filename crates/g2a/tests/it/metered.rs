//! The client's metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lockstep_g2a::ProductQuery;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::client;
use crate::server::{Answer, Server, error, json};

/// Counts the updates of each series.
#[derive(Clone, Default)]
struct Touched(Arc<Mutex<BTreeMap<String, u64>>>);

struct Series {
    name: String,
    touched: Touched,
}

impl Series {
    fn touch(&self, times: u64) {
        *self.touched.0.lock().unwrap().entry(self.name.clone()).or_default() += times;
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.touch(value);
    }

    fn absolute(&self, _value: u64) {
        panic!("counters only grow");
    }
}

impl HistogramFn for Series {
    fn record(&self, _value: f64) {
        self.touch(1);
    }
}

impl Touched {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        Arc::new(Series {
            name: format!("{} {}", key.name(), labels.join(" ")),
            touched: self.clone(),
        })
    }
}

impl Recorder for Touched {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("there are no gauges");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

#[test]
fn requests_are_counted_by_outcome_and_timed_if_sent() {
    let touched = Touched::default();
    // The recorder is local to this thread, and this runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&touched, || {
        runtime.block_on(async {
            let script = [
                error(500, "ERR99"),
                error(429, "BR03"),
                json(200, "<html>"),
                json(200, r#"{"total": 0, "page": 1, "docs": []}"#),
                Answer::Break,
                error(403, "ORD112"),
                Answer::Half(200, "{".into()),
                json(200, r#"{"key":"A"}"#),
            ];
            let server = Server::start(script).await;
            let client = client(&server);
            client.products(&ProductQuery::default()).await.unwrap();
            client.pay("1").await.unwrap_err();
            client.pay("1").await.unwrap_err();
            client.pay("no such id!").await.unwrap_err();
            client.key_bytes("1").await.unwrap();
            client.key_bytes("1").await.unwrap();
        });
    });
    let counted: Vec<_> = touched
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(name, times)| format!("{name} {times}"))
        .collect();
    assert_eq!(
        counted,
        [
            "lockstep_g2a_call_seconds call=key 2",
            "lockstep_g2a_call_seconds call=pay 2",
            "lockstep_g2a_call_seconds call=products 4",
            "lockstep_g2a_calls_total call=key outcome=lost 1",
            "lockstep_g2a_calls_total call=key outcome=ok 1",
            "lockstep_g2a_calls_total call=pay outcome=lost 1",
            "lockstep_g2a_calls_total call=pay outcome=refused 1",
            "lockstep_g2a_calls_total call=products outcome=bad_answer 1",
            "lockstep_g2a_calls_total call=products outcome=ok 1",
            "lockstep_g2a_calls_total call=products outcome=rate_limited 1",
            "lockstep_g2a_calls_total call=products outcome=server_error 1",
        ]
    );
}
