//! The process in which the tests render.

fn main() -> std::io::Result<()> {
    mrp_netboot::render::worker()
}
