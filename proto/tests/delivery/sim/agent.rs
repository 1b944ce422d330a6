//! The agent of the world: its spool, its pump, and the connections it dials.

use super::*;

/// Both machines of an agent that starts.
pub(super) fn start(
    lanes: &[LaneDisk],
    timing: failover::Timing,
    now: u64,
    seed: u64,
) -> (Uplink, Failover) {
    let speaker = uplink::Speaker {
        host: HOST.into(),
        datacenter: "eqiad".into(),
        agent_version: "1".into(),
    };
    let lanes: Vec<LaneStart> = lanes
        .iter()
        .map(|l| LaneStart {
            lane: l.lane,
            stream: l.stream,
            acked: Seq(l.cursor),
            durable: Seq(l.durable),
        })
        .collect();
    (
        Uplink::new(speaker, uplink::Timing::default(), &lanes),
        Failover::new(HOST, timing, seed, Mono(now)),
    )
}

impl World {
    pub(super) fn produce(&mut self) {
        if self.producing {
            let lane = if self.rng.u32(0..4) == 0 { self.rng.usize(0..3) } else { 2 };
            self.agent.lanes[lane].staged += self.rng.u64(1..4);
            let epoch = self.agent.epoch;
            self.after(3 * MS, Event::Commit { epoch });
        }
        let every = self.weather.produce_every;
        let span = self.rng.u64(every / 2..every * 3 / 2);
        self.after(span, Event::Produce);
    }

    pub(super) fn commit(&mut self) {
        for disk in &mut self.agent.lanes {
            disk.durable += std::mem::take(&mut disk.staged);
            disk.cursor_disk = disk.cursor;
            self.agent.uplink.on_durable(disk.lane, Seq(disk.durable));
        }
        self.pump();
    }

    pub(super) fn crash_agent(&mut self) {
        self.agent.epoch += 1;
        self.agent.live = None;
        self.agent.conns.clear();
        self.conns.iter_mut().for_each(|c| c.open = false);
        for disk in &mut self.agent.lanes {
            disk.staged = 0;
            disk.cursor = disk.cursor_disk;
        }
        let seed = self.rng.u64(..);
        let (uplink, failover) = start(&self.agent.lanes, self.timing, self.now, seed);
        self.agent.uplink = uplink;
        self.agent.failover = failover;
        self.pump();
    }

    pub(super) fn drop_oldest(&mut self) {
        let disk = &mut self.agent.lanes[2];
        let upto = (disk.cursor + 3).min(disk.durable);
        let dropped = disk.cursor + 1..=upto;
        self.dropped.extend(dropped.map(|seq| (Lane::Logs, seq)));
        disk.cursor = upto;
        disk.cursor_disk = upto;
        self.agent.uplink.on_dropped(Lane::Logs, Seq(upto));
        self.pump();
    }

    /// Obeys both machines until they have nothing more to say.
    pub(super) fn pump(&mut self) {
        let now = Mono(self.now);
        for round in 0.. {
            assert!(round < 10_000, "the machines never come to rest");
            let mut rest = true;
            if std::mem::take(&mut self.agent.rx) {
                self.agent.uplink.on_rx(now);
            }
            if self.agent.uplink.is_quiet() {
                self.agent.failover.on_quiet(now);
            }
            while let Some(order) = self.agent.failover.next(now) {
                rest = false;
                self.obey_failover(order);
            }
            while let Some(order) = self.agent.uplink.next(now) {
                rest = false;
                self.obey_uplink(order);
            }
            if rest {
                break;
            }
        }
        let at = self.agent.failover.wake_at(now);
        let at = self.agent.uplink.wake_at().map_or(at, |other| other.min(at)).0;
        assert!(at > self.now, "a timer that is due is not obeyed: {:?}", self.agent.failover);
        if at != self.agent.wake {
            self.agent.wake = at;
            self.after(at - self.now, Event::Wake { at });
        }
    }

