//! Writes the Grafana dashboards: `cargo run -p rag-tower-tests --bin dashboards`.

use rag_tower_tests::{dashboards, patched};

fn main() -> std::io::Result<()> {
    let folder = patched::workspace().join("grafana/dashboards");
    std::fs::create_dir_all(&folder)?;
    for dashboard in dashboards::all() {
        let path = folder.join(format!("{}.json", dashboard.uid));
        std::fs::write(&path, dashboard.file())?;
        println!("{}", path.display());
    }
    Ok(())
}
