//! One question for SRV records and its answer, as bytes. The coding is simple-dns'; what counts is ours.
//!
//! RFC 2782 (SRV), RFC 1035 §4 (messages), RFC 6891 (a larger datagram).

use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, header_buffer,
};

/// Records of one answer that are used. More are left out: no datacenter has so many aggregators.
pub const SRV_RECORDS_MAX: usize = 64;
/// Records of any section of an answer. A message that says it has more is refused unread.
const SECTION_RECORDS_MAX: u16 = 256;
/// Aliases that are followed within one answer.
const ALIASES_MAX: usize = 8;
/// Largest datagram that we take in; fits every path (DNS Flag Day 2020).
const DATAGRAM_BYTES: u16 = 1_232;

/// One SRV record: an aggregator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower ones are tried before higher ones.
    pub priority: u16,
    /// Share among those of the same priority; 0 is next to none.
    pub weight: u16,
    /// UDP port.
    pub port: u16,
    /// Host name, lower case, without the last dot.
    pub target: String,
}

/// The SRV records of a name, and how long they are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Sorted, none twice.
    pub records: Vec<Srv>,
    /// Shortest life of any of them.
    pub ttl: Duration,
}

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The records.
    Answer(Answer),
    /// They do not fit into a datagram: ask by TCP.
    Truncated,
}

/// Why a message is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It belongs to another question.
    #[error("the message does not answer the question")]
    Stray,
    /// It cannot be read.
    #[error("the message cannot be read")]
    Unreadable,
    /// The server says no; in its words: `NXDOMAIN`, `SERVFAIL` and so on.
    #[error("the name server says {0}")]
    Refused(&'static str),
    /// There is no such record, or the only one is `.`: "decidedly not available" (RFC 2782).
    #[error("there are no SRV records")]
    Nothing,
}

/// The question for the SRV records of `name`.
///
/// # Errors
/// [`AnswerError::Unreadable`] when `name` is no domain name.
pub fn encode_query(id: u16, name: &str) -> Result<Vec<u8>, AnswerError> {
    let unreadable = |_| AnswerError::Unreadable;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(unreadable)?;
    let (kind, class) = (QTYPE::TYPE(TYPE::SRV), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(name, kind, class, false));
    *packet.opt_mut() =
        Some(OPT { opt_codes: Vec::new(), udp_packet_size: DATAGRAM_BYTES, version: 0 });
    packet.build_bytes_vec().map_err(unreadable)
}

/// Reads what came for the question `id` about `name`.
///
/// # Errors
/// [`AnswerError`]. Records of other kinds, of other names, and targets that are no host names are
/// skipped, not errors.
pub fn parse_answer(bytes: &[u8], id: u16, name: &str) -> Result<Reply, AnswerError> {
    let packet = parse_message(bytes, id)?;
    let asked = packet.questions.first().map(|question| plain(&question.qname));
    if asked.as_deref() != Some(plain_text(name).as_str()) {
        return Err(AnswerError::Stray);
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(Reply::Truncated);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(AnswerError::Refused("NXDOMAIN")),
        RCODE::ServerFailure => return Err(AnswerError::Refused("SERVFAIL")),
        RCODE::Refused => return Err(AnswerError::Refused("REFUSED")),
        _ => return Err(AnswerError::Refused("an error")),
    }
    let owners = owners(&packet, name);
    let (mut records, mut ttl_s) = (Vec::new(), u32::MAX);
    for record in &packet.answers {
        let RData::SRV(srv) = &record.rdata else { continue };
        let target = plain(&srv.target);
        if owners.contains(&plain(&record.name)) && is_host_name(&target) && srv.port != 0 {
            ttl_s = ttl_s.min(record.ttl);
            let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
            records.push(Srv { priority, weight, port, target });
        }
    }
    records.sort();
    records.dedup();
    records.truncate(SRV_RECORDS_MAX);
    if records.is_empty() {
        return Err(AnswerError::Nothing);
    }
    Ok(Reply::Answer(Answer { records, ttl: Duration::from_secs(ttl_s.into()) }))
}

fn parse_message(bytes: &[u8], id: u16) -> Result<Packet<'_>, AnswerError> {
    let unreadable = |_| AnswerError::Unreadable;
    let is_reply = header_buffer::has_flags(bytes, PacketFlag::RESPONSE).map_err(unreadable)?;
    if header_buffer::id(bytes).map_err(unreadable)? != id || !is_reply {
        return Err(AnswerError::Stray);
    }
    let counts = [
        header_buffer::questions(bytes),
        header_buffer::answers(bytes),
        header_buffer::name_servers(bytes),
        header_buffer::additional_records(bytes),
    ];
    if counts.into_iter().any(|count| count.is_ok_and(|count| count > SECTION_RECORDS_MAX)) {
        return Err(AnswerError::Unreadable);
    }
    Packet::parse(bytes).map_err(unreadable)
}

