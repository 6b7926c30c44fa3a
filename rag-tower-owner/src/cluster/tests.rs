//! The private Postgres against the installed binaries.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::*;

/// A temporary folder that another account can enter.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o711)).tempdir().unwrap()
}

async fn ask(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(&cluster.admin_url("postgres")).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn make_table(cluster: &Cluster) {
    let mut connection = PgConnection::connect(&cluster.admin_url("postgres")).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'yes'::text AS v").execute(&mut connection).await.unwrap();
}

fn postmaster_is_gone(folder: &TempDir) -> bool {
    Postmaster::find(&folder.path().join("data")).unwrap().is_none()
}

#[tokio::test]
async fn starts_keeps_its_data_and_stops() {
    let folder = folder();
    let options = ClusterOptions::new(folder.path()).throwaway();
    let cluster = Cluster::start(&options).await.unwrap();
    assert_eq!(ask(&cluster, "SHOW listen_addresses").await, "", "no TCP port");
    assert_eq!(ask(&cluster, "SHOW server_encoding").await, "UTF8");
    assert_eq!(ask(&cluster, "SHOW lc_ctype").await, "C.UTF-8");
    assert_eq!(ask(&cluster, "SHOW fsync").await, "off");
    make_table(&cluster).await;
    assert!(!format!("{cluster:?}").contains(cluster.app_password()));
    cluster.stop().await.unwrap();
    assert!(postmaster_is_gone(&folder));

    let cluster = Cluster::start(&options).await.unwrap();
    assert_eq!(ask(&cluster, "SELECT v FROM kept").await, "yes");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_password_is_required() {
    let folder = folder();
    let cluster = Cluster::start(&ClusterOptions::new(folder.path()).throwaway()).await.unwrap();
    let wrong = cluster.url(ADMIN, "wrong", "postgres");
    let refused = PgConnection::connect(&wrong).await.unwrap_err();
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_says_who_holds_the_folder() {
    let folder = folder();
    let options = ClusterOptions::new(folder.path()).throwaway();
    let cluster = Cluster::start(&options).await.unwrap();
    let refused = Cluster::start(&options).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_orphan_is_ended_and_nothing_is_lost() {
    let folder = folder();
    let options = ClusterOptions::new(folder.path()).throwaway();
    let mut cluster = Cluster::start(&options).await.unwrap();
    make_table(&cluster).await;
    let orphan = cluster.pid().unwrap();
    // what the death of the server leaves: a postmaster without a parent, and no lock
    drop(cluster.keeper.take());
    drop(cluster);

    let cluster = Cluster::start(&options).await.unwrap();
    assert_ne!(cluster.pid().unwrap(), orphan);
    assert_eq!(ask(&cluster, "SELECT v FROM kept").await, "yes");
    cluster.stop().await.unwrap();
}

/// Kills the postmaster, as the system does for want of memory.
fn kill_postgres(cluster: &Cluster) -> u32 {
    let pid = cluster.pid().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    pid
}

#[tokio::test]
async fn starts_after_postgres_itself_was_killed() {
    let folder = folder();
    let options = ClusterOptions::new(folder.path());
    let mut cluster = Cluster::start(&options).await.unwrap();
    make_table(&cluster).await;
    cluster.keeper.take().unwrap().end().await;
    kill_postgres(&cluster);
    drop(cluster);

    let cluster = Cluster::start(&options).await.unwrap();
    assert_eq!(ask(&cluster, "SELECT v FROM kept").await, "yes");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_was_killed_is_started_again() {
    let folder = folder();
    let data = folder.path().join("data");
    let cluster = Cluster::start(&ClusterOptions::new(folder.path())).await.unwrap();
    make_table(&cluster).await;
    let deadline = Instant::now() + START_DEADLINE;
    let killed = kill_postgres(&cluster);
    while Postmaster::find(&data).unwrap().is_none_or(|now| now.pid() == killed || !now.is_ready()) {
        assert!(Instant::now() < deadline, "not started again");
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(ask(&cluster, "SELECT v FROM kept").await, "yes");
    cluster.stop().await.unwrap();
    assert!(postmaster_is_gone(&folder));
}

#[tokio::test]
async fn dropping_stops_it() {
    let folder = folder();
    let cluster = Cluster::start(&ClusterOptions::new(folder.path()).throwaway()).await.unwrap();
    drop(cluster);
    let deadline = Instant::now() + STOP_DEADLINE;
    while !postmaster_is_gone(&folder) {
        assert!(Instant::now() < deadline, "still running");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_half_made_cluster_is_thrown_away() {
    let folder = folder();
    let half = folder.path().join("data.new");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("PG_VERSION"), "1").unwrap();
    let cluster = Cluster::start(&ClusterOptions::new(folder.path()).throwaway()).await.unwrap();
    assert!(!half.exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn shared_by_whoever_comes() {
    let folder = folder();
    let options = ClusterOptions::new(folder.path()).throwaway();
    let (first, second) = tokio::join!(Cluster::share(&options), Cluster::share(&options));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.pid().unwrap(), second.pid().unwrap());
    drop(first);
    assert_eq!(ask(&second, "SELECT 'still here'::text").await, "still here");
    second.stop().await.unwrap();
    assert!(postmaster_is_gone(&folder));
}

#[test]
fn a_folder_that_the_account_cannot_enter_is_named() {
    let closed = std::fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().permissions(closed).tempdir().unwrap();
    let stranger = RunAs::new(4_000_000, 4_000_000, "stranger");
    let refused = stranger.check_reach(folder.path()).unwrap_err().to_string();
    assert!(
        refused.contains("stranger") && refused.contains(&folder.path().display().to_string()),
        "{refused}"
    );
}

#[test]
fn urls_are_encoded() {
    assert_eq!(percent_encoded("/tmp/a b/ü"), "/tmp/a%20b/%C3%BC");
}