    pub(super) fn obey_failover(&mut self, order: failover::Order) {
        use failover::Order;
        let epoch = self.agent.epoch;
        match order {
            Order::Resolve => self.after(5 * MS, Event::Resolved { epoch }),
            Order::Dial { attempt, aggregator, .. } => self.dial(attempt, &aggregator),
            Order::Cancel { attempt } | Order::Close { attempt, .. } => {
                if let Some(conn) = self.agent.conns.remove(&attempt) {
                    self.conns[conn].open = false;
                }
            }
            Order::Quiesce => self.agent.uplink.on_drain(),
            Order::Resume => self.agent.uplink.on_resume(),
            Order::Adopt { attempt } => {
                let conn = self.agent.conns[&attempt];
                let welcome = self.conns[conn].welcome.clone().expect("a Welcome came");
                self.agent.uplink.on_welcome(Mono(self.now), &welcome);
                self.agent.live = Some(conn);
                self.adopted.push((self.now, self.conns[conn].aggregator));
            }
            Order::Probe { probe, aggregator, .. } => {
                let a = self.aggregators.iter().find(|a| a.name == aggregator).unwrap();
                let ok = a.alive && a.cut_until <= self.now && !a.draining;
                let span = if ok { 5 * MS } else { 900 * MS };
                self.after(span, Event::Probed { epoch, probe, ok });
            }
        }
    }

    pub(super) fn obey_uplink(&mut self, order: uplink::Order) {
        let now = Mono(self.now);
        match order {
            uplink::Order::Send { life, lane, from, bytes_max } => {
                let conn = self.agent.live.expect("sends only on a live connection");
                let span = self.rng.u64(100..2 * MS);
                let turn = Turn { conn, life, lane, seq: from, left: bytes_max };
                self.after(span, Event::Turn(turn));
            }
            uplink::Order::Release { lane, upto } => {
                let disk = self.agent.lanes.iter_mut().find(|l| l.lane == lane).unwrap();
                for seq in disk.cursor + 1..=upto.0 {
                    let key = (lane, seq);
                    let fine = self.safe.contains(&key) || self.dropped.contains(&key);
                    assert!(fine, "{lane} frame {seq} is released and nowhere durable");
                }
                disk.cursor = disk.cursor.max(upto.0);
            }
            uplink::Order::Nudge => {
                let conn = self.agent.live.expect("nudges a live connection");
                self.send(conn, 0, Event::ToAggregator { conn, what: ToAggregator::Nudge });
            }
            uplink::Order::Suspect(_) => self.agent.failover.on_suspect(now),
            uplink::Order::Recovered => self.agent.failover.on_recovered(now),
            uplink::Order::Forked { lane, .. } => panic!("{lane} is forked"),
        }
    }

    pub(super) fn dial(&mut self, attempt: u32, name: &str) {
        let aggregator = self.aggregators.iter().position(|a| a.name == name).unwrap();
        let to = &self.aggregators[aggregator];
        let answers = to.alive && to.cut_until <= self.now;
        let quickly_refused = !to.alive && self.rng.bool();
        self.conns.push(Conn {
            aggregator,
            aggregator_life: to.life,
            epoch: self.agent.epoch,
            attempt,
            open: true,
            haunts: self.rng.bool(),
            last_arrival: BTreeMap::new(),
            welcome: None,
            credit_max: 0,
            under_way: Vec::new(),
            sent_dict: SentDict::default(),
        });
        let conn = self.conns.len() - 1;
        self.agent.conns.insert(attempt, conn);
        let span = self.rng.u64(MS..30 * MS);
        if answers {
            self.after(span, Event::Dialled { conn });
        } else if quickly_refused {
            self.after(span, Event::ConnLost { conn });
        }
    }

