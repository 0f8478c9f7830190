//! What the thread does when nobody waits for its end, or asks in the middle.

use super::*;
use bytes::Bytes;

const NOW: Wall = Wall(1_795_253_400);
const ID: GuideId = GuideId(1);

struct Running(Opened, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.1).unwrap_or_default();
    }
}

fn opened(name: &str) -> Running {
    let folder = std::env::temp_dir().join(format!("tunerd-guide-{name}-{}", std::process::id()));
    Running(open(&folder).unwrap(), folder)
}

fn guide(title: &str) -> Bytes {
    format!(
        "<tv><channel id='a'><display-name>A</display-name></channel><programme start='20261121093000 +0000' \
         stop='20261121103000 +0000' channel='a'><title>{title}</title></programme></tv>"
    )
    .into()
}

async fn title(handle: &Handle) -> Option<String> {
    handle.offered(ID, String::new(), NOW).await.unwrap().pop()?.now
}

#[tokio::test]
async fn a_guide_that_is_given_up_changes_nothing() {
    let opened = opened("given-up");
    let handle = &opened.0.handle;
    assert_eq!(title(handle).await, None);
    let first = handle.import(ID, NOW).unwrap();
    first.push(guide("first")).await.unwrap();
    let validators = Validators { etag: Some("x".to_owned()), last_modified: None };
    assert_eq!(first.finish(validators.clone()).await.unwrap().kept, 1);
    assert_eq!(title(handle).await.as_deref(), Some("first"));

    let second = handle.import(ID, NOW).unwrap();
    second.push(guide("second")).await.unwrap();
    drop(second);
    assert_eq!(title(handle).await.as_deref(), Some("first"));
    // The question may have come before the end.
    let mut tries = 0;
    while opened.0.folder.join("1.new").exists() {
        tries += 1;
        assert!(tries < 1_000, "what is left of it stays");
        handle.known().await.unwrap();
    }
    assert_eq!(title(handle).await.as_deref(), Some("first"));
    let known = handle.known().await.unwrap();
    assert_eq!((&known[&ID].validators, known[&ID].fetched_at), (&validators, Some(NOW)));

    handle.forget_all_but(vec![]).await.unwrap();
    assert_eq!(title(handle).await, None);
    assert!(!opened.0.folder.join("1.db").exists());
}

#[tokio::test]
async fn questions_are_answered_between_two_pieces() {
    let opened = opened("between");
    let handle = &opened.0.handle;
    let importing = handle.import(ID, NOW).unwrap();
    let other = handle.import(GuideId(2), NOW).unwrap();
    let text = guide("first");
    let (head, tail) = text.split_at(20);
    importing.push(Bytes::copy_from_slice(head)).await.unwrap();
    let asked = tokio::spawn({
        let handle = handle.clone();
        async move { handle.offered(ID, String::new(), NOW).await }
    });
    // The question must be there before the next piece is.
    tokio::task::yield_now().await;
    importing.push(Bytes::copy_from_slice(tail)).await.unwrap();
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), asked);
    // It comes after another guide, which has to wait.
    drop(other);
    importing.finish(Validators::default()).await.unwrap();
    answer.await.unwrap().unwrap().unwrap();
    assert_eq!(title(handle).await.as_deref(), Some("first"));
}

#[tokio::test]
async fn a_database_that_is_damaged_is_thrown_away() {
    let opened = opened("damaged");
    let folder = &opened.0.folder;
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("1.db"), "no database").unwrap();
    assert!(opened.0.handle.known().await.unwrap().is_empty());
    assert!(!folder.join("1.db").exists());
}

#[test]
fn a_disk_that_is_full_is_left_alone() {
    assert_eq!(import::check_room(&std::env::temp_dir()), Ok(()));
    // There is never room.
    assert!(import::check_room(Path::new("/proc")).unwrap_err().contains("disk"));
}
