//! Owns the pinned ONNX Runtime: its version and, for each platform, the wheel and library that are accepted.
//!
//! There is no wheel of this version for macOS on x86-64 and none for musl; there a library must be named.

/// The pinned version of ONNX Runtime.
pub const VERSION: &str = "1.32.0";

/// One platform's pin. The library inside is the same file in the wheel of every Python version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    /// What `pip download --platform` wants.
    pub(crate) platform: &'static str,
    /// SHA-256 of the CPython 3.12 wheel, hexadecimal.
    pub(crate) wheel_sha256: &'static str,
    /// The library's path inside the wheel.
    pub(crate) member: &'static str,
    /// SHA-256 of the library, hexadecimal.
    pub(crate) library_sha256: &'static str,
}

impl Pin {
    /// The library's file name.
    pub(crate) fn file_name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}

const LINUX_X86_64: Pin = Pin {
    platform: "manylinux_2_28_x86_64",
    wheel_sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
    member: "onnxruntime/capi/libonnxruntime.so.1.32.0",
    library_sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
};

const LINUX_AARCH64: Pin = Pin {
    platform: "manylinux_2_28_aarch64",
    wheel_sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
    member: "onnxruntime/capi/libonnxruntime.so.1.32.0",
    library_sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
};

const MACOS_ARM64: Pin = Pin {
    platform: "macosx_14_0_arm64",
    wheel_sha256: "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
    member: "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
    library_sha256: "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
};

const WINDOWS_X86_64: Pin = Pin {
    platform: "win_amd64",
    wheel_sha256: "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
    member: "onnxruntime/capi/onnxruntime.dll",
    library_sha256: "443c0065fcdba17618ddef05050308f4b471893c5c7da0337d6957c9073ad8a7",
};

const WINDOWS_ARM64: Pin = Pin {
    platform: "win_arm64",
    wheel_sha256: "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
    member: "onnxruntime/capi/onnxruntime.dll",
    library_sha256: "a5c1951a7d495fa0c22a0865fe36981fe67f9d5dc7ba3893c20fa7266dd1e994",
};

/// The pin of the machine this was built for, or `None` where no wheel exists.
pub(crate) fn here() -> Option<Pin> {
    let musl = cfg!(target_env = "musl");
    of(std::env::consts::OS, std::env::consts::ARCH, musl)
}

fn of(os: &str, arch: &str, musl: bool) -> Option<Pin> {
    match (os, arch, musl) {
        ("linux", "x86_64", false) => Some(LINUX_X86_64),
        ("linux", "aarch64", false) => Some(LINUX_AARCH64),
        ("macos", "aarch64", _) => Some(MACOS_ARM64),
        ("windows", "x86_64", _) => Some(WINDOWS_X86_64),
        ("windows", "aarch64", _) => Some(WINDOWS_ARM64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_well_formed_and_distinct() {
        let all = [LINUX_X86_64, LINUX_AARCH64, MACOS_ARM64, WINDOWS_X86_64, WINDOWS_ARM64];
        let mut hashes: Vec<&str> = all.iter().flat_map(|pin| [pin.wheel_sha256, pin.library_sha256]).collect();
        for hash in &hashes {
            assert_eq!(hash.len(), 64);
            assert!(hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{hash}");
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 2 * all.len(), "a hash was pasted twice");
        let versioned = all.iter().filter(|pin| pin.member.contains(VERSION)).count();
        assert_eq!(versioned, 3, "the libraries of Linux and macOS carry the version in their names");
    }

    #[test]
    fn platforms_without_a_wheel_have_no_pin() {
        assert_eq!(of("linux", "x86_64", true), None);
        assert_eq!(of("macos", "x86_64", false), None);
        assert_eq!(of("linux", "riscv64", false), None);
        assert_eq!(of("linux", "x86_64", false), Some(LINUX_X86_64));
        assert_eq!(LINUX_X86_64.file_name(), "libonnxruntime.so.1.32.0");
    }
}
