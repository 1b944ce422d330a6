//! `completions` and `man`: generated from the words themselves.
//!
//! The committed page under `packaging/man` is this one; a test says when they differ.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::Outcome;
use crate::cli::{ENVIRONMENT, EXIT_CODES, FILES, Words};
use crate::fatal::Fatal;

pub(super) fn completions(shell: clap_complete::Shell) -> Outcome {
    // The generator panics when its writer fails (head, a full disk), so it gets a buffer.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Words::command(), "muster-aggregator", &mut script);
    print(&script)
}

pub(super) fn page() -> Outcome {
    let mut page = Vec::new();
    write_page(&mut page).map_err(failed)?;
    print(&page)
}

fn print(bytes: &[u8]) -> Outcome {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn failed(source: io::Error) -> Fatal {
    Fatal::System { what: "print the manual page", source }
}

/// muster-aggregator(1): one page with a section for each command.
fn write_page(out: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Words::command();
    command.build();
    let man = Man::new(command.clone()).manual("Muster");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    write_verbs(&command, out)?;
    writeln!(out, ".SH CHECKS\n{}", crate::checks::manual())?;
    writeln!(out, ".SH \"EXIT STATUS\"\n{EXIT_CODES}\n.SH ENVIRONMENT\n{ENVIRONMENT}\n.SH FILES")?;
    for (path, what) in FILES {
        writeln!(out, ".TP\n\\fI{path}\\fR\n{what}")?;
    }
    writeln!(out, ".SH \"SEE ALSO\"\n\\fBmuster\\-agent\\fR(1), \\fBmusterctl\\fR(1)")
}

/// A subsection for each command that does something, the headings of clap left out.
fn write_verbs(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        if verb.has_subcommands() {
            write_verbs(verb, out)?;
            continue;
        }
        writeln!(out, ".SS \"{}\"", verb.get_bin_name().unwrap_or(verb.get_name()))?;
        let everywhere = |arg: &clap::Arg| arg.is_global_set() || arg.get_id() == "help";
        let man = Man::new(verb.clone().mut_args(|arg| {
            let hide = everywhere(&arg);
            arg.hide(hide)
        }));
        let mut parts = Vec::new();
        man.render_synopsis_section(&mut parts)?;
        man.render_description_section(&mut parts)?;
        man.render_options_section(&mut parts)?;
        for line in String::from_utf8_lossy(&parts).lines() {
            match line {
                ".SH SYNOPSIS" | ".SH OPTIONS" => {}
                ".SH DESCRIPTION" => writeln!(out, ".PP")?,
                // The definition of the apostrophe stands once, at the top.
                line if line.starts_with(".ie ") || line.starts_with(".el ") => {}
                line => writeln!(out, "{line}")?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `MUSTER_BLESS=1 cargo test -p muster-aggregator manual` writes the page anew.
    fn check(name: &str, page: &[u8]) {
        let path = format!("{}/../packaging/man/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("MUSTER_BLESS").is_some() {
            std::fs::write(&path, page).unwrap();
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        assert!(committed == page, "{path} is not what the program prints: bless it");
    }

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let mut page = Vec::new();
        write_page(&mut page).unwrap();
        check("muster-aggregator.1", &page);
    }
}
