//! Manual pages and shell completions, generated from the words themselves.
//!
//! The committed pages under `packaging/man` are these; a test of each program says when they differ.

use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// A program's page in section 1: its words, and what they do not say.
pub struct Manual<'a> {
    /// The words.
    pub command: Command,
    /// Sections after the commands: heading and roff.
    pub more: &'a [(&'a str, &'a str)],
    /// How a run can end.
    pub exit_codes: &'a str,
    /// What the environment says.
    pub environment: &'a str,
    /// Where things lie by default: path and what it is.
    pub files: &'a [(&'a str, &'a str)],
    /// Other pages: name and section.
    pub see_also: &'a [(&'a str, u8)],
}

impl Manual<'_> {
    /// One page with a section for each command that does something.
    ///
    /// # Errors
    /// Those of the writer: none when it is a `Vec`.
    pub fn page(mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.command.build();
        let man = Man::new(self.command.clone()).manual("Muster");
        man.render_title(&mut out)?;
        man.render_name_section(&mut out)?;
        man.render_synopsis_section(&mut out)?;
        man.render_description_section(&mut out)?;
        man.render_options_section(&mut out)?;
        writeln!(out, ".SH COMMANDS")?;
        write_verbs(&self.command, &mut out)?;
        for (heading, text) in self.more {
            writeln!(out, ".SH {heading}\n{text}")?;
        }
        writeln!(out, ".SH \"EXIT STATUS\"\n{}", self.exit_codes)?;
        writeln!(out, ".SH ENVIRONMENT\n{}\n.SH FILES", self.environment)?;
        for (path, what) in self.files {
            writeln!(out, ".TP\n\\fI{path}\\fR\n{what}")?;
        }
        let page = |(name, section): &(&str, u8)| {
            format!("\\fB{}\\fR({section})", name.replace('-', "\\-"))
        };
        let pages: Vec<String> = self.see_also.iter().map(page).collect();
        writeln!(out, ".SH \"SEE ALSO\"\n{}", pages.join(", "))?;
        Ok(out)
    }
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

/// The completion script of a program for a shell.
pub fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    // The generator panics when its writer fails (head, a full disk), so it gets a buffer.
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// For tests: is `path` what the program prints? With `MUSTER_BLESS=1` it is written anew first.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn assert_committed(path: &Path, page: &[u8]) {
    if std::env::var_os("MUSTER_BLESS").is_some() {
        let written = std::fs::write(path, page);
        assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    let committed = std::fs::read(path).unwrap_or_default();
    assert!(committed == page, "{} is not what the program prints: bless it", path.display());
}
