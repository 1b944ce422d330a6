//! A durable queue of sealed entries on disk: group commit, several cursors, crash-proof. std only.
