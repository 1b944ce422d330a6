//! PEM, written (RFC 7468). It is read by `rustls_pki_types`.
//!
//! Room: `link`.  Used by: `identity`, `ca`.

/// Certificates as PEM, one after the other.
pub fn pem_of(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pem_block("CERTIFICATE", der)).collect()
}

/// One PEM block (RFC 7468): 64 characters a line.
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = String::with_capacity(der.len().div_ceil(3) * 4);
    for three in der.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            digits.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    let mut block = format!("-----BEGIN {label}-----\n");
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        block.push_str(line);
        block.push('\n');
        rest = after;
    }
    block.push_str(&format!("-----END {label}-----\n"));
    block
}
