//! Several servers on one PostgreSQL database. A missing program is a failure.

mod lab;
#[path = "../../mrp-store/tests/postgres_server/mod.rs"]
mod postgres_server;
mod servers;

use std::time::Duration;

use lab::Lab;
use mrp_core::api::kea::TableLine;
use mrp_core::service::machines::Settings;
use postgres_server::PostgresServer;
use tokio::time::timeout;

#[tokio::test]
async fn power_is_switched_by_the_owner_of_the_bmc() {
    let server = PostgresServer::start();
    servers::power_is_switched_by_the_owner_of_the_bmc(Lab::on(Some(server.database())).await).await;
}

#[tokio::test]
async fn a_run_is_powered_once_and_ends_once() {
    let server = PostgresServer::start();
    servers::a_run_is_powered_once_and_ends_once(Lab::on(Some(server.database())).await).await;
}

#[tokio::test]
async fn requests_of_strangers_and_repeated_ones_are_refused() {
    let server = PostgresServer::start();
    servers::requests_of_strangers_and_repeated_ones_are_refused(Lab::on(Some(server.database())).await)
        .await;
}

#[tokio::test]
async fn the_runs_of_a_server_that_has_died_are_picked_up() {
    let server = PostgresServer::start();
    servers::the_runs_of_a_server_that_has_died_are_picked_up(Lab::on(Some(server.database())).await).await;
}

#[tokio::test]
async fn content_is_kept_that_another_server_puts_there() {
    let server = PostgresServer::start();
    servers::contents::content_is_kept_that_another_server_puts_there(Lab::on(Some(server.database())).await)
        .await;
}

#[tokio::test]
async fn content_that_is_being_removed_is_put_there_again() {
    let server = PostgresServer::start();
    servers::contents::content_that_is_being_removed_is_put_there_again(
        Lab::on(Some(server.database())).await,
    )
    .await;
}

#[tokio::test]
async fn a_console_is_watched_at_any_server_and_goes_along_with_its_bmc() {
    let server = PostgresServer::start();
    servers::consoles::a_console_is_watched_at_any_server_and_goes_along_with_its_bmc(
        Lab::on(Some(server.database())).await,
    )
    .await;
}

#[tokio::test]
async fn a_kea_hook_hears_what_is_changed_at_another_server() {
    let server = PostgresServer::start();
    let lab = Lab::on(Some(server.database())).await;
    let node = lab.bare_node("m1", false).await;
    let other = lab.builder().await.0.build().await.unwrap();
    let mut follower = other.kea().follow();
    let told = |lines: &[TableLine]| {
        lines.iter().find_map(|line| match line {
            TableLine::Client(client) if client.mac == node.mac => Some(client.netboot),
            _ => None,
        })
    };
    assert_eq!(told(&follower.next().await.unwrap()), Some(false));
    for netboot in [true, false] {
        let settings = Settings { netboot: Some(netboot), ..Settings::default() };
        lab.mrp.machines().set(&lab.admin, node.id, settings).await.unwrap();
        // The table is looked at every 10 seconds without a word of the other server.
        let lines =
            timeout(Duration::from_secs(5), follower.next()).await.expect("a change is told").unwrap();
        assert_eq!(told(&lines), Some(netboot), "{lines:?}");
    }
    lab.mrp.machines().delete(&lab.admin, node.id).await.unwrap();
    let lines = timeout(Duration::from_secs(5), follower.next()).await.expect("the end is told").unwrap();
    assert_eq!(lines, [TableLine::Gone(node.mac)]);
    other.shutdown().await;
}
