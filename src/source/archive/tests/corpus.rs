//! Hostile archives: each is refused with its sentence, and nothing of it stays or gets out.

use super::*;
use crate::model::limits::KIB;

/// Small, so that a test needs no gigabytes.
const BUDGET: Budget = Budget { entries: 1000, bytes: 40 * MIB, depth: 8, blob: 32 * MIB };

/// Twice the files, and their headers.
const MAX_DISK_BYTES: u64 = 2 * (40 * MIB + 1000 * 2 * KIB);

const CUT: &str = "the archive was cut off: it ends before its end mark";
const DAMAGED: &str = "the archive is damaged: it cannot be inflated";
const NO_TAR: &str = "this is no tar archive; mini takes tar and tar.gz";

/// Tries an archive in a folder of its own beside a canary; returns the sentence of the refusal, or `taken`.
fn attempt(archive: &[u8]) -> String {
    let around = TempDir::new().unwrap();
    let (tmp, canary) = (around.path().join("tmp"), around.path().join("canary"));
    std::fs::create_dir(&tmp).unwrap();
    std::fs::write(&canary, "sings").unwrap();
    let disk = std::cell::Cell::new(0);
    let watch = || {
        disk.set(disk.get().max(disk_bytes(&tmp)));
        false
    };

    let result = respool(archive, &tmp, BUDGET, &watch).and_then(|upload| upload.into_context(&watch)).map(drop);

    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "something was left behind");
    assert_eq!(std::fs::read_dir(around.path()).unwrap().count(), 2, "something got out");
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "sings");
    assert!(disk.get() <= MAX_DISK_BYTES, "{} bytes on disk", disk.get());
    let told = |err: Error| {
        assert!(err.next_step().is_some(), "{err} has no hint");
        err.sentence().to_owned()
    };
    result.map_or_else(told, |()| "taken".to_owned())
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { disk_bytes(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

fn cannot(path: &str, why: &str) -> String {
    format!("`{path}` cannot be part of a source: {why}")
}

fn of_kind(kind: u8, path: &str, target: &str) -> Vec<u8> {
    Maker::gnu().entry(EntryType::new(kind), path, target, 0o644, b"").end()
}

fn with_pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    Maker::ustar().pax(records).file("a", "1234").end()
}

/// A gzip of a good tar, to be cut or bent.
fn packed() -> Vec<u8> {
    gzip(&Maker::gnu().file("a", b"some content".repeat(500)).end())
}

#[test]
fn a_name_cannot_leave_the_source() {
    let file = |path: &str| Maker::gnu().file(path, "x").end();
    let outside = "it points outside of its folder";

    assert_eq!(attempt(&file("/etc/passwd")), cannot("/etc/passwd", "it is not a relative, clean path"));
    assert_eq!(attempt(&file(".//etc/passwd")), cannot("/etc/passwd", "it is not a relative, clean path"));
    assert_eq!(attempt(&file("../canary")), cannot("../canary", outside));
    assert_eq!(attempt(&file("a/../../canary")), cannot("a/../../canary", outside));
    assert_eq!(attempt(&with_pax(&[("path", b"../canary")])), cannot("../canary", outside));
    assert_eq!(attempt(&with_pax(&[("path", b"a\0b")])), cannot("a\\0b", "its name has a NUL in it"));
    assert_eq!(attempt(&with_pax(&[("path", b"")])), "the source has an entry without a name");
    assert_eq!(attempt(&file("a/.GIT/hooks/x")), cannot("a/.GIT/hooks/x", "a source has no `.git` in it"));
}

#[test]
fn giant_names_are_refused_before_they_are_read() {
    let giant = |kind| Maker::gnu().header(kind, "x", "", 0o644, 2 << 30).bytes();
    let long_target = Maker::gnu().entry(EntryType::GNULongLink, "x", "", 0o644, &[b'x'; 5000]).end();

    assert_eq!(attempt(&giant(EntryType::GNULongName)), "the archive has a name of more than 4095 bytes");
    assert_eq!(attempt(&long_target), "the archive has a name of more than 4095 bytes");
    assert_eq!(attempt(&giant(EntryType::XHeader)), "the archive has a PAX header of more than 1048576 bytes");
    assert_eq!(attempt(&with_pax(&[("path", &[b'x'; 256])])), cannot(&format!("{}…", "x".repeat(120)), "its name is too long"));
}

#[test]
fn two_programs_cannot_be_told_two_things() {
    let twice = Maker::ustar().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", "x").end();
    let gnu_and_pax = Maker::gnu().entry(EntryType::GNULongName, "L", "", 0o644, b"a\0").pax(&[("path", b"b")]).file("c", "x").end();
    let hidden = |kind| Maker::gnu().entry(kind, "a", "b", 0o755, b"hidden").end();
    let for_all = Maker::ustar().global_pax(&[("size", b"9")]).file("a", "x").end();
    let told_twice = "the archive tells name or size of one entry twice";

    assert_eq!(attempt(&with_pax(&[("size", b"1028")])), cannot("a", "its size is told twice, and differently"));
    assert_eq!(attempt(&with_pax(&[("size", b"-1")])), "the archive has a PAX header that cannot be read");
    assert_eq!(attempt(&twice), told_twice);
    assert_eq!(attempt(&gnu_and_pax), told_twice);
    assert_eq!(attempt(&for_all), "the archive has one name or size for all of its entries");
    assert_eq!(attempt(&hidden(EntryType::Directory)), cannot("a", "it is no file and has content"));
    assert_eq!(attempt(&hidden(EntryType::Symlink)), cannot("a", "it is no file and has content"));
}

#[test]
fn nothing_is_written_or_read_through_a_link() {
    let through = Maker::gnu().link("l", "d").file("l/canary", "x").end();
    let link = |path: &str, target: &str| attempt(&Maker::gnu().link("s", ".").link(path, target).end());
    let leaves = |path: &str, target: &str| cannot(path, &format!("it links to `{target}`, which may be outside of it"));

    assert_eq!(attempt(&through), cannot("l/canary", "`l` is not a folder"));
    for (path, target) in [("l", "/etc"), ("l", ".."), ("a/l", "../../canary"), ("l", "s/s/../../canary"), ("l", "./a/..")] {
        assert_eq!(link(path, target), leaves(path, target));
    }
    assert_eq!(link("l", ""), cannot("l", "its link target is not a path"));
    assert_eq!(attempt(&of_kind(b'1', "shadow", "/etc/passwd")), cannot("shadow", "it is a hard link"));
    assert_eq!(attempt(&of_kind(b'1', "a", "a")), cannot("a", "it is a hard link"));
}

#[test]
fn only_files_folders_and_links_are_taken() {
    let sparse = with_pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"1099511627776")]);
    let cases = [
        (b'3', "it is a device"),
        (b'4', "it is a device"),
        (b'6', "it is a fifo"),
        (b'S', "it is a sparse file"),
        (b'V', "it is neither file, folder nor link"),
        (b'M', "it is neither file, folder nor link"),
    ];

    for (kind, why) in cases {
        assert_eq!(attempt(&of_kind(kind, "x", "")), cannot("x", why));
    }
    assert_eq!(attempt(&sparse), cannot("a", "it is a sparse file"));
}

