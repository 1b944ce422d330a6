//! Completions and the manual page, from the words.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::ending::{Ending, Fatal};
use crate::words::Words;

pub(crate) fn write_completions(shell: Shell, out: &mut dyn Write) -> Result<Ending, Fatal> {
    // The generator panics when its writer fails, so it gets a buffer.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Words::command(), "musterctl", &mut script);
    out.write_all(&script)?;
    Ok(Ending::Fine)
}

pub(crate) fn write_man(out: &mut dyn Write) -> Result<Ending, Fatal> {
    let mut command = Words::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for verb in
        command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let man = clap_mangen::Man::new(verb.clone());
        writeln!(out, ".SH \"COMMAND {}\"", verb.get_name().to_uppercase())?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
    }
    Ok(Ending::Fine)
}
