//! The reference configuration that ships in the package, compared with the code.

use muster_program::reference::Reference;

use super::Config;

#[test]
fn the_reference_configuration_says_what_the_code_does() {
    let reference = Reference {
        text: include_str!("../../../packaging/etc/muster/agent.toml"),
        least: "",
        settle: Config::settle,
        read: Config::read,
    };
    reference.check();
}
