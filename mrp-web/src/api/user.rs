//! Users.

use mrp_core::api;
use mrp_core::secret::Secret;
use mrp_core::service::users::{NewUser, UserChange};
use mrp_core::user::User;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/user", "list_users", Who::User, list),
        Route::new("POST", "/api/v1/user", "create_user", Who::Admin, create),
        Route::new("GET", "/api/v1/user/{id}", "get_user", Who::User, get),
        Route::new("PUT", "/api/v1/user/{id}", "set_user", Who::Owner, set),
        Route::new("DELETE", "/api/v1/user/{id}", "delete_user", Who::Admin, delete),
    ]
}

async fn list(call: Call) -> Answer {
    let users = call.service().users().list(call.actor()).await?;
    Ok(reply::ok(&users.iter().map(view).collect::<Vec<_>>()))
}

async fn get(call: Call) -> Answer {
    Ok(reply::ok(&view(&call.service().users().get(call.actor(), call.id(0)?).await?)))
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
    Ok(reply::created(&view(&call.service().users().create(call.actor(), new).await?)))
}

async fn set(call: Call) -> Answer {
    let change: api::UserChange = call.exact().await?;
    let change = UserChange {
        email: change.email,
        password: change.password.map(Secret::new),
        admin: change.admin,
        ssh_keys: change.ssh_keys,
    };
    Ok(reply::ok(&view(&call.service().users().update(call.actor(), call.id(0)?, change).await?)))
}

async fn delete(call: Call) -> Answer {
    call.service().users().delete(call.actor(), call.id(0)?).await?;
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
