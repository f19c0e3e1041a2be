//! Compiles the kernels of `src/cuda` to PTX, if the feature `cuda` is on.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::compile();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::path::Path;

    pub(super) fn compile() {
        println!("cargo::rerun-if-changed=src/cuda");
        let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
        let kernels = cudaforge::KernelBuilder::new()
            .source_dir("src/cuda")
            .arg("-std=c++17")
            .arg("-O3")
            .build_ptx()
            .unwrap_or_else(|error| panic!("cannot compile the kernels of src/cuda: {error}"));
        kernels
            .write(Path::new(&out).join("ptx.rs"))
            .unwrap_or_else(|error| panic!("cannot write the list of kernels: {error}"));
    }
}
