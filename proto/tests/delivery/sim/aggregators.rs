//! The aggregators of the world: greeting, taking in, syncing, crashing.

use super::*;

impl World {
    pub(super) fn end(&mut self, i: usize) {
        let aggregator = &mut self.aggregators[i];
        aggregator.alive = false;
        aggregator.life += 1;
        aggregator.staged.clear();
        aggregator.syncing = false;
        aggregator.intakes.clear();
        aggregator.marks = aggregator.marks_on_disk.clone();
        aggregator.dicts = aggregator.dicts_on_disk.clone();
    }

    pub(super) fn at_aggregator(&mut self, conn: usize, what: ToAggregator) {
        let i = self.conns[conn].aggregator;
        let aggregator = &self.aggregators[i];
        if !aggregator.alive || (!self.conns[conn].open && !self.conns[conn].haunts) {
            return;
        }
        if aggregator.life != self.conns[conn].aggregator_life {
            // A restarted process answers with a stateless reset.
            return self.send(conn, 8, Event::ConnLost { conn });
        }
        self.send(conn, 8, Event::Rx { conn });
        match what {
            ToAggregator::Hello(hello) => self.greet(i, conn, &hello),
            ToAggregator::Frame(lane, seq) => self.take(i, conn, lane, seq),
            ToAggregator::Dict(number) => self.take_dict(i, conn, number),
            ToAggregator::Nudge => {}
        }
        self.speak(i, conn);
    }

    pub(super) fn greet(&mut self, i: usize, conn: usize, hello: &Hello) {
        let credit = if self.weather.stingy { self.rng.u64(1_000..600_000) } else { 4 << 20 };
        let aggregator = &mut self.aggregators[i];
        let speaker = intake::Speaker {
            aggregator: aggregator.name.clone(),
            datacenter: aggregator.datacenter.to_string(),
        };
        let mut fresh = Intake::new(speaker, credit);
        if aggregator.draining {
            fresh.drain("stop", Duration::from_secs(5));
        }
        let marks = &aggregator.marks;
        let what = match fresh.on_hello(hello, HOST, |_, stream| marks.known(HOST, stream)) {
            Greeting::Welcome(welcome) => FromAggregator::Welcome(welcome),
            Greeting::Refused(why) => FromAggregator::Refused { why: why.to_string() },
        };
        aggregator.intakes.insert(conn, fresh);
        self.send(conn, 9, Event::ToAgent { conn, what });
    }

    pub(super) fn take(&mut self, i: usize, conn: usize, lane: Lane, seq: Seq) {
        let aggregator = &mut self.aggregators[i];
        let stream = StreamId([lane as u8; 16]);
        let Some(intake) = aggregator.intakes.get_mut(&conn) else { return };
        match intake.on_frame(&header(lane, stream, seq)) {
            Verdict::Refused(why) => panic!("an honest frame is refused: {why}"),
            Verdict::Repeat => return,
            Verdict::Store => {}
        }
        let fresh = match aggregator.marks.offer(&Arc::from(HOST), stream, seq) {
            Offer::Fresh => true,
            Offer::Repeat => false,
            other => panic!("{other:?}"),
        };
        let dict = dict_of(lane, seq);
        let is_readable = dict == 0 || aggregator.dicts.contains(&dict);
        assert!(is_readable, "{} has {lane} frame {seq} without its dict", aggregator.name);
        aggregator.staged.push((conn, lane, stream, seq, fresh));
        if !std::mem::replace(&mut aggregator.syncing, true) {
            let life = aggregator.life;
            let span = self.rng.u64(MS..=self.weather.sync_max.max(MS));
            self.after(span, Event::Sync { aggregator: i, life });
        }
    }

    /// A dict has no seq and no ack; it is in the same group as the frame behind it, or in an earlier one.
    pub(super) fn take_dict(&mut self, i: usize, conn: usize, number: u64) {
        let aggregator = &mut self.aggregators[i];
        let Some(intake) = aggregator.intakes.get_mut(&conn) else { return };
        let frame = header(Lane::Metrics, StreamId([Lane::Metrics as u8; 16]), Seq(number));
        let verdict = intake.on_frame(&Header { kind: Kind::Dict, dict: 0, ..frame });
        assert!(matches!(verdict, Verdict::Store), "a dict is always taken: {verdict:?}");
        aggregator.dicts.insert(number);
    }

    pub(super) fn sync(&mut self, i: usize, life: u64) {
        let aggregator = &mut self.aggregators[i];
        if aggregator.life != life {
            return;
        }
        aggregator.syncing = false;
        aggregator.marks.on_synced();
        aggregator.marks_on_disk = aggregator.marks.clone();
        aggregator.dicts_on_disk = aggregator.dicts.clone();
        let staged = std::mem::take(&mut aggregator.staged);
        for &(conn, lane, stream, seq, fresh) in &staged {
            if fresh {
                aggregator.stored.push((lane, seq.0));
                self.safe.insert((lane, seq.0));
            }
            if let Some(intake) = aggregator.intakes.get_mut(&conn) {
                intake.on_stored(lane, stream, aggregator.marks.durable(stream));
            }
        }
        let conns: BTreeSet<usize> = staged.iter().map(|s| s.0).collect();
        conns.into_iter().for_each(|conn| self.speak(i, conn));
    }

    pub(super) fn speak(&mut self, i: usize, conn: usize) {
        while let Some(what) =
            self.aggregators[i].intakes.get_mut(&conn).and_then(|intake| intake.next())
        {
            self.send(conn, 9, Event::ToAgent { conn, what });
        }
    }
}
