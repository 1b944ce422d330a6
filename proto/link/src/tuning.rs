//! Every number of the transport, with its unit, its reason and where it was measured.
//!
//! Room: `link`.  May use: `proto`.  Used by: `socket`, `tls`, `listen`, `dial`, and the programs.
//! Invariant: all other files read numbers from here; none is written twice.

use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt, congestion};

use crate::keys::EndpointKeys;

/// Streams a connection's peer may open to us, in one direction. Streams.
///
/// quinn reserves a slot for every allowed stream when a connection begins: 100 + 100 slots cost
/// 10 KB a connection, so these stay small and grow only for aggregators ([`Tuning::ask_streams`]).
pub type Streams = u32;

/// The numbers of one endpoint. [`Tuning::agent`], [`Tuning::peer`] and
/// [`Tuning::aggregator`] are those we ship.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// A packet goes out at least this often on an idle connection. Only the dialling side needs it.
    ///
    /// Default 15 s at the agent, off at the aggregator: 10 000 connections cost 2 % of a core at
    /// 15 s and 18 % at 1 s; conntrack and NAT forget UDP flows after 30 s.
    pub keep_alive: Option<Duration>,
    /// A connection that hears nothing for this long is lost. Default 45 s on both sides.
    ///
    /// It is the backstop only: while data is unacked the application's own clocks decide.
    pub idle: Duration,
    /// Round trip that is assumed before one is measured. Default 100 ms.
    ///
    /// The first retransmission of a lost first packet comes after three of these: 0.3 s, not 1 s.
    pub initial_rtt: Duration,
    /// Largest UDP payload that path MTU discovery tries when sending. Bytes. Default 6500.
    ///
    /// quinn 0.11 sends up to ten segments in one system call; above 6550 bytes each they exceed
    /// the 65 507 bytes of a UDP datagram and throughput falls from 2 450 to 6 MB/s.
    pub mtu_bytes_max: u16,
    /// Largest UDP payload taken in. Bytes. Default 1472 at the agent (it receives acks only) and
    /// 6500 at the aggregator; the receive buffer of an endpoint is 2 048 times this.
    pub udp_payload_bytes_max: u16,
    /// Whether the kernel may cut large sends into datagrams (UDP GSO). Default true; off triples
    /// the CPU price of sending. Switch it off where a broken path drops such bursts.
    pub segmentation_offload: bool,
    /// Flow control window of one stream. Bytes. Default 1 MiB.
    ///
    /// 256 KiB costs 10 % more CPU, 4 MiB gains nothing.
    pub stream_window_bytes: u32,
    /// Flow control window of a whole connection. Bytes. Default 2 MiB.
    ///
    /// Times the number of connections this is the worst case of memory.
    pub receive_window_bytes: u32,
    /// Bytes sent and not yet acknowledged that a connection keeps. Default 4 MiB, the same as
    /// [`muster_proto::limits::IN_FLIGHT_BYTES_MAX`].
    pub send_window_bytes: u64,
    /// Bidirectional streams a peer may have open: the control stream and a few questions.
    pub bidi_streams: Streams,
    /// Unidirectional streams a peer may have open: its lanes.
    pub uni_streams: Streams,
    /// Bidirectional streams between two aggregators, who ask one another for pages of results.
    pub ask_streams: Streams,
    /// Kernel receive buffer. Bytes. Default 32 MB at the aggregator, 1 MB at the agent.
    ///
    /// 5 000 agents that arrive at once: not all connected after 60 s with the kernel's 212 KB,
    /// 14.6 s with 8 MB, 2.5 s with 32 MB. More than `net.core.rmem_max` needs CAP_NET_ADMIN.
    pub recv_buffer_bytes: usize,
    /// Kernel send buffer. Bytes. Default 4 MB at the aggregator, 1 MB at the agent.
    pub send_buffer_bytes: usize,
    /// Whether a peer may go on from another address (NAT rebinding). Default true.
    pub migration: bool,
    /// Which of the endpoints on one port this one is, in the order of binding; below
    /// [`crate::DOORS_MAX`]. Default `None`: there is only one.
    ///
    /// With several and without numbers, the packets of a peer that moved land on another endpoint,
    /// which answers with a reset: the agent dials again.
    pub door: Option<u8>,
    /// Handshakes taken each second by one listener. Default 1 500, 0.4 of what one core can do.
    ///
    /// Above it the dialler must first prove its address (Retry, 15 µs instead of 230 µs); above
    /// twice that it is refused at once and tries its next aggregator.
    pub handshakes_per_s: u32,
    /// Unfinished handshakes of one listener. Default 2 048. Half of them are kept for diallers
    /// that have proven their address, so that forged first packets cannot take all places.
    pub handshakes_max: usize,
    /// A handshake (and, for an enrolment, its request) must be finished within this. Default 10 s.
    pub handshake_timeout: Duration,
    /// Finished connections that wait for [`crate::Listener::accept`]. Default 256.
    pub accept_queue: usize,
    /// A dial must be finished within this. Default 10 s, as long as the uplink lets an attempt go on.
    pub dial_timeout: Duration,
    /// Shortest time between two stateless resets. Default 100 µs.
    ///
    /// quinn's 20 ms allows 50 a second: 10 000 agents would notice a restart after 200 s.
    pub reset_interval_min: Duration,
    /// The endpoint's secrets that must survive a restart. `None`: new ones each time, and a
    /// restarted endpoint is noticed by silence only.
    pub keys: Option<Arc<EndpointKeys>>,
}