#[test]
fn a_path_is_one_thing_and_comes_once() {
    let twice = "it is there twice";

    assert_eq!(attempt(&Maker::gnu().file("a", "1").file("a", "2").end()), cannot("a", twice));
    assert_eq!(attempt(&Maker::gnu().file("a", "1").file("./a", "2").end()), cannot("a", twice));
    assert_eq!(attempt(&Maker::gnu().file("a", "1").link("a", "b").end()), cannot("a", twice));
    assert_eq!(attempt(&Maker::gnu().folder("d/").file("d", "1").end()), cannot("d", twice));
    assert_eq!(attempt(&Maker::gnu().file("d", "1").folder("d/").end()), cannot("d", twice));
    assert_eq!(attempt(&Maker::gnu().file("d/x", "1").file("d", "1").end()), cannot("d", twice));
    assert_eq!(attempt(&Maker::gnu().file("d", "1").file("d/x", "1").end()), cannot("d/x", "`d` is not a folder"));
}

#[test]
fn bombs_are_stopped_by_what_they_unfold_to() {
    let files = |count: usize, below: &str| (0..count).fold(Maker::gnu(), |tar, number| tar.file(&format!("{number}{below}"), "")).end();
    let large = |count: usize, below: &str| {
        (0..count).fold(Maker::gnu(), |tar, number| tar.file(&format!("{below}{number}"), vec![7; 15 << 20])).end()
    };
    // In members, because packing takes its time in a test.
    let zeros = [gzip(&Maker::gnu().large_file("0", 20 << 20).bytes()), gzip(&vec![0; 256 << 10]).repeat(80)].concat();
    let too_many = "the source has more than 1000 files and folders";
    let too_large = "the source is larger than 40 MiB";

    assert_eq!(attempt(&zeros), "the archive unfolds to more than 200 times its size");
    assert_eq!(attempt(&gzip(&files(1100, ""))), too_many);
    assert_eq!(attempt(&files(300, "/a/b/c/d/e")), too_many, "folders that are only named count");
    assert_eq!(attempt(&files(1, "/b/c/d/e/f/g/h/i/j")), "the source has folders more than 8 deep");
    assert_eq!(attempt(&large(3, "")), too_large);
    assert_eq!(attempt(&large(3, ".git/")), too_large, "what is left out counts");
    assert_eq!(attempt(&Maker::gnu().large_file("x", 33 << 20).bytes()), "`x` is 33 MiB; one file may have 32 MiB");
    assert_eq!(attempt(&Maker::gnu().large_file("x", 8 << 60).bytes()), too_large);
}

#[test]
fn names_cannot_fill_the_memory() {
    let long = |number: usize| format!("{}/{number}", ["n".repeat(250).as_str(); 15].join("/"));
    let many = (0..9_000).fold(Maker::ustar(), |tar, number| tar.pax(&[("path", long(number).as_bytes())]).file("x", "")).end();
    let tmp = TempDir::new().unwrap();

    let err = respooled(&many, tmp.path()).unwrap_err();

    assert_eq!(err.sentence(), "the names in the source come to more than 32 MiB");
}

