//! Several servers on one PostgreSQL database. A missing program is a failure.

mod lab;
#[path = "../../mrp-store/tests/postgres_server/mod.rs"]
mod postgres_server;
mod servers;

use lab::Lab;
use postgres_server::PostgresServer;

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