impl Tuning {
    /// For a program that dials: one connection or a few, small buffers.
    pub fn agent() -> Tuning {
        Tuning {
            keep_alive: Some(Duration::from_secs(15)),
            udp_payload_bytes_max: 1472,
            bidi_streams: 4,
            uni_streams: 2,
            recv_buffer_bytes: 1_000_000,
            send_buffer_bytes: 1_000_000,
            ..Tuning::aggregator()
        }
    }

    /// For a program that listens: thousands of connections, large buffers.
    pub fn aggregator() -> Tuning {
        Tuning {
            keep_alive: None,
            idle: Duration::from_secs(45),
            initial_rtt: Duration::from_millis(100),
            mtu_bytes_max: 6500,
            udp_payload_bytes_max: 6500,
            segmentation_offload: true,
            stream_window_bytes: 1024 * 1024,
            receive_window_bytes: 2 * 1024 * 1024,
            send_window_bytes: 4 * 1024 * 1024,
            bidi_streams: 4,
            uni_streams: 8,
            ask_streams: 64,
            recv_buffer_bytes: 32_000_000,
            send_buffer_bytes: 4_000_000,
            migration: true,
            door: None,
            handshakes_per_s: 1_500,
            handshakes_max: 2_048,
            handshake_timeout: Duration::from_secs(10),
            accept_queue: 256,
            dial_timeout: Duration::from_secs(10),
            reset_interval_min: Duration::from_micros(100),
            keys: None,
        }
    }

    /// For an aggregator that dials another one: as it listens, and it keeps the link alive. There are
    /// few of these links and a person waits at each, so a dead one is noticed within ten seconds.
    pub fn peer() -> Tuning {
        Tuning {
            keep_alive: Some(Duration::from_secs(3)),
            idle: Duration::from_secs(10),
            ..Tuning::aggregator()
        }
    }

    /// The same numbers with `keys`, so that a restart is noticed by the peers within 100 ms.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<EndpointKeys>) -> Tuning {
        self.keys = Some(keys);
        self
    }

    /// The same numbers for one of several endpoints on one port; see [`Tuning::door`].
    #[must_use]
    pub fn at_door(mut self, door: u8) -> Tuning {
        self.door = Some(door);
        self
    }

    pub(crate) fn transport(&self) -> Arc<TransportConfig> {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(self.mtu_bytes_max);
        let idle_ms = u32::try_from(self.idle.as_millis()).unwrap_or(u32::MAX);
        let mut transport = TransportConfig::default();
        transport
            .keep_alive_interval(self.keep_alive)
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
            .initial_rtt(self.initial_rtt)
            .mtu_discovery_config(Some(mtu))
            .enable_segmentation_offload(self.segmentation_offload)
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.receive_window_bytes))
            .send_window(self.send_window_bytes)
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidi_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(self.uni_streams))
            .datagram_receive_buffer_size(None)
            .congestion_controller_factory(Arc::new(congestion::CubicConfig::default()));
        Arc::new(transport)
    }

    pub(crate) fn endpoint(&self) -> EndpointConfig {
        let mut endpoint = match &self.keys {
            Some(keys) => keys.endpoint(self.door),
            None => EndpointConfig::default(),
        };
        // Only values outside 1200..=65527 are refused; then quinn's own 1472 stays.
        let _ = endpoint.max_udp_payload_size(self.udp_payload_bytes_max);
        endpoint.min_reset_interval(self.reset_interval_min);
        endpoint
    }
}