#[test]
fn headers_alone_cannot_go_on_for_ever() {
    let endless = Maker::ustar().global_pax(&[("comment", &vec![b'x'; 1_000_000])]).bytes().repeat(50);

    assert_eq!(attempt(&endless), "the archive is larger than 42 MiB");
}

#[test]
fn a_cut_archive_leaves_nothing_behind() {
    let tar = Maker::gnu().file("a", b"content".repeat(1000)).file("b", "x").end();
    let packed = packed();

    for length in [512, 1000, 3000, 7500, 7680, 8192, 8300, tar.len() - 1024] {
        assert_eq!(attempt(&tar[..length]), CUT, "cut at {length}");
    }
    for length in [2, 9, 30, packed.len() - 9, packed.len() - 8, packed.len() - 1] {
        assert_eq!(attempt(&packed[..length]), CUT, "cut at {length}");
    }
    assert_eq!(attempt(&Maker::ustar().pax(&[("path", b"x")]).end()), NO_TAR);
    assert_eq!(attempt(&Maker::ustar().file("a", "1").pax(&[("path", b"x")]).end()), "the archive is damaged behind `a`");
}

#[test]
fn damage_and_garbage_are_told_apart() {
    let flipped = |mut bytes: Vec<u8>, from_end: usize| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 0x55;
        bytes
    };
    let bad_checksum = flipped(Maker::gnu().file("a", "x").file("b", "x").end(), 2000);
    let inner: Vec<u8> = (0..4000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();

    assert_eq!(attempt(&flipped(packed(), 8)), DAMAGED, "wrong crc");
    assert_eq!(attempt(&flipped(packed(), 1)), DAMAGED, "wrong length");
    assert_eq!(attempt(&bad_checksum), "the archive is damaged behind `a`");
    assert_eq!(attempt(&b"garbage!".repeat(1000)), NO_TAR);
    assert_eq!(attempt(b"FROM scratch"), NO_TAR);
    assert_eq!(attempt(&gzip(&gzip(&Maker::gnu().file("a", inner).end()))), NO_TAR);
    assert_eq!(attempt(b"PK\x03\x04rest"), "the archive is packed with zip; mini takes tar and tar.gz");
    assert_eq!(attempt(b"\xfd7zXZ\0rest"), "the archive is packed with xz; mini takes tar and tar.gz");
}

/// A cheap fuzzer: whatever is bent, the answer is a sentence or a sound context, and nothing stays.
#[test]
fn bent_archives_are_answered() {
    let good = Maker::gnu().pax(&[("path", b"a/b"), ("size", b"3")]).file("x", "123").link("l", "a").folder("d").file("._x", APPLE_DOUBLE);
    let good = good.file(".dockerignore", "d").end();
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };

    for _ in 0..300 {
        let mut bent = good.clone();
        for _ in 0..=next(3) {
            let at = next(bent.len());
            bent[at] = [0, 0xff, b'/', b'7', b'.'][next(5)];
        }
        // Most would end at the checksum.
        for block in bent.chunks_exact_mut(512).filter(|block| block[0] != 0) {
            let sum: u32 = block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        attempt(&bent);
    }
}

#[test]
fn nothing_may_follow_the_end_mark() {
    let good = Maker::gnu().file("a", "x").end();
    let goes_on = "the archive goes on behind its end mark";

    assert_eq!(attempt(&[good.clone(), good.clone()].concat()), goes_on);
    assert_eq!(attempt(&gzip(&[good.clone(), vec![0; 2 << 20]].concat())), goes_on);
    assert_eq!(attempt(&[gzip(&good), b"garbage and more of it".to_vec()].concat()), DAMAGED);
    assert_eq!(attempt(&[gzip(&good), gzip(b"")[..10].to_vec()].concat()), CUT);
}

#[test]
fn an_archive_of_nothing_is_refused_in_words() {
    assert_eq!(attempt(b""), "the archive is empty");
    assert_eq!(attempt(&gzip(b"")), NO_TAR);
    assert_eq!(attempt(&Maker::gnu().end()), "the archive has no files in it");
    assert_eq!(attempt(&Maker::gnu().folder("./").folder("a").end()), "the archive has no files in it");
}

#[test]
fn owners_and_special_bits_are_dropped() {
    let tar = Maker::gnu().entry(EntryType::Regular, "su", "", 0o6755, b"#!").entry(EntryType::Regular, "w", "", 0o666, b"").end();
    let tmp = TempDir::new().unwrap();

    let context = respooled(&tar, tmp.path()).unwrap().into_context(&|| false).unwrap();

    let mut spooled = tar::Archive::new(std::fs::File::open(context.path()).unwrap());
    let headers = spooled.entries().unwrap().map(|entry| entry.unwrap().header().clone());
    let seen: Vec<_> = headers.map(|header| (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap())).collect();
    assert_eq!(seen, [(0o755, 0, 0), (0o644, 0, 0)]);
}
