//! Completions and the manual page, from the words.
//!
//! The committed page under `packaging/man` is this one; a test says when they differ.

use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::ending::{Ending, Fatal};
use crate::words::{CONFIG, EXIT_CODES, Words};

pub(crate) fn write_completions(shell: Shell, out: &mut dyn Write) -> Result<Ending, Fatal> {
    // The generator panics when its writer fails, so it gets a buffer.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Words::command(), "musterctl", &mut script);
    out.write_all(&script)?;
    Ok(Ending::Fine)
}

pub(crate) fn write_man(out: &mut dyn Write) -> Result<Ending, Fatal> {
    let mut page = Vec::new();
    write_page(&mut page)?;
    out.write_all(&page)?;
    Ok(Ending::Fine)
}

/// musterctl(1): one page with a section for each command.
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
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_verb(verb, out)?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"\n{EXIT_CODES}\n.SH FILES\n{CONFIG}")?;
    writeln!(
        out,
        ".SH \"SEE ALSO\"\n\\fBmuster\\-agent\\fR(1), \\fBmuster\\-aggregator\\fR(1), \\fBmuster\\-checks\\fR(7)"
    )
}

/// A subsection for a command, the headings of clap left out.
fn write_verb(verb: &clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, ".SS \"{}\"", verb.get_bin_name().unwrap_or(verb.get_name()))?;
    let man = Man::new(verb.clone().mut_args(|arg| {
        let everywhere = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(everywhere)
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `MUSTER_BLESS=1 cargo test -p musterctl manual` writes the page anew.
    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = format!("{}/../../packaging/man/musterctl.1", env!("CARGO_MANIFEST_DIR"));
        let mut page = Vec::new();
        write_page(&mut page).unwrap();
        if std::env::var_os("MUSTER_BLESS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        assert!(committed == page, "{path} is not what the program prints: bless it");
    }
}
