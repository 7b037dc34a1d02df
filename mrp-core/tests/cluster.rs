//! Several servers on one SQLite database.

mod lab;
mod servers;

use lab::Lab;

#[tokio::test]
async fn power_is_switched_by_the_owner_of_the_bmc() {
    servers::power_is_switched_by_the_owner_of_the_bmc(Lab::new().await).await;
}

#[tokio::test]
async fn requests_of_strangers_and_repeated_ones_are_refused() {
    servers::requests_of_strangers_and_repeated_ones_are_refused(Lab::new().await).await;
}

#[tokio::test]
async fn a_run_is_powered_once_and_ends_once() {
    servers::a_run_is_powered_once_and_ends_once(Lab::new().await).await;
}

#[tokio::test]
async fn the_runs_of_a_server_that_has_died_are_picked_up() {
    servers::the_runs_of_a_server_that_has_died_are_picked_up(Lab::new().await).await;
}

#[tokio::test]
async fn content_is_kept_that_another_server_puts_there() {
    servers::contents::content_is_kept_that_another_server_puts_there(Lab::new().await).await;
}

#[tokio::test]
async fn content_that_is_being_removed_is_put_there_again() {
    servers::contents::content_that_is_being_removed_is_put_there_again(Lab::new().await).await;
}

#[tokio::test]
async fn a_console_is_watched_at_any_server_and_goes_along_with_its_bmc() {
    servers::consoles::a_console_is_watched_at_any_server_and_goes_along_with_its_bmc(Lab::new().await).await;
}
