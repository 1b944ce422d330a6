//! One line of help for every name.

use std::borrow::Cow;

/// Families with a name of the kernel's in it: prefix and what the rest is.
const FAMILIES: [(&str, &str); 4] = [
    ("node_memory_", "/proc/meminfo"),
    ("node_netstat_", "/proc/net/netstat, snmp and snmp6"),
    ("node_sockstat_", "/proc/net/sockstat and sockstat6"),
    ("node_vmstat_", "/proc/vmstat"),
];

/// Name and help, sorted by name.
const NAMES: &[(&str, &str)] = &[
    ("muster_agent_build_info", "Version of the agent; always 1."),
    (
        "muster_agent_metric_dicts_total",
        "Dicts made: the set of series changed or the base was renewed.",
    ),
    (
        "muster_agent_metric_refused_total",
        "Values refused because a name is too long or there are too many series.",
    ),
    ("muster_agent_scrapes_total", "Scrapes since the agent started."),
    ("muster_agent_threads", "Threads of the agent."),
    ("node_boot_time_seconds", "When the kernel started, seconds since 1970."),
    ("node_context_switches_total", "Context switches."),
    ("node_cpu_core_throttles_total", "Times a core was slowed down by heat."),
    ("node_cpu_guest_seconds_total", "Seconds a processor ran virtual machines, by mode."),
    ("node_cpu_isolated", "1 for processors the scheduler leaves alone."),
    ("node_cpu_online", "Whether a processor is online."),
    ("node_cpu_package_throttles_total", "Times a package was slowed down by heat."),
    ("node_cpu_seconds_total", "Seconds a processor spent in each mode."),
    ("node_disk_ata_rotation_rate_rpm", "Turns per minute; 0 for solid state."),
    ("node_disk_ata_write_cache", "Whether the disk has a write cache."),
    ("node_disk_ata_write_cache_enabled", "Whether the write cache is on."),
    ("node_disk_device_mapper_info", "What the device mapper knows of the device; always 1."),
    ("node_disk_discard_time_seconds_total", "Seconds spent on discards."),
    ("node_disk_discarded_sectors_total", "Sectors discarded."),
    ("node_disk_discards_completed_total", "Discards done."),
    ("node_disk_discards_merged_total", "Discards merged with neighbours."),
    ("node_disk_filesystem_info", "What udev knows of the filesystem on the device; always 1."),
    ("node_disk_flush_requests_time_seconds_total", "Seconds spent on flushes."),
    ("node_disk_flush_requests_total", "Flushes done."),
    ("node_disk_info", "What udev knows of the device; always 1."),
    ("node_disk_io_now", "Requests in progress."),
    ("node_disk_io_time_seconds_total", "Seconds with at least one request in progress."),
    (
        "node_disk_io_time_weighted_seconds_total",
        "Seconds with requests in progress, times their number.",
    ),
    ("node_disk_read_bytes_total", "Bytes read."),
    ("node_disk_read_time_seconds_total", "Seconds spent on reads, summed over requests."),
    ("node_disk_reads_completed_total", "Reads done."),
    ("node_disk_reads_merged_total", "Reads merged with neighbours."),
    ("node_disk_write_time_seconds_total", "Seconds spent on writes, summed over requests."),
    ("node_disk_writes_completed_total", "Writes done."),
    ("node_disk_writes_merged_total", "Writes merged with neighbours."),
    ("node_disk_written_bytes_total", "Bytes written."),
    ("node_entropy_available_bits", "Bits in the random pool."),
    ("node_entropy_pool_size_bits", "Bits the random pool can hold."),
    ("node_filefd_allocated", "File handles in use on the whole machine."),
    ("node_filefd_maximum", "File handles there may be."),
    ("node_filesystem_avail_bytes", "Bytes an ordinary user may still use."),
    ("node_filesystem_device_error", "1 when the filesystem did not answer."),
    ("node_filesystem_files", "Inodes there may be."),
    ("node_filesystem_files_free", "Inodes not used."),
    ("node_filesystem_free_bytes", "Bytes not used."),
    ("node_filesystem_mount_info", "Device number of a mount; always 1."),
    ("node_filesystem_readonly", "Whether the mount is read-only."),
    ("node_filesystem_size_bytes", "Bytes in all."),
    ("node_forks_total", "Processes and threads made."),
    ("node_intr_total", "Interrupts served."),
    ("node_load1", "Runnable and waiting tasks, average of 1 minute."),
    ("node_load15", "Runnable and waiting tasks, average of 15 minutes."),
    ("node_load5", "Runnable and waiting tasks, average of 5 minutes."),
    ("node_network_address_assign_type", "Where the hardware address comes from."),
    ("node_network_carrier", "1 when there is a link."),
    ("node_network_carrier_changes_total", "Times the link came or went."),
    ("node_network_carrier_down_changes_total", "Times the link went."),
    ("node_network_carrier_up_changes_total", "Times the link came."),
    ("node_network_device_id", "Port number on a shared card."),
    ("node_network_dormant", "1 when the device waits for an outside event."),
    ("node_network_flags", "Flags of the device, netdevice(7)."),
    ("node_network_iface_id", "Index of the device."),
    ("node_network_iface_link", "Index of the device below."),
    ("node_network_iface_link_mode", "Link mode."),
    ("node_network_info", "Addresses and states of the device; always 1."),
    ("node_network_mtu_bytes", "Longest packet, bytes."),
    ("node_network_name_assign_type", "How the name was chosen."),
    ("node_network_net_dev_group", "Group of the device."),
    ("node_network_protocol_type", "ARP type of the device."),
    ("node_network_receive_bytes_total", "Bytes received."),
    ("node_network_receive_compressed_total", "Compressed packets received."),
    ("node_network_receive_drop_total", "Packets dropped or missed when receiving."),
    ("node_network_receive_errs_total", "Errors when receiving."),
    ("node_network_receive_fifo_total", "Packets lost to a full buffer when receiving."),
    ("node_network_receive_frame_total", "Framing errors."),
    ("node_network_receive_multicast_total", "Multicast packets received."),
    ("node_network_receive_nohandler_total", "Packets nobody wanted."),
    ("node_network_receive_packets_total", "Packets received."),
    ("node_network_speed_bytes", "Speed of the link, bytes per second."),
    ("node_network_transmit_bytes_total", "Bytes sent."),
    ("node_network_transmit_carrier_total", "Packets lost with the link when sending."),
    ("node_network_transmit_colls_total", "Collisions."),
    ("node_network_transmit_compressed_total", "Compressed packets sent."),
    ("node_network_transmit_drop_total", "Packets dropped when sending."),
    ("node_network_transmit_errs_total", "Errors when sending."),
    ("node_network_transmit_fifo_total", "Packets lost to a full buffer when sending."),
    ("node_network_transmit_packets_total", "Packets sent."),
    ("node_network_transmit_queue_length", "Packets the send queue holds."),
    ("node_network_up", "Whether the device works."),
    ("node_nf_conntrack_entries", "Connections in the tracking table."),
    ("node_nf_conntrack_entries_limit", "Connections the tracking table can hold."),
    ("node_nf_conntrack_stat_drop", "Packets dropped because tracking failed."),
    ("node_nf_conntrack_stat_early_drop", "Connections dropped to make room."),
    ("node_nf_conntrack_stat_found", "Lookups that found a connection."),
    ("node_nf_conntrack_stat_ignore", "Packets of connections already known."),
    ("node_nf_conntrack_stat_insert", "Connections inserted."),
    ("node_nf_conntrack_stat_insert_failed", "Connections that could not be inserted."),
    ("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    ("node_nf_conntrack_stat_search_restart", "Lookups begun again because the table was resized."),
    ("node_os_info", "What os-release says; always 1."),
    (
        "node_os_support_end_timestamp_seconds",
        "When support of this release ends, seconds since 1970.",
    ),
    ("node_os_version", "Version of the release as a number."),
    (
        "node_pressure_cpu_waiting_seconds_total",
        "Seconds in which some task waited for a processor.",
    ),
    ("node_pressure_io_stalled_seconds_total", "Seconds in which all tasks waited for a disk."),
    ("node_pressure_io_waiting_seconds_total", "Seconds in which some task waited for a disk."),
    (
        "node_pressure_irq_stalled_seconds_total",
        "Seconds in which all tasks waited for interrupts.",
    ),
    ("node_pressure_memory_stalled_seconds_total", "Seconds in which all tasks waited for memory."),
    ("node_pressure_memory_waiting_seconds_total", "Seconds in which some task waited for memory."),
    ("node_procs_blocked", "Tasks that wait for a disk."),
    ("node_procs_running", "Tasks that run or could."),
    ("node_scrape_collector_duration_seconds", "How long a collector took."),
    ("node_scrape_collector_success", "Whether a collector succeeded."),
    ("node_systemd_socket_accepted_connections_total", "Connections a socket unit accepted."),
    ("node_systemd_socket_current_connections", "Connections a socket unit has open."),
    ("node_systemd_socket_refused_connections_total", "Connections a socket unit refused."),
    ("node_systemd_system_running", "Whether the system is fully up with no failed unit."),
    ("node_systemd_timer_last_trigger_seconds", "When a timer last fired, seconds since 1970."),
    ("node_systemd_unit_state", "1 for the state a unit is in."),
    ("node_systemd_units", "Units in each state."),
    ("node_systemd_version", "Version of systemd."),
    ("node_systemd_virtualization_info", "Kind of virtual machine or container; always 1."),
    ("node_time_clocksource_available_info", "Clock sources the kernel could use; always 1."),
    ("node_time_clocksource_current_info", "Clock source the kernel uses; always 1."),
    ("node_time_seconds", "The clock, seconds since 1970."),
    ("node_time_zone_offset_seconds", "Seconds east of Greenwich."),
    ("node_timex_estimated_error_seconds", "Estimated error of the clock."),
    ("node_timex_frequency_adjustment_ratio", "Frequency of the clock over nominal."),
    ("node_timex_loop_time_constant", "Time constant of the clock discipline."),
    ("node_timex_maxerror_seconds", "Largest error of the clock."),
    ("node_timex_offset_seconds", "Between the clock and its reference."),
    ("node_timex_pps_calibration_total", "Pulse-per-second: calibration intervals."),
    ("node_timex_pps_error_total", "Pulse-per-second: calibration errors."),
    ("node_timex_pps_frequency_hertz", "Pulse-per-second: frequency."),
    ("node_timex_pps_jitter_seconds", "Pulse-per-second: jitter."),
    ("node_timex_pps_jitter_total", "Pulse-per-second: times the jitter limit was exceeded."),
    ("node_timex_pps_shift_seconds", "Pulse-per-second: interval."),
    (
        "node_timex_pps_stability_exceeded_total",
        "Pulse-per-second: times the stability limit was exceeded.",
    ),
    ("node_timex_pps_stability_hertz", "Pulse-per-second: stability."),
    ("node_timex_status", "Status bits of the clock, adjtimex(2)."),
    ("node_timex_sync_status", "Whether somebody disciplines the clock."),
    ("node_timex_tai_offset_seconds", "Between UTC and TAI."),
    ("node_timex_tick_seconds", "Between clock ticks."),
    ("node_uname_info", "What uname(2) says; always 1."),
    ("process_cpu_seconds_total", "Seconds of processor time this process used."),
    ("process_max_fds", "Files this process may have open."),
    ("process_open_fds", "Files this process has open."),
    ("process_resident_memory_bytes", "Memory of this process in RAM."),
    ("process_start_time_seconds", "When this process started, seconds since 1970."),
    ("process_virtual_memory_bytes", "Address space of this process."),
    ("process_virtual_memory_max_bytes", "Address space this process may have."),
];

/// The help of `name`.
pub fn text(name: &str) -> Cow<'static, str> {
    if let Ok(at) = NAMES.binary_search_by_key(&name, |(known, _)| known) {
        return Cow::Borrowed(NAMES[at].1);
    }
    for (prefix, from) in FAMILIES {
        if let Some(field) = name.strip_prefix(prefix) {
            return Cow::Owned(format!("Field {field} of {from}."));
        }
    }
    Cow::Borrowed("See the documentation of the agent.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_told_once() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