/// The name, and what it is an alias of: an SRV record belongs to the last one.
fn owners(packet: &Packet<'_>, name: &str) -> Vec<String> {
    let mut owners = vec![plain_text(name)];
    for _ in 0..ALIASES_MAX {
        let next = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(alias) if owners.contains(&plain(&record.name)) => {
                Some(plain(&alias.0)).filter(|target| !owners.contains(target))
            }
            _ => None,
        });
        owners.extend(next);
    }
    owners
}

fn plain(name: &Name<'_>) -> String {
    plain_text(&name.to_string())
}

fn plain_text(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// RFC 1123 §2.1; what stands in a certificate must be one.
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{CNAME, SRV};

    const NAME: &str = "_muster._udp.codfw.example.org";

    /// A reply with these SRV records: owner, priority, weight, port, target.
    fn reply(records: &[(&str, u16, u16, u16, &str)], alias: Option<(&str, &str)>) -> Vec<u8> {
        let query = encode_query(7, NAME).unwrap();
        let mut packet = Packet::parse(&query).unwrap().into_reply();
        for &(owner, priority, weight, port, target) in records {
            let target = Name::new(target).unwrap();
            let rdata = RData::SRV(SRV { priority, weight, port, target });
            packet.answers.push(ResourceRecord::new(
                Name::new(owner).unwrap(),
                CLASS::IN,
                60,
                rdata,
            ));
        }
        if let Some((owner, target)) = alias {
            let rdata = RData::CNAME(CNAME(Name::new(target).unwrap()));
            packet.answers.push(ResourceRecord::new(
                Name::new(owner).unwrap(),
                CLASS::IN,
                9,
                rdata,
            ));
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn check(bytes: &[u8], expected: &str) {
        let said = match parse_answer(bytes, 7, NAME) {
            Ok(Reply::Truncated) => "truncated".to_owned(),
            Ok(Reply::Answer(answer)) => {
                let each = answer.records.iter().map(|srv| {
                    format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)
                });
                format!("{} for {} s", each.collect::<Vec<_>>().join(", "), answer.ttl.as_secs())
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn records_of_the_name_count_and_no_others() {
        let two = [
            (NAME, 20, 0, 7460, "AGG2.codfw.example.org"),
            (NAME, 10, 5, 7461, "agg1.codfw.example.org"),
            (NAME, 10, 5, 7461, "agg1.codfw.example.org"),
            ("_other._udp.codfw.example.org", 0, 0, 1, "stranger.example.org"),
            (NAME, 0, 0, 0, "portless.example.org"),
            (NAME, 0, 0, 9, "under_score.example.org"),
        ];
        check(
            &reply(&two, None),
            "10 5 7461 agg1.codfw.example.org, 20 0 7460 agg2.codfw.example.org for 60 s",
        );
        check(&reply(&two[3..], None), "there are no SRV records");
    }

    #[test]
    fn an_alias_is_followed() {
        let records = [("real.example.org", 1, 2, 3, "agg1.example.org")];
        check(
            &reply(&records, Some((NAME, "real.example.org"))),
            "1 2 3 agg1.example.org for 60 s",
        );
        check(
            &reply(&records, Some(("x.example.org", "real.example.org"))),
            "there are no SRV records",
        );
    }

    #[test]
    fn what_is_no_answer_says_why() {
        check(b"", "the message cannot be read");
        check(&encode_query(7, NAME).unwrap(), "the message does not answer the question");
        let good = reply(&[(NAME, 1, 2, 3, "agg1.example.org")], None);
        let mut other = good.clone();
        other[1] = 8;
        check(&other, "the message does not answer the question");
        let mut cut = good.clone();
        cut[2] |= 0x02;
        check(&cut, "truncated");
        let mut none = good.clone();
        none[3] |= 0x03;
        check(&none, "the name server says NXDOMAIN");
        let mut many = good.clone();
        many[6] = 0xff;
        check(&many, "the message cannot be read");
        check(&good[..good.len() - 3], "the message cannot be read");
        assert_eq!(encode_query(1, &"a".repeat(300)), Err(AnswerError::Unreadable));
    }
}
