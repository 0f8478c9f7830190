//! Who may manage the box: the owner's password, who is signed in, and tokens for programs.
//!
//! The rules stand in `pure::rules::access`, what is kept in [`store::access`]. Here are the secrets: random numbers,
//! digests, and passwords, which are hashed one at a time by a thread of their own. Nothing here knows HTTP. No secret
//! is in any log, and none is compared in a time that tells about it.

mod hashing;

use crate::clock;
use crate::store::access::{PasswordHash, Token};
use crate::store::{self, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hashing::Hasher;
use pure::limits::{PASSWORD_MEMORY_KIB, PASSWORD_PASSES, TOKEN_USED_S};
use pure::model::password::{self, Weak};
use pure::rules::access::guesses::{Guesses, TooOften};
use pure::rules::access::sessions::{Digest, Sessions};
use pure::rules::access::{ClaimWindow, Scope, is_same};
use pure::time::Wall;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// In front of each token, so that one that was lost can be told for what it is.
const TOKEN_PREFIX: &str = "tunerd_";

/// Why somebody did not get what he asked for.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The box has a password already.
    Claimed,
    /// It has none yet.
    Unclaimed,
    /// It has none, and the time to set one is over.
    Closed,
    /// This is not the password.
    Wrong,
    /// It was guessed too often.
    TooOften(TooOften),
    /// The new password is no good.
    Weak(Weak),
    /// There are enough tokens.
    Full,
    /// There is no such token.
    NotFound,
    /// Too many passwords wait to be hashed.
    Busy,
    /// The database, or the kernel's random numbers.
    Fault(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Fault(error)
    }
}

/// What somebody has shown may do, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What he may.
    pub scope: Scope,
    /// How it is known.
    pub by: By,
}

/// How it is known what somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It is not.
    Nothing,
    /// The settings say that everybody is the owner.
    Settings,
    /// A browser that is signed in.
    Session,
    /// A token.
    Token,
}

/// How things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// There is a password.
    pub claimed: bool,
    /// For how long one may be set still; none when there is one, or the time is over.
    pub claim_left_ms: Option<u64>,
    /// None is needed.
    pub open: bool,
}

/// What may be told of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Never another one's.
    pub id: u32,
    /// What the owner calls it.
    pub name: String,
    /// What it is for.
    pub scope: Scope,
    /// When it was made.
    pub made_at: Wall,
    /// When it was last used, to the day; none while it was not.
    pub used_at: Option<Wall>,
}

/// What only its owner knows: a session's id, or a token. It cannot be printed.
pub struct Secret(String);

impl Secret {
    /// To be told to its owner, and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The room, as the doors see it.
#[derive(Clone)]
pub struct Handle(Rc<Room>);

struct Room {
    open: bool,
    store: store::Handle,
    hasher: Hasher,
    random: SystemRandom,
    state: RefCell<State>,
}

struct State {
    password: Password,
    tokens: Vec<Token>,
    sessions: Sessions,
    guesses: Guesses,
    window: ClaimWindow,
}

#[derive(Clone, PartialEq, Eq)]
enum Password {
    /// The database did not say: then nobody gets in.
    Unknown,
    None,
    Set(PasswordHash),
}

/// Opens the room; `open`: the settings say that everybody is the owner.
///
/// # Errors
/// No thread can be had.
pub async fn open(store: store::Handle, open: bool) -> std::io::Result<Handle> {
    let (password, tokens) = match store.access().await {
        Ok((Some(password), tokens)) => (Password::Set(password), tokens),
        Ok((None, tokens)) => (Password::None, tokens),
        Err(error) => {
            tracing::error!("nobody can sign in: {error}");
            (Password::Unknown, Vec::new())
        }
    };
    let state = State {
        password,
        tokens,
        sessions: Sessions::new(),
        guesses: Guesses::new(),
        window: ClaimWindow::new(clock::started()),
    };
    let hasher = Hasher::start()?;
    Ok(Handle(Rc::new(Room { open, store, hasher, random: SystemRandom::new(), state: RefCell::new(state) })))
}

impl Handle {
    /// How things are.
    pub fn view(&self) -> View {
        let state = self.0.state.borrow();
        let left = state.window.left_ms(clock::mono()).filter(|_| state.password == Password::None);
        View { claimed: state.password != Password::None, claim_left_ms: left, open: self.0.open }
    }

