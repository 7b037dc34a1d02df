//! Tokens: one's own, and for admins everybody's.

use mrp_core::api;
use mrp_core::service::tokens::{NewToken, TokenView};
use mrp_core::token::TokenKind;

use crate::api::session::issued_view;
use crate::call::Call;
use crate::error::Answer;
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/token", "list_tokens", Who::User, list)
            .about("One's own tokens, or everybody's (admins)")
            .paged()
            .query("all", Kind::Flag, "Everybody's")
            .answers::<Vec<api::Token>>(200)
            .refuses(&[403]),
        Route::new("POST", "/api/v1/token", "create_token", Who::User, create)
            .about("Makes a token for oneself")
            .note("It may no more than the token that makes it, by default as much, and not for longer.")
            .body::<api::NewToken>()
            .answers::<api::IssuedToken>(201),
        Route::new("DELETE", "/api/v1/token/{id}", "delete_token", Who::User, delete)
            .about("Removes one of one's own tokens, or anybody's (admins)")
            .answers_nothing(204),
    ]
}

async fn list(call: Call) -> Answer {
    let users = call.service().users();
    let tokens = match call.flag("all") {
        true => users.all_tokens(call.actor()).await?,
        false => users.tokens(call.actor()).await?,
    };
    Pages::of(&call)?.answer(&call, tokens, |found| found.token.id.get(), view)
}

async fn create(call: Call) -> Answer {
    let new: api::NewToken = call.exact().await?;
    let new = NewToken { description: new.description, expires: new.expires, scope: new.scope };
    let issued = call.service().users().create_token(call.actor(), new).await?;
    Ok(issued_view(&issued))
}

async fn delete(call: Call) -> Answer {
    call.service().users().delete_token(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

fn view(TokenView { token, user }: &TokenView) -> api::Token {
    api::Token {
        id: token.id.get(),
        user: user.clone(),
        kind: match token.kind {
            TokenKind::Session => "session",
            TokenKind::Api => "api",
        }
        .to_owned(),
        scope: token.scope,
        description: token.description.clone(),
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
    }
}
