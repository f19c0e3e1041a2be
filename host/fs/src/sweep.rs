//! The sweep of the drafts that killed processes left.

use std::{fs, path::Path};

use crate::draft;

/// The end of the names of the drafts of earlier writers, which had no process id in them.
const PARTIAL: &str = ".partial";

/// Removes the drafts that killed processes left in `dir` (not in folders within it), and puts a folder back that one of
/// them was about to replace. Files and folders named `*.partial` are removed too: earlier versions wrote through them,
/// no current one does.
///
/// The drafts of a process that is alive are left alone, because a sweep may run beside a writer: two programs can share
/// a cache, and two threads a folder. Processes of another machine or container that write into the same folder cannot
/// be seen; keep them out by a lock.
///
/// A draft that cannot be removed is skipped, for it only occupies space.
pub fn sweep(dir: &Path) {
    sweep_if(dir, |_| true, true);
}

/// Removes the drafts that killed processes left of the file or folder `path`, as [`sweep`] does, and nothing else: for a folder
/// that is the user's.
pub fn sweep_of(path: &Path) {
    let name = path.file_name().and_then(|name| name.to_str());
    sweep_if(draft::parent(path), |destination| Some(destination) == name, false);
}

fn sweep_if(dir: &Path, is_swept: impl Fn(&str) -> bool, partial: bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let hidden = entry.file_name();
        let Some(hidden) = hidden.to_str() else { continue };
        let leftover = entry.path();
        match draft::parse(hidden) {
            Some((name, writer)) if writer.is_alive() || !is_swept(name) => continue,
            Some((name, _)) => {
                // The process was killed between the two renames: neither folder is in place.
                let (replaced, destination) = (draft::replaced(&leftover.join(name)), dir.join(name));
                if replaced.exists() && !destination.exists() {
                    let _ = fs::rename(replaced, destination);
                }
            }
            None if partial && hidden.ends_with(PARTIAL) => {}
            None => continue,
        }
        let _ = if leftover.is_dir() { fs::remove_dir_all(&leftover) } else { fs::remove_file(&leftover) };
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{path::PathBuf, process::Command};

    use super::*;

    /// Returns the id of a process that has ended.
    fn dead() -> u32 {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    /// Returns the path of the draft that the helper is writing for `destination`, captured from a write that is killed
    /// before it ends, as if by process `pid`.
    fn leftover(destination: &Path, pid: u32, fill: impl FnOnce(&Path)) -> PathBuf {
        let draft = draft::Draft::create(destination).unwrap();
        fill(draft.path());
        let folder = draft.path().parent().unwrap().to_owned();
        std::mem::forget(draft);
        let own = format!(".draft-{}-", std::process::id());
        let hidden = folder.file_name().unwrap().to_str().unwrap().replace(&own, &format!(".draft-{pid}-"));
        let renamed = folder.with_file_name(hidden);
        fs::rename(folder, &renamed).unwrap();
        renamed
    }

    #[test]
    fn removes_every_draft_of_a_dead_process_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dead();
        let within = |name: &str| dir.path().join(name);
        leftover(&within("state.safetensors"), pid, |draft| {
            fs::write(draft, "half").unwrap();
            // As the crate safetensors does.
            fs::write(draft.with_file_name(".tmpXYZ"), "half").unwrap();
        });
        leftover(&within("name with.draft-7 in it"), pid, |_| {});
        leftover(&within("model"), pid, |draft| fs::create_dir_all(draft.join("nested")).unwrap());
        fs::write(within("summary.json.partial"), "half").unwrap();
        fs::create_dir_all(within("tools.partial/nested")).unwrap();
        let kept = ["state.safetensors", ".hidden", "my.draft-1-2-3", ".state.draft-none", "partial"];
        for name in kept {
            fs::write(within(name), "whole").unwrap();
        }
        sweep(dir.path());
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut left: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(left, kept);
        sweep(&within("no such folder"));
    }

    #[test]
    fn the_drafts_of_one_file_alone_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dead();
        let within = |name: &str| dir.path().join(name);
        let own = leftover(&within("alft.lock"), pid, |draft| fs::write(draft, "half").unwrap());
        let other = leftover(&within("model"), pid, |_| {});
        fs::write(within("download.partial"), "").unwrap();
        sweep_of(&within("alft.lock"));
        assert!(!own.exists() && other.exists() && within("download.partial").exists());
    }

    #[test]
    fn keeps_the_drafts_of_processes_that_are_alive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        crate::file(&path, |draft| {
            fs::write(draft, "whole").unwrap();
            sweep(dir.path());
            Ok::<(), crate::Error>(())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let draft = leftover(&path, child.id(), |_| {});
        // The first process of the system belongs to another user, or is this user's; it is alive in any case.
        let of_first = leftover(&path, 1, |_| {});
        sweep(dir.path());
        assert!(draft.exists() && of_first.exists());
        child.kill().unwrap();
        child.wait().unwrap();
        sweep(dir.path());
        assert!(!draft.exists() && of_first.exists());
    }

    #[test]
    fn removes_the_draft_of_an_earlier_process_of_the_same_pid() {
        let dir = tempfile::tempdir().unwrap();
        let draft = dir.path().join(format!(".state.draft-{}-1-0", std::process::id()));
        fs::create_dir(&draft).unwrap();
        sweep(dir.path());
        assert!(!draft.exists());
    }

    #[test]
    fn a_folder_that_was_being_replaced_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        crate::folder(&path, |draft| {
            fs::write(draft.join("old"), "").unwrap();
            Ok::<(), crate::Error>(())
        })
        .unwrap();
        let draft = leftover(&path, dead(), |draft| {
            fs::create_dir(draft).unwrap();
            fs::rename(&path, draft.with_file_name("model.replaced")).unwrap();
        });
        assert!(!path.exists());
        sweep(dir.path());
        assert!(path.join("old").exists() && !draft.exists());
    }
}