    /// The button of the box was pressed: a password may be set again, if there is none.
    pub fn press(&self) {
        self.0.state.borrow_mut().window.press(clock::mono());
    }

    /// What somebody may who shows these: ids of sessions, or a token, which then counts alone.
    pub fn judge<'a>(&self, sessions: impl Iterator<Item = &'a str>, token: Option<&str>) -> Grant {
        if self.0.open {
            return Grant { scope: Scope::Admin, by: By::Settings };
        }
        if let Some(token) = token {
            let scope = self.token(token);
            return scope.map_or(Grant { scope: Scope::Open, by: By::Nothing }, |scope| Grant { scope, by: By::Token });
        }
        let mut state = self.0.state.borrow_mut();
        let now = clock::mono();
        // A browser may have an old one, too.
        for id in sessions.take(4) {
            if state.sessions.see(now, &digest_of(id)) {
                return Grant { scope: Scope::Admin, by: By::Session };
            }
        }
        Grant { scope: Scope::Open, by: By::Nothing }
    }

    /// What a token is for; its use is noted.
    fn token(&self, shown: &str) -> Option<Scope> {
        let shown = digest_of(shown);
        let mut state = self.0.state.borrow_mut();
        let found = state.tokens.iter_mut().fold(None, |found, token| {
            let same = is_same(&token.digest, &shown);
            if same { Some(token) } else { found }
        })?;
        let now = clock::wall();
        let is_news = found.used_at.is_none_or(|at| now.0.saturating_sub(at.0) >= TOKEN_USED_S);
        if is_news && clock::wall_is_plausible() {
            found.used_at = Some(now);
            let (store, id) = (self.0.store.clone(), found.id);
            // Nobody waits for it, and nothing depends on it.
            tokio::task::spawn_local(async move { store.note_token_used(id, now).await.unwrap_or_default() });
        }
        Some(found.scope)
    }

    /// Sets the first password, and signs its owner in. `names` are what the box is called.
    ///
    /// # Errors
    /// There is one, the time is over, it is too weak, or it could not be kept.
    pub async fn claim(&self, password: String, names: &[&str]) -> Result<Secret, Refusal> {
        let View { claimed, claim_left_ms, .. } = self.view();
        if claimed {
            return Err(Refusal::Claimed);
        }
        claim_left_ms.ok_or(Refusal::Closed)?;
        password::judge(&password, names).map_err(Refusal::Weak)?;
        let hash = self.hash(password).await?;
        if !self.0.store.set_password(hash.clone(), true).await? {
            return Err(Refusal::Claimed);
        }
        self.0.state.borrow_mut().password = Password::Set(hash);
        tracing::info!("the box was claimed: it has a password now");
        self.begin()
    }

    /// Signs somebody in who knows the password.
    ///
    /// # Errors
    /// He does not, or it was tried too often.
    pub async fn sign_in(&self, from: IpAddr, password: String) -> Result<Secret, Refusal> {
        self.prove(from, password).await?;
        tracing::info!("the owner signed in from {from}");
        self.begin()
    }

    /// Ends a session.
    pub fn sign_out(&self, id: &str) {
        self.0.state.borrow_mut().sessions.end(&digest_of(id));
    }

    /// Sets another password, ends all sessions, and begins a new one.
    ///
    /// # Errors
    /// The old one is wrong, the new one too weak, or it could not be kept; then nothing has changed.
    pub async fn change_password(
        &self,
        from: IpAddr,
        old: String,
        new: String,
        names: &[&str],
    ) -> Result<Secret, Refusal> {
        password::judge(&new, names).map_err(Refusal::Weak)?;
        self.prove(from, old).await?;
        let hash = self.hash(new).await?;
        self.0.store.set_password(hash.clone(), false).await?;
        let mut state = self.0.state.borrow_mut();
        state.password = Password::Set(hash);
        state.sessions.end_all();
        drop(state);
        tracing::info!("the password was changed from {from}");
        self.begin()
    }

