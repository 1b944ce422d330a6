//! UDP sockets with buffers that survive a storm of handshakes.
//!
//! Room: `link`.  May use: `tuning`.  Used by: `dial`, `listen`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LinkError;
use crate::steer;
use crate::tuning::Tuning;

/// What the kernel granted of the buffers that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Receive buffer. Bytes.
    pub recv_bytes: usize,
    /// Send buffer. Bytes.
    pub send_bytes: usize,
    /// Less than what was asked for. Raise `net.core.rmem_max` and `wmem_max`, or give the process
    /// CAP_NET_ADMIN: with small buffers a storm of reconnects does not finish.
    pub short: bool,
}

/// A socket that any number of listeners of this user may share (SO_REUSEPORT).
pub(crate) fn listening(
    addr: SocketAddr,
    tuning: &Tuning,
) -> Result<(UdpSocket, Granted), LinkError> {
    let opened = match open(addr, tuning, true) {
        // A host without IPv6: "everywhere" means all there is.
        Err(error)
            if has_no_ipv6(&error)
                && addr == SocketAddr::from((Ipv6Addr::UNSPECIFIED, addr.port())) =>
        {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port())), tuning, true)
        }
        opened => opened,
    };
    opened.map_err(|source| LinkError::Socket { addr, source })
}

/// A socket for dialling: both families at once where the host has IPv6.
pub(crate) fn dialling(tuning: &Tuning) -> Result<(UdpSocket, Granted), LinkError> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    open(both, tuning, false)
        .or_else(|_| open(addr, tuning, false))
        .map_err(|source| LinkError::Socket { addr, source })
}

/// The kernel knows no IPv6, or it is switched off (net.ipv6.conf.all.disable_ipv6).
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn open(addr: SocketAddr, tuning: &Tuning, shared: bool) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // The forced option passes the system's limit and needs CAP_NET_ADMIN; the plain one is capped.
    if setsockopt(&socket, sockopt::RcvBufForce, &tuning.recv_buffer_bytes).is_err() {
        socket.set_recv_buffer_size(tuning.recv_buffer_bytes)?;
    }
    if setsockopt(&socket, sockopt::SndBufForce, &tuning.send_buffer_bytes).is_err() {
        socket.set_send_buffer_size(tuning.send_buffer_bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    if shared && tuning.door.is_some() {
        steer::attach(&socket)?;
    }
    // socket(7): the kernel doubles the value for its own bookkeeping, and reports the double.
    let recv_bytes = socket.recv_buffer_size()? / 2;
    let send_bytes = socket.send_buffer_size()? / 2;
    let short = recv_bytes < tuning.recv_buffer_bytes || send_bytes < tuning.send_buffer_bytes;
    Ok((socket.into(), Granted { recv_bytes, send_bytes, short }))
}
