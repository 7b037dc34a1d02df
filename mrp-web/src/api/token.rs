//! One's own tokens.

use mrp_core::api;
use mrp_core::user::{Token, TokenKind};

use crate::api::session::issued_view;
use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/token", "list_tokens", Who::User, list)
            .about("One's own tokens")
            .answers::<Vec<api::Token>>(200),
        Route::new("POST", "/api/v1/token", "create_token", Who::User, create)
            .about("Makes a token for oneself")
            .body::<api::NewToken>()
            .answers::<api::IssuedToken>(201),
        Route::new("DELETE", "/api/v1/token/{id}", "delete_token", Who::User, delete)
            .about("Removes one of one's own tokens")
            .answers_nothing(204),
    ]
}

async fn list(call: Call) -> Answer {
    let tokens = call.service().users().tokens(call.actor()).await?;
    Ok(reply::ok(&tokens.iter().map(view).collect::<Vec<_>>()))
}

async fn create(call: Call) -> Answer {
    let new: api::NewToken = call.exact().await?;
    let issued = call.service().users().create_token(call.actor(), &new.description, new.expires).await?;
    Ok(issued_view(&issued))
}

async fn delete(call: Call) -> Answer {
    call.service().users().delete_token(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

fn view(token: &Token) -> api::Token {
    api::Token {
        id: token.id.get(),
        kind: match token.kind {
            TokenKind::Session => "session",
            TokenKind::Api => "api",
        }
        .to_owned(),
        description: token.description.clone(),
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
    }
}
