//! Unmodified clients through the gateway, which they take for the API itself.

mod anthropic;
mod api;
mod browser;
mod gemini;
mod git;
mod git_server;
mod openai;
mod slack;
mod sockets;
mod stage;
mod stripe;

#[test]
fn the_page_is_as_the_tests_write_it_and_has_a_row_for_each_client() {
    sallygate_test_support::matrix::check();
}
