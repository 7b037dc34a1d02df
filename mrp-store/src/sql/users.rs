//! Users and tokens.

use async_trait::async_trait;
use mrp_core::event::Journal;
use mrp_core::id::Timestamp;
use mrp_core::store::{StoreResult, TokenStore, UserStore};
use mrp_core::token::{Token, TokenId};
use mrp_core::user::{User, UserId};

use super::query::Query;
use super::rows::{get, id, maybe_time, time, to_word, word};
use super::{Row, SqlStore, all, commit, deleted, deleted_revision, failed, inserted, one, sql, updated};

pub(super) fn user(row: &Row) -> StoreResult<User> {
    Ok(User {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        email: get(row, "email")?,
        admin: get(row, "admin")?,
        password_hash: get(row, "password_hash")?,
        ssh_keys: get(row, "ssh_keys")?,
    })
}

fn token(row: &Row) -> StoreResult<Token> {
    Ok(Token {
        id: id(row, "id")?,
        user: id(row, "user_id")?,
        hash: get(row, "hash")?,
        kind: word(row, "kind")?,
        scope: word(row, "scope")?,
        description: get(row, "description")?,
        created: time(row, "created")?,
        expires: maybe_time(row, "expires")?,
        last_used: maybe_time(row, "last_used")?,
    })
}

#[async_trait]
impl UserStore for SqlStore {
    async fn users(&self) -> StoreResult<Vec<User>> {
        all(sql("SELECT * FROM users ORDER BY id").fetch_all(&self.read).await, user)
    }

    async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        let query = sql("SELECT * FROM users WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, user)
    }

    async fn user_by_name(&self, name: &str) -> StoreResult<Option<User>> {
        let query = sql("SELECT * FROM users WHERE name = $1").bind(name);
        one(query.fetch_optional(&self.read).await, user)
    }

    async fn insert_user(&self, user: &User, journal: &Journal) -> StoreResult<User> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO users (revision, name, email, admin, password_hash, ssh_keys) VALUES (1, $1, $2, $3, $4, $5) RETURNING id",
        );
        let query = query.bind(&user.name).bind(&user.email).bind(user.admin).bind(&user.password_hash);
        let id = inserted(&mut tx, query.bind(&user.ssh_keys)).await?;
        commit(tx, journal).await?;
        Ok(User { id, revision: 1, ..user.clone() })
    }

    async fn update_user(&self, user: &User, journal: &Journal) -> StoreResult<User> {
        let sessions = sql(
            "DELETE FROM tokens WHERE user_id = $1 AND kind = 'session' AND EXISTS (SELECT id FROM users WHERE id = $1 AND password_hash <> $2)",
        );
        self.update_user_ending(user, sessions.bind(user.id.get()).bind(&user.password_hash), journal).await
    }

    async fn update_user_revoking(&self, user: &User, journal: &Journal) -> StoreResult<User> {
        let all = sql("DELETE FROM tokens WHERE user_id = $1").bind(user.id.get());
        self.update_user_ending(user, all, journal).await
    }

    async fn rehash_password(&self, id: UserId, old: &str, new: &str) -> StoreResult<()> {
        let query = sql("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2");
        let query = query.bind(id.get()).bind(old).bind(new);
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn delete_user(&self, user: &User, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM users WHERE id = $1 AND revision = $2");
        let query = query.bind(user.id.get()).bind(user.revision);
        let exists = "SELECT id FROM users WHERE id = $1";
        deleted_revision(&mut tx, query, "assignments of machines", exists, user.id.get()).await?;
        commit(tx, journal).await
    }
}

impl SqlStore {
    async fn update_user_ending(
        &self,
        user: &User,
        tokens: Query<'_>,
        journal: &Journal,
    ) -> StoreResult<User> {
        let mut tx = self.begin().await?;
        tokens.execute(&mut tx).await.map_err(failed)?;
        let query = sql(
            "UPDATE users SET revision = revision + 1, name = $3, email = $4, admin = $5, password_hash = $6, ssh_keys = $7 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(user.id.get()).bind(user.revision).bind(&user.name).bind(&user.email);
        let query = query.bind(user.admin).bind(&user.password_hash).bind(&user.ssh_keys);
        updated(&mut tx, query, "SELECT id FROM users WHERE id = $1", user.id.get()).await?;
        commit(tx, journal).await?;
        Ok(User { revision: user.revision + 1, ..user.clone() })
    }
}

#[async_trait]
impl TokenStore for SqlStore {
    async fn tokens(&self, user: UserId) -> StoreResult<Vec<Token>> {
        let query = sql("SELECT * FROM tokens WHERE user_id = $1 ORDER BY id").bind(user.get());
        all(query.fetch_all(&self.read).await, token)
    }

    async fn all_tokens(&self) -> StoreResult<Vec<Token>> {
        all(sql("SELECT * FROM tokens ORDER BY id").fetch_all(&self.read).await, token)
    }

    async fn token(&self, id: TokenId) -> StoreResult<Option<Token>> {
        let query = sql("SELECT * FROM tokens WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, token)
    }

    async fn token_by_hash(&self, hash: &str) -> StoreResult<Option<(Token, User)>> {
        let query = sql("SELECT * FROM tokens WHERE hash = $1").bind(hash);
        let Some(token) = one(query.fetch_optional(&self.read).await, token)? else { return Ok(None) };
        Ok(self.user(token.user).await?.map(|user| (token, user)))
    }

    async fn insert_token(&self, token: &Token, journal: &Journal) -> StoreResult<Token> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO tokens (user_id, hash, kind, description, created, expires, last_used, scope) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        );
        let query = query.bind(token.user.get()).bind(&token.hash).bind(to_word(&token.kind)?);
        let query = query.bind(&token.description).bind(token.created.0).bind(token.expires.map(|at| at.0));
        let query = query.bind(token.last_used.map(|at| at.0)).bind(to_word(&token.scope)?);
        let id = inserted(&mut tx, query).await?;
        commit(tx, journal).await?;
        Ok(Token { id, ..token.clone() })
    }

    async fn touch_token(&self, id: TokenId, at: Timestamp) -> StoreResult<()> {
        let query = sql("UPDATE tokens SET last_used = $2 WHERE id = $1").bind(id.get()).bind(at.0);
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn delete_token(&self, id: TokenId, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM tokens WHERE id = $1").bind(id.get());
        deleted(&mut tx, query, "nothing").await?;
        commit(tx, journal).await
    }
}
