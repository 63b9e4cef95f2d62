//! What attackers tried: each of these once looked like a way in.

mod answer;
mod caller;
mod credential;
mod token;