    /// All tokens, without themselves.
    pub fn tokens(&self) -> Vec<TokenFacts> {
        let facts = |token: &Token| TokenFacts {
            id: token.id,
            name: token.name.clone(),
            scope: token.scope,
            made_at: token.made_at,
            used_at: token.used_at,
        };
        self.0.state.borrow().tokens.iter().map(facts).collect()
    }

    /// Makes a token; its id, and itself, which nobody will be told again.
    ///
    /// # Errors
    /// There are enough, or it could not be kept.
    pub async fn add_token(&self, name: String, scope: Scope) -> Result<(u32, Secret), Refusal> {
        let secret = Secret(format!("{TOKEN_PREFIX}{}", self.random()?.0));
        let (digest, made_at) = (digest_of(&secret.0), clock::wall());
        let id = self.0.store.add_token(name.clone(), scope, digest, made_at).await?.ok_or(Refusal::Full)?;
        self.0.state.borrow_mut().tokens.push(Token { id, name, scope, digest, made_at, used_at: None });
        Ok((id, secret))
    }

    /// Revokes a token, at once.
    ///
    /// # Errors
    /// There is none with this id, or the database did not forget it: then it would come back with the next start.
    pub async fn remove_token(&self, id: u32) -> Result<(), Refusal> {
        self.0.state.borrow_mut().tokens.retain(|token| token.id != id);
        if self.0.store.remove_token(id).await? { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// Whether this is the password; takes as long for a wrong one as for the right one.
    pub async fn prove(&self, from: IpAddr, password: String) -> Result<(), Refusal> {
        let known = {
            let mut state = self.0.state.borrow_mut();
            let Password::Set(known) = state.password.clone() else { return Err(Refusal::Unclaimed) };
            state.guesses.ask(clock::mono(), from).map_err(Refusal::TooOften)?;
            known
        };
        let found = self.0.hasher.hash(password, known.salt, known.memory_kib, known.passes).await?;
        let mut state = self.0.state.borrow_mut();
        // It may have been changed meanwhile.
        if !is_same(&found, &known.hash) || state.password != Password::Set(known) {
            tracing::warn!("a wrong password came from {from}");
            return Err(Refusal::Wrong);
        }
        state.guesses.forgive(from);
        Ok(())
    }

    async fn hash(&self, password: String) -> Result<PasswordHash, Refusal> {
        let mut salt = [0; 16];
        self.fill(&mut salt)?;
        self.0.hasher.new_hash(password, salt).await
    }

    fn begin(&self) -> Result<Secret, Refusal> {
        let id = self.random()?;
        self.0.state.borrow_mut().sessions.begin(clock::mono(), digest_of(&id.0));
        Ok(id)
    }

    /// 256 bits that nobody can guess.
    fn random(&self) -> Result<Secret, Refusal> {
        let mut bytes = [0; 32];
        self.fill(&mut bytes)?;
        Ok(Secret(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), Refusal> {
        let filled = self.0.random.fill(bytes);
        filled.map_err(|_| Refusal::Fault("the kernel gives no random numbers".to_owned().into()))
    }
}

/// What is to be kept of a password, for whoever can wait; none when memory or random numbers are missing.
pub fn hash(password: &str) -> Option<PasswordHash> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).ok()?;
    hashing::hash(password, salt)
}

/// What Argon2 writes of a password, if that is how we keep one: as `argon2 SALT -id -t 2 -k 19456 -p 1 -l 32 -e` does it
/// with a salt of 16 bytes.
///
/// Source: the PHC string format, `$argon2id$v=19$m=…,t=…,p=…$salt$hash` with base64 that is not padded.
pub fn read_hash(text: &str) -> Option<PasswordHash> {
    let (memory_kib, passes) = (PASSWORD_MEMORY_KIB, PASSWORD_PASSES);
    let kind = format!("$argon2id$v=19$m={memory_kib},t={passes},p=1$");
    let (salt, hash) = text.strip_prefix(&kind)?.split_once('$')?;
    let read = |part| STANDARD_NO_PAD.decode(part).ok();
    Some(PasswordHash { salt: read(salt)?.try_into().ok()?, hash: read(hash)?.try_into().ok()?, memory_kib, passes })
}

fn digest_of(secret: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    bytes
}
