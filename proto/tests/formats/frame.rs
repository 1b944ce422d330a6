//! The envelope: [`muster_proto::frame`].

use muster_proto::clock::Utc;
use muster_proto::frame::{
    BodyFacts, FrameError, Header, Kind, SealError, Sealed, Sealer, inflate, open,
};
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::limits::{
    FRAME_BODY_BYTES_MAX, FRAME_BYTES_MAX, FRAME_RAW_BYTES_MAX, FRAME_RECORDS_MAX,
};

use crate::{AT, STREAM};

fn facts() -> BodyFacts {
    BodyFacts { kind: Kind::Log, dict: 3, records: 2, first_at: Utc(-5), last_at: AT }
}

fn seal(raw: &[u8]) -> Sealed {
    Sealer::new().unwrap().seal(facts(), raw).unwrap()
}

fn frame(raw: &[u8]) -> (Header, Vec<u8>) {
    let sealed = seal(raw);
    let header = sealed.header(Lane::Logs, STREAM, Seq(9));
    (header, [&header.encode()[..], &sealed.body].concat())
}

/// A header with `change` made to its bytes and a checksum that fits again.
fn patched(change: impl FnOnce(&mut [u8; Header::BYTES])) -> [u8; Header::BYTES] {
    let mut bytes = frame(b"x").0.encode();
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn what_is_sealed_opens_and_inflates_to_the_same_bytes() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut raw = Vec::new();
    for len in [0, 1, 2, 1_000, 100_000, 900_000] {
        let text: Vec<u8> = (0..len).map(|_| rng.u8(0..64)).collect();
        let (header, bytes) = frame(&text);
        assert_eq!(header.frame_len(), bytes.len());
        let (opened, body) = open(&bytes).unwrap();
        assert_eq!(opened, header);
        inflate(&opened, body, &mut raw).unwrap();
        assert_eq!(raw, text);
    }
}

#[test]
fn every_header_value_survives() {
    for (lane, kind) in [
        (Lane::State, Kind::State),
        (Lane::Metrics, Kind::Dict),
        (Lane::Bulk, Kind::Bulk),
        (Lane::Metrics, Kind::Metric),
    ] {
        let header = Header {
            lane,
            kind,
            stream: STREAM,
            seq: Seq(u64::MAX),
            dict: u64::MAX - 1,
            records: FRAME_RECORDS_MAX as u32,
            raw_len: FRAME_RAW_BYTES_MAX as u32,
            body_len: FRAME_BODY_BYTES_MAX as u32,
            body_crc: u32::MAX,
            first_at: Utc(i64::MIN),
            last_at: Utc(i64::MAX),
        };
        assert_eq!(Header::parse(&header.encode()), Ok(header));
        assert_eq!(header.frame_len() as u64, FRAME_BYTES_MAX);
    }
}

