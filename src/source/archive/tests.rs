//! Archives of ordinary programs, and what becomes of them; the hostile ones are in `corpus`.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::super::EntryKind as Kind;
use super::*;

mod corpus;
mod maker;

use maker::{Maker, gzip};

pub(super) fn respooled(archive: &[u8], tmp: &Path) -> Result<Upload> {
    respool(archive, tmp, Budget::default(), &|| false)
}

/// Path → mode and content or link target.
pub(super) fn unpacked(context: &Context) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    context
        .entries()
        .unwrap()
        .walk(|entry| {
            let text = match entry.what {
                Kind::Folder => "folder".to_owned(),
                Kind::Link(target) => format!("-> {}", show(target)),
                Kind::File { executable, content, .. } => {
                    let mut bytes = Vec::new();
                    content.read_to_end(&mut bytes).unwrap();
                    format!("{}{}", if executable { "x " } else { "" }, show(&bytes))
                }
            };
            found.insert(show(entry.path), text);
            Ok(())
        })
        .unwrap();
    found
}

fn built(archive: &[u8]) -> BTreeMap<String, String> {
    let tmp = TempDir::new().unwrap();
    unpacked(&respooled(archive, tmp.path()).unwrap().into_context(&|| false).unwrap())
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(path, what)| ((*path).to_owned(), (*what).to_owned())).collect()
}

/// Runs a real tar over a small tree and returns what it wrote.
fn real_tar(arguments: &[&str]) -> Vec<u8> {
    let tree = TempDir::new().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "ü".repeat(90));
    std::fs::create_dir_all(tree.path().join("d".repeat(120))).unwrap();
    std::fs::write(tree.path().join(long), "long").unwrap();
    std::fs::write(tree.path().join("Dockerfile"), "FROM scratch").unwrap();
    std::os::unix::fs::symlink("Dockerfile", tree.path().join("link")).unwrap();
    let output = std::process::Command::new("tar").args(arguments).args(["-c", "."]).current_dir(tree.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn what_ordinary_programs_pack_is_taken() {
    let long_folder = "d".repeat(120);
    let long = format!("{long_folder}/{}", "ü".repeat(90));
    let wanted = map(&[("Dockerfile", "FROM scratch"), ("link", "-> Dockerfile"), (&long_folder, "folder"), (&long, "long")]);

    for arguments in [
        &["--format=gnu"][..],
        &["--format=pax"],
        &["--format=posix", "-z"],
        &["--format=gnu", "-z", "--numeric-owner"],
        &["-b1"],
        &["-b64"],
    ] {
        assert_eq!(built(&real_tar(arguments)), wanted, "tar {arguments:?}");
    }
}

#[test]
fn old_and_small_formats_are_taken() {
    let ustar = Maker::ustar().file("./a/b", "1").folder("c").end();
    let v7 = Maker::v7().file("x", "2").file("old-folder/", "").end();
    let one_end_block = Maker::gnu().file("a", "1").end_blocks(1);
    let padded = Maker::gnu().file("a", "1").end_blocks(2048);

    assert_eq!(built(&ustar), map(&[("a", "folder"), ("a/b", "1"), ("c", "folder")]));
    assert_eq!(built(&v7), map(&[("old-folder", "folder"), ("x", "2")]));
    assert_eq!(built(&one_end_block), map(&[("a", "1")]));
    assert_eq!(built(&padded), map(&[("a", "1")]));
}

#[test]
fn gzip_in_several_members_is_one_archive() {
    let tar = Maker::gnu().file("a", "1").file("b", "2").end();
    let (one, two) = tar.split_at(700);

    assert_eq!(built(&[gzip(one), gzip(b""), gzip(two)].concat()), map(&[("a", "1"), ("b", "2")]));
}

#[test]
fn a_mac_packs_attributes_that_are_not_files() {
    let double = [&APPLE_DOUBLE[..], b"attributes"].concat();
    let xattr = "LIBARCHIVE.xattr.com.apple.provenance";
    let tar = Maker::ustar()
        .file("./._index.html", &double)
        .pax(&[("mtime", &b"1.5"[..]), (xattr, b"AQID"), ("SCHILY.xattr.com.apple.quarantine", b"\x00=\n")])
        .file("./index.html", "hi")
        .file("._mine", "not theirs")
        .end();

    assert_eq!(built(&tar), map(&[("index.html", "hi"), ("._mine", "not theirs")]));
}

#[test]
fn what_git_archive_writes_is_taken() {
    let tar = Maker::ustar().global_pax(&[("comment", b"1f3c9d2")]).folder("src/").file("src/main.rs", "fn main() {}").end();

    assert_eq!(built(&tar), map(&[("src", "folder"), ("src/main.rs", "fn main() {}")]));
}

#[test]
fn a_dockerignore_holds_wherever_it_comes() {
    let rules = "*.log\ndocs\nProcfile\n!docs/keep";
    let files = [("Procfile", "web: x"), ("a.log", "1"), ("docs/x", "2"), ("docs/keep", "3"), ("main", "4")];
    let wanted = map(&[(".dockerignore", rules), ("docs", "folder"), ("docs/keep", "3"), ("main", "4")]);
    let pack = |order: &[(&str, &str)]| order.iter().fold(Maker::gnu(), |tar, (path, text)| tar.file(path, text)).end();
    let first = pack(&[&[(IGNORE_FILE, rules)], &files[..]].concat());
    let last = pack(&[&files[..], &[(IGNORE_FILE, rules)]].concat());

    for archive in [first, last] {
        let tmp = TempDir::new().unwrap();
        let upload = respooled(&archive, tmp.path()).unwrap();
        assert!(upload.whole().manifest().has("a.log"), "the repository remembers all that came");
        let context = upload.into_context(&|| false).unwrap();

        assert_eq!(unpacked(&context), wanted);
        assert_eq!(context.manifest().root_text("Procfile").as_deref(), Some("web: x"), "mini reads it all the same");
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1, "the whole source was let go");
    }
}

