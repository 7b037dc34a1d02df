//! Users.

use mrp_core::api;
use mrp_core::secret::Secret;
use mrp_core::service::users::{NewUser, UserChange};
use mrp_core::user::User;

use crate::call::Call;
use crate::error::Answer;
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/user", "list_users", Who::User, list)
            .about("Users")
.paged()
            .answers::<Vec<api::User>>(200),
        Route::new("POST", "/api/v1/user", "create_user", Who::Admin, create)
            .about("Makes a user")
.tagged()
            .body::<api::NewUser>()
            .answers::<api::User>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/user/{id}", "get_user", Who::User, get)
            .about("One user")
.tagged()
            .answers::<api::User>(200),
        Route::new("PUT", "/api/v1/user/{id}", "set_user", Who::Owner, set)
            .about("Changes a user")
.tagged()
.conditional()
            .note("One's own new password needs `current_password`; it ends sessions, and tokens where that is asked.")
            .body::<api::UserChange>()
            .answers::<api::User>(200)
            .refuses(&[409, 429]),
        Route::new("DELETE", "/api/v1/user/{id}", "delete_user", Who::Admin, delete)
            .about("Removes a user who holds no machine")
.conditional()
            .answers_nothing(204)
            .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let users = call.service().users().list(call.actor()).await?;
    Pages::of(&call)?.answer(&call, users, |user| user.id.get(), view)
}

async fn get(call: Call) -> Answer {
    let found = call.service().users().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.revision))
}

async fn create(call: Call) -> Answer {
    let new: api::NewUser = call.exact().await?;
    let new = NewUser {
        name: new.name,
        email: new.email,
        password: Secret::new(new.password),
        admin: new.admin,
        ssh_keys: new.ssh_keys,
    };
    let made = call.service().users().create(call.actor(), new).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.revision))
}

async fn set(call: Call) -> Answer {
    let change: api::UserChange = call.exact().await?;
    let change = UserChange {
        email: change.email,
        password: change.password.map(Secret::new),
        current_password: change.current_password.map(Secret::new),
        revoke_tokens: change.revoke_tokens,
        admin: change.admin,
        ssh_keys: change.ssh_keys,
    };
    let users = call.service().users().expecting(call.expected());
    let set = users.update(call.actor(), call.id(0)?, change).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().users().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

pub(super) fn view(user: &User) -> api::User {
    api::User {
        id: user.id.get(),
        name: user.name.clone(),
        email: user.email.clone(),
        admin: user.admin,
        ssh_keys: user.ssh_keys.clone(),
    }
}
