//! Claims about a spooled context, held against the tar that it wrote.

use super::super::{Budget, ContextWriter, Ignore};
use super::*;

fn writer(tmp: &TempDir, ignore: &str) -> ContextWriter {
    ContextWriter::new(tmp.path(), Ignore::parse(ignore).unwrap()).unwrap()
}

fn add(writer: &mut ContextWriter, path: &str, content: &str) {
    writer.add_file(path, false, content.len() as u64, content.as_bytes()).unwrap();
}

/// The entries in their order: path, type, mode, and content or link target.
fn listing(context: &Context) -> Vec<String> {
    let mut archive = tar::Archive::new(File::open(context.path()).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            text = format!("-> {}", target.display());
        }
        format!("{} {:o} {text}", entry.path().unwrap().display(), entry.header().mode().unwrap()).trim_end().to_owned()
    });
    entries.collect()
}

#[test]
fn the_same_source_is_the_same_tar_with_plain_modes() {
    let tmp = TempDir::new().unwrap();
    let spool = || {
        let mut writer = writer(&tmp, "");
        add(&mut writer, "Procfile", "web: ./x");
        writer.add_file("bin/x", true, 2, &b"#!"[..]).unwrap();
        writer.add_symlink("bin/passwd", "/etc/passwd").unwrap();
        writer.add_dir("empty").unwrap();
        writer.finish().unwrap()
    };

    let (one, two) = (spool(), spool());

    assert_eq!(listing(&one), ["bin/ 755", "bin/x 755 #!", "bin/passwd 777 -> /etc/passwd", "empty/ 755", "Procfile 644 web: ./x"]);
    assert_eq!(std::fs::read(one.path()).unwrap(), std::fs::read(two.path()).unwrap());
    assert_eq!(one.bytes(), std::fs::metadata(one.path()).unwrap().len());
    assert_eq!((one.manifest().count(), one.manifest().bytes()), (3, 10));
    assert!(one.manifest().has("bin/x") && !one.manifest().has("bin"));
}

#[test]
fn what_is_ignored_is_left_out_and_what_a_build_needs_is_kept() {
    let tmp = TempDir::new().unwrap();
    let mut writer = writer(&tmp, "*\n!src/keep");

    for path in ["Dockerfile", ".dockerignore", "Procfile", "package.json", "src/keep", "src/drop", "docs/x"] {
        add(&mut writer, path, path);
    }
    assert!(writer.wants("Procfile") && !writer.wants("docs/x") && writer.wants_folder("docs"));
    let context = writer.finish().unwrap();

    assert_eq!(context.manifest().paths().collect::<Vec<_>>(), [".dockerignore", "Dockerfile", "src/keep"]);
    assert_eq!(listing(&context), ["src/ 755", "src/keep 644 src/keep", ".dockerignore 644 .dockerignore", "Dockerfile 644 Dockerfile"]);
    assert_eq!(context.manifest().root_text("Procfile").as_deref(), Some("Procfile"), "mini reads it all the same");
    assert_eq!(context.manifest().root_file("package.json"), None, "a builder would not find it");
}

#[test]
fn a_root_file_can_be_replaced_and_added_before_the_build() {
    let tmp = TempDir::new().unwrap();
    let mut writer = writer(&tmp, "");
    add(&mut writer, "Dockerfile", "# syntax=docker/dockerfile:1\nFROM scratch");
    add(&mut writer, "z", "z");

    let context = writer.finish().unwrap().with_file("Dockerfile", "FROM scratch").unwrap().with_file(".mini.Dockerfile", "X").unwrap();

    assert_eq!(listing(&context), ["z 644 z", ".mini.Dockerfile 644 X", "Dockerfile 644 FROM scratch"]);
    assert_eq!(context.bytes(), std::fs::metadata(context.path()).unwrap().len());
    assert_eq!((context.manifest().count(), context.manifest().bytes()), (3, 14));
    assert_eq!(context.read_file("Dockerfile", 100).unwrap().as_deref(), Some(&b"FROM scratch"[..]));
    assert_eq!(context.read_file("nothing", 100).unwrap(), None);
}

#[test]
fn long_names_and_targets_come_back_whole() {
    let tmp = TempDir::new().unwrap();
    let mut writer = writer(&tmp, "");
    let long = format!("{}/{}/{}", "a".repeat(200), "b".repeat(200), "c".repeat(200));
    add(&mut writer, &long, "x");
    writer.add_symlink("link", &long).unwrap();
    writer.add_symlink("near", "./link").unwrap();
    writer.add_file(b"\xff".repeat(120), false, 1, &b"y"[..]).unwrap();

    let context = writer.finish().unwrap();

    assert!(listing(&context).contains(&format!("{long} 644 x")));
    assert!(listing(&context).contains(&format!("link 777 -> {long}")));
    assert!(listing(&context).contains(&"near 777 -> ./link".to_owned()));
    assert!(listing(&context).contains(&format!("{} 644 y", "\u{fffd}".repeat(120))));
}

#[test]
fn an_entry_that_comes_twice_or_below_a_link_is_refused() {
    let tmp = TempDir::new().unwrap();
    let mut writer = writer(&tmp, "");
    add(&mut writer, "a", "x");
    writer.add_symlink("l", "/etc").unwrap();
    writer.add_dir("d").unwrap();
    writer.add_dir("d").unwrap();

    for path in ["a", "l", "d", "l/passwd", "a/b", "../x", ".git/config"] {
        assert!(writer.add_file(path, false, 0, std::io::empty()).is_err(), "{path} was taken");
    }
    assert!(writer.add_symlink("m", "").is_err());
}

#[test]
fn a_source_over_the_budget_is_refused_while_it_comes() {
    let tmp = TempDir::new().unwrap();
    let small = |entries, bytes, depth, blob| writer(&tmp, "").with_budget(Budget { entries, bytes, depth, blob });

    assert!(small(0, 9, 9, 9).add_file("a", false, 1, &b"x"[..]).is_err());
    assert!(small(9, 1, 9, 9).add_file("a", false, 2, &b"xx"[..]).is_err());
    assert!(small(9, 9, 1, 9).add_file("a/b/c", false, 1, &b"x"[..]).is_err());
    assert!(small(9, 9, 9, 1).add_file("a", false, 2, &b"xx"[..]).is_err());
}

#[test]
fn a_file_shorter_than_announced_is_an_error() {
    let tmp = TempDir::new().unwrap();

    assert!(writer(&tmp, "").add_file("a", false, 9, &b"x"[..]).is_err());
    assert!(writer(&tmp, "").add_file("Procfile", false, 9, &b"x"[..]).is_err());
}

#[test]
fn nothing_is_left_when_a_context_is_dropped() {
    let tmp = TempDir::new().unwrap();
    let context = writer(&tmp, "").finish().unwrap();
    assert!(context.path().exists());

    drop(context);

    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}
