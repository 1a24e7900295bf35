//! The `rollcage` command.

fn main() {
    std::process::exit(rollcage::cli::main());
}
