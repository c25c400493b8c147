//! Builds the shim against the DPDK that pkg-config finds, if that was asked for.

fn main() {
    println!("cargo:rerun-if-changed=shim.c");
    #[cfg(feature = "linked")]
    linked();
}

/// Of DPDK's libraries, those that have what is called. Its drivers are loaded when a program starts; of one a function
/// is called, in tests alone.
#[cfg(feature = "linked")]
const LIBRARIES: [&str; 6] =
    ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal", "rte_net_ring"];

#[cfg(feature = "linked")]
fn linked() {
    // DPDK's own list of libraries names all there are.
    let found = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk");
    let dpdk = found.unwrap_or_else(|error| {
        panic!(
            "the feature dpdk needs DPDK 22.11 or later: `apt-get install libdpdk-dev pkg-config`, or let \
             PKG_CONFIG_PATH name the folder that has libdpdk.pc, or leave the feature out; pkg-config says: {error}"
        )
    });
    let mut shim = cc::Build::new();
    shim.file("shim.c").opt_level(3).flag("-include").flag("rte_config.h").std("gnu11");
    // What DPDK's inline functions may use of the processor; distributions build for an old one.
    if cfg!(target_arch = "x86_64") {
        shim.flag("-march=corei7");
    }
    // Its headers are not ours to mend.
    for folder in &dpdk.include_paths {
        shim.flag("-isystem").flag(folder.to_string_lossy().as_ref());
    }
    shim.compile("daedal_dpdk");
    for folder in &dpdk.link_paths {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
    for library in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}
