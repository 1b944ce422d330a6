//! Brings every packet of a connection to the door that has it, wherever the packet comes from.
//!
//! Room: `link`.  Used by: `keys`, `socket`.
//!
//! The kernel chooses among the sockets of one port (SO_REUSEPORT) by a hash of the addresses. When a
//! NAT gives a client another port, its packets would land on another socket, whose endpoint does not
//! know the connection. So a connection id carries the number of its door, and a filter in the kernel
//! reads it:
//!
//! ```text
//! connection id   [ 5 random bits | door, 3 bits ]  [ 8 bytes of quinn's keyed generator ]
//! short header    first byte < 0x80, then the id: the socket is the door's
//! long header     a handshake, whose first id is the client's: the socket is chosen by the hash
//! ```
//!
//! The number of a socket within its port is the order of binding: doors are bound one after the other,
//! door 0 first. A number that is not there is no error for the kernel: it takes the hash.

use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, HashedConnectionIdGenerator, InvalidCid};
use socket2::Socket;

/// Doors that can be told apart.
pub const DOORS_MAX: u8 = 8;

/// Makes connection ids that carry the door's number.
pub(crate) struct SteeredIds {
    pub(crate) door: u8,
    pub(crate) keyed: HashedConnectionIdGenerator,
}

impl ConnectionIdGenerator for SteeredIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let keyed = self.keyed.generate_cid();
        // The keyed id begins with random bytes; five bits of them hide which ids have one door.
        let first = keyed[0] & !(DOORS_MAX - 1) | self.door;
        ConnectionId::new(&[&[first], &keyed[..]].concat())
    }

    /// The door's number does not count: a restarted program must know its ids at every door.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let keyed = id.get(1..).ok_or(InvalidCid)?;
        self.keyed.validate(&ConnectionId::new(keyed))
    }

    fn cid_len(&self) -> usize {
        1 + self.keyed.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Gives the kernel the filter for the port of `socket`. It reads the UDP payload; what it returns is
/// the number of the socket.
///
/// # Errors
/// A kernel older than 4.5.
pub(crate) fn attach(socket: &Socket) -> io::Result<()> {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const RETURN_A: u16 = (libc::BPF_RET | BPF_A) as u16;
    const RETURN_K: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// BPF_A of linux/bpf_common.h: what is returned is the accumulator.
    const BPF_A: u32 = 0x10;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD_BYTE, 0, 0, 0),
        step(JUMP_IF_SET, 3, 0, 0x80),
        step(LOAD_BYTE, 0, 0, 1),
        step(AND, 0, 0, u32::from(DOORS_MAX) - 1),
        step(RETURN_A, 0, 0, 0),
        step(RETURN_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    setsockopt(socket, sockopt::AttachReusePortCbpf, &program)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_door_and_is_known_at_every_door() {
        let ids =
            |door, key| SteeredIds { door, keyed: HashedConnectionIdGenerator::from_key(key) };
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..100 {
            let id = ids(5, 1).generate_cid();
            assert_eq!((id[0] & 7, id.len(), ids(5, 1).cid_len()), (5, 9, 9));
            firsts.insert(id[0]);
            assert!(ids(0, 1).validate(&id).is_ok(), "after a restart any door may get it");
            assert!(ids(5, 2).validate(&id).is_err(), "another aggregator's");
        }
        assert!(firsts.len() > 8, "the other bits are random");
        assert!(ids(0, 1).validate(&ConnectionId::new(&[])).is_err());
    }
}