    pub(super) fn on_dialled(&mut self, conn: usize) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if open && epoch == self.agent.epoch {
            self.agent.failover.on_dialled(Mono(self.now), attempt);
            let what = ToAggregator::Hello(self.agent.uplink.hello(false));
            self.send(conn, 0, Event::ToAggregator { conn, what });
            self.pump();
        }
    }

    pub(super) fn on_conn_lost(&mut self, conn: usize) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if !open || epoch != self.agent.epoch {
            return;
        }
        self.conns[conn].open = false;
        self.agent.conns.remove(&attempt);
        if self.agent.live == Some(conn) {
            self.agent.live = None;
            self.agent.uplink.on_disconnected(Mono(self.now));
        }
        self.agent.failover.on_lost(Mono(self.now), attempt, "closed");
        self.pump();
    }

    pub(super) fn turn(&mut self, turn: Turn) {
        let Turn { conn, life, lane, seq, left } = turn;
        let now = Mono(self.now);
        if self.conns[conn].epoch != self.agent.epoch {
            return;
        }
        let durable = self.agent.lanes.iter().find(|l| l.lane == lane).unwrap().durable;
        let bytes = frame_bytes(lane, seq);
        let open = self.conns[conn].open;
        // A pump may report what it wrote to a connection that was given up meanwhile.
        let late = !open && self.rng.bool();
        if seq.0 > durable || bytes > left || !(open || late) {
            let next_bytes = if seq.0 <= durable && open { bytes } else { 0 };
            self.agent.uplink.on_send_done(now, life, lane, next_bytes);
            return self.pump();
        }
        self.agent.uplink.on_sent(now, Sent { life, lane, seq, bytes });
        if open {
            self.send_dict(conn, lane, seq);
            let what = ToAggregator::Frame(lane, seq);
            self.send(conn, lane as u8, Event::ToAggregator { conn, what });
            self.check_window(conn, (lane, seq, bytes));
        }
        let span = self.rng.u64(10..3 * MS);
        self.after(span, Event::Turn(Turn { seq: seq.next(), left: left - bytes, ..turn }));
        self.pump();
    }

    /// Before the first frame that needs it.
    pub(super) fn send_dict(&mut self, conn: usize, lane: Lane, seq: Seq) {
        let number = dict_of(lane, seq);
        let sent = &mut self.conns[conn].sent_dict;
        if sent.is_due(number) {
            sent.on_sent(number);
            let what = ToAggregator::Dict(number);
            self.send(conn, lane as u8, Event::ToAggregator { conn, what });
        }
    }

    pub(super) fn check_window(&mut self, conn: usize, frame: (Lane, Seq, u64)) {
        let line = &mut self.conns[conn];
        line.under_way.push(frame);
        let total: u64 = line.under_way.iter().map(|f| f.2).sum();
        let window = line.credit_max.min(IN_FLIGHT_BYTES_MAX);
        let fits = total <= window || line.under_way.len() == 1;
        assert!(fits, "{total} bytes are under way of {window}: {:?}", line.under_way);
    }

    pub(super) fn at_agent(&mut self, conn: usize, what: FromAggregator) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if !open || epoch != self.agent.epoch {
            return;
        }
        let (now, live) = (Mono(self.now), self.agent.live == Some(conn));
        self.agent.rx |= live;
        match what {
            FromAggregator::Welcome(welcome) => {
                self.conns[conn].credit_max = welcome.credit_bytes;
                self.conns[conn].welcome = Some(welcome);
                self.agent.failover.on_welcomed(now, attempt);
            }
            FromAggregator::Ack { lane, stream, seq } if live => {
                self.acks.push((self.now, self.conns[conn].aggregator));
                self.conns[conn].under_way.retain(|f| f.0 != lane || f.1 > seq);
                self.agent.uplink.on_ack(now, lane, stream, seq);
            }
            FromAggregator::Credit { bytes } => {
                let line = &mut self.conns[conn];
                line.credit_max = line.credit_max.max(bytes);
                if live {
                    self.agent.uplink.on_credit(bytes);
                } else if let Some(welcome) = &mut line.welcome {
                    welcome.credit_bytes = bytes;
                }
            }
            FromAggregator::Drain { retry_after_ms, .. } if live => {
                self.agent.failover.on_drain(now, Duration::from_millis(retry_after_ms));
            }
            FromAggregator::Refused { .. } => self.on_conn_lost(conn),
            _ => {}
        }
        self.pump();
    }
}