#[test]
fn the_bytes_stand_where_the_table_says() {
    let bytes = frame(b"x").0.encode();
    assert_eq!(bytes[..8], [b'M', b'S', b'T', b'R', 1, 3, 1, 1]);
    assert_eq!(bytes[8..24], STREAM.0);
    assert_eq!(bytes[24..40], [9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[40..48], [2, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[56..64], (-5_i64).to_le_bytes());
    assert_eq!(bytes[72..76], [0; 4]);
}

#[test]
fn any_changed_bit_of_the_header_is_refused() {
    let bytes = frame(b"some text").1;
    for at in 0..Header::BYTES {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            let expected = if at < 4 { FrameError::Magic } else { FrameError::HeaderCrc };
            assert_eq!(open(&bad), Err(expected), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn any_changed_byte_of_the_body_is_refused() {
    let bytes = frame(&[b'y'; 5_000]).1;
    for at in Header::BYTES..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        assert_eq!(open(&bad), Err(FrameError::BodyCrc), "byte {at}");
    }
}

#[test]
fn a_frame_cut_at_any_length_is_short() {
    let bytes = frame(b"some text that is cut").1;
    for have in 0..bytes.len() {
        let need = if have < Header::BYTES { Header::BYTES } else { bytes.len() };
        assert_eq!(open(&bytes[..have]), Err(FrameError::Short { have, need }));
    }
    let longer = [&bytes[..], b"the next frame"].concat();
    assert!(open(&longer).is_ok(), "what follows is not looked at");
}

#[track_caller]
fn check_patched(change: impl FnOnce(&mut [u8; Header::BYTES]), expected: &str) {
    assert_eq!(Header::parse(&patched(change)).unwrap_err().to_string(), expected);
}

#[test]
fn each_field_has_its_limit() {
    let put = |at: usize, value: usize| {
        move |bytes: &mut [u8; Header::BYTES]| {
            bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
    };
    check_patched(
        put(40, FRAME_RECORDS_MAX + 1),
        "frame field records is 262145, over the limit of 262144",
    );
    check_patched(
        put(44, FRAME_RAW_BYTES_MAX + 1),
        "frame field raw_len is 4194305, over the limit of 4194304",
    );
    check_patched(
        put(48, FRAME_BODY_BYTES_MAX + 1),
        "frame field body_len is 1048577, over the limit of 1048576",
    );
    check_patched(|b| b[4] = 2, "frame version 2 is not known here");
    for (at, field) in [(5, "lane"), (6, "kind"), (7, "codec")] {
        for value in [0, 6, 255] {
            let expected = format!("frame field {field} has the unknown value {value}");
            check_patched(|b| b[at] = value, &expected);
        }
    }
}

#[test]
fn a_body_that_inflates_to_another_length_is_refused() {
    let (header, bytes) = frame(&[b'z'; 10_000]);
    let body = &bytes[Header::BYTES..];
    let mut raw = Vec::new();
    for raw_len in [0, 9_999, 10_001, FRAME_RAW_BYTES_MAX as u32] {
        let lying = Header { raw_len, ..header };
        assert_eq!(inflate(&lying, body, &mut raw), Err(FrameError::Inflate), "{raw_len}");
    }
    assert_eq!(inflate(&header, b"not zstd at all", &mut raw), Err(FrameError::Inflate));
    assert_eq!(inflate(&header, &body[..body.len() - 1], &mut raw), Err(FrameError::Inflate));
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    assert!(bomb.len() < FRAME_BODY_BYTES_MAX);
    let lying = Header { raw_len: FRAME_RAW_BYTES_MAX as u32, ..header };
    assert_eq!(inflate(&lying, &bomb, &mut raw), Err(FrameError::Inflate));
    assert!(raw.capacity() <= 2 * FRAME_RAW_BYTES_MAX, "a bomb does not fill the memory");
}

#[test]
fn a_body_over_a_limit_is_not_sealed() {
    let mut sealer = Sealer::new().unwrap();
    let mut refused = |facts, raw: &[u8]| match sealer.seal(facts, raw) {
        Err(SealError::Limit { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(facts(), &vec![0; FRAME_RAW_BYTES_MAX + 1]), "raw bytes");
    let many = BodyFacts { records: FRAME_RECORDS_MAX as u32 + 1, ..facts() };
    assert_eq!(refused(many, b""), "records");
    let mut rng = fastrand::Rng::with_seed(5);
    let noise: Vec<u8> = (0..FRAME_BODY_BYTES_MAX + 1).map(|_| rng.u8(..)).collect();
    assert_eq!(refused(facts(), &noise), "compressed bytes");
}

#[test]
fn any_bytes_end_in_an_answer() {
    let mut rng = fastrand::Rng::with_seed(8);
    let mut raw = Vec::new();
    for _ in 0..5_000 {
        let mut bytes = patched(|head| {
            for _ in 0..rng.usize(0..4) {
                head[rng.usize(4..76)] = rng.u8(..);
            }
        })
        .to_vec();
        bytes.extend((0..rng.usize(0..200)).map(|_| rng.u8(..)));
        if let Ok(header) = Header::parse(&bytes) {
            let _ = open(&bytes);
            let _ = inflate(&header, &bytes[Header::BYTES..], &mut raw);
        }
    }
}