#[test]
fn a_malformed_dockerignore_is_refused() {
    let tmp = TempDir::new().unwrap();
    let long = "x\n".repeat(40_000);

    let malformed = respooled(&Maker::gnu().file(".dockerignore", "[").end(), tmp.path()).unwrap_err();
    let endless = respooled(&Maker::gnu().file(".dockerignore", &long).end(), tmp.path()).unwrap_err();

    assert_eq!(malformed.sentence(), "line 1 of `.dockerignore` is not a pattern: `[`");
    assert_eq!(endless.sentence(), "`.dockerignore` is longer than 65536 bytes");
}

#[test]
fn history_is_left_out_with_a_warning() {
    let tar =
        Maker::gnu().folder("./").folder("./.git").file("./.git/config", "x").file("./sub/.git", "gitdir: ../x").file("./a", "1").end();
    let tmp = TempDir::new().unwrap();

    let upload = respooled(&tar, tmp.path()).unwrap();

    assert_eq!(unpacked(upload.whole()), map(&[("a", "1")]));
    assert_eq!(upload.whole().manifest().warnings(), ["`.git` was left out: a source is its files, not their history"]);
}

#[test]
fn one_folder_around_everything_is_named() {
    let tmp = TempDir::new().unwrap();
    let warnings = |tar: Maker| respooled(&tar.end(), tmp.path()).unwrap().whole().manifest().warnings().to_vec();

    let around = warnings(Maker::gnu().folder("app/").file("app/Dockerfile", "FROM scratch").file("app/src/x", "1"));
    let beside = warnings(Maker::gnu().file("app/Dockerfile", "FROM scratch").file("app-2/x", "1"));

    assert_eq!(around, ["everything is in the folder `app`; if that is the app itself, pack its content: tar -C app -c ."]);
    assert!(beside.is_empty());
}

#[test]
fn links_that_stay_inside_are_links() {
    let tar = Maker::gnu().link("a/b/up", "../../c").link("here", ".").link("bin/x", "../pkg/./x.js").file("c", "1").end();

    let links: Vec<_> = built(&tar).into_iter().filter(|(_, what)| what.starts_with("->")).collect();

    assert_eq!(
        links.into_iter().collect::<BTreeMap<_, _>>(),
        map(&[("a/b/up", "-> ../../c"), ("here", "-> ."), ("bin/x", "-> ../pkg/./x.js")])
    );
}

#[test]
fn a_cancelled_upload_stops_at_the_next_read() {
    let tmp = TempDir::new().unwrap();
    let asked = std::cell::Cell::new(0);
    let cancel_later = || asked.replace(asked.get() + 1) > 3;
    let endless = Maker::gnu().file("a", "1").bytes().into_iter().chain(Maker::gnu().large_file("b", 200 << 20).bytes());
    let endless: Vec<u8> = endless.collect();

    let err = respool(endless.as_slice().chain(std::io::repeat(7)), tmp.path(), Budget::default(), &cancel_later).unwrap_err();

    assert_eq!(err.sentence(), "the upload was cancelled");
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}
