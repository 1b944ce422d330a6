//! Who may ask: users of the socket by their credentials, users of HTTPS by their token.

use std::ffi::CString;
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::ask::{Granted, Reader};
use super::problem::Problem;

/// The group whose members are admins of the aggregator on its socket.
pub const ADMIN_GROUP: &str = "muster-admin";
/// Longest token that is looked at. Bytes.
pub const TOKEN_BYTES_MAX: usize = 512;

/// Says who has a token; `None` when nobody does. Must take the same time for every wrong token: compare hashes.
pub type TokenCheck = Arc<dyn Fn(&str) -> Option<Reader> + Send + Sync>;

/// Who is on the other end of a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Its primary group at the time of the call.
    pub gid: u32,
}

/// Lets in root, our own user, and the members of a group.
///
/// # Errors
/// [`Problem`] 403 for everybody else. Asks the user database, so it blocks.
pub fn admit_caller(caller: Caller, group: &str) -> Result<Reader, Problem> {
    let allowed =
        caller.uid == 0 || caller.uid == Uid::effective().as_raw() || is_member(caller, group);
    if allowed {
        return Ok(Reader { name: format!("uid {}", caller.uid), granted: Granted::All });
    }
    Err(Problem::forbidden(format!("user {} is not root and not in the group {group}", caller.uid)))
}

/// Lets in who has a token, from the value of the `Authorization` field.
///
/// # Errors
/// [`Problem`] 401 without a token, or with one that nobody has.
pub fn admit_token(authorization: Option<&str>, check: &TokenCheck) -> Result<Reader, Problem> {
    let Some(value) = authorization else {
        return Err(Problem::unknown_reader("send `Authorization: Bearer TOKEN`"));
    };
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.map(|(_, token)| token.trim()).filter(|token| token.len() <= TOKEN_BYTES_MAX) {
        Some(token) => check(token)
            .ok_or_else(|| Problem::unknown_reader("the token is not known or has expired")),
        None => Err(Problem::unknown_reader("`Authorization` must be `Bearer TOKEN`")),
    }
}

fn is_member(caller: Caller, group: &str) -> bool {
    let Ok(Some(group)) = Group::from_name(group) else { return false };
    if group.gid.as_raw() == caller.gid {
        return true;
    }
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(caller.uid)) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, Gid::from_raw(caller.gid)).is_ok_and(|groups| groups.contains(&group.gid))
}
