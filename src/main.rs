//! The `rollcage` command.

fn main() {
    if std::env::args().nth(1).as_deref() == Some(rollcage::world::inference::WORKER_ARGUMENT) {
        std::process::exit(rollcage::world::inference::worker_main());
    }
}
