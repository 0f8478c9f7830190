//! Says to a mail server what has to be said for one mail, and no more.
//!
//! A password goes over TLS only, unless the server is in the house and has none. Each step has the deadline of the
//! whole; what the server says is read within the bounds of `pure::wire::smtp`.

use super::texts::Message;
use crate::fetch::Fetcher;
use crate::fetch::post::Line;
use pure::model::notification::MailRoute;
use pure::rules::notices::Sent;
use pure::wire::smtp::{Mail, Replies, Reply, base64};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::net::IpAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// Why a mail did not go, and whether it may later.
type Failed = (Sent, String);

/// Sends a mail once, and says how that went, for people and without secrets.
///
/// # Errors
/// Whether it may go better later, and why it did not go.
pub(super) async fn send(
    fetcher: &Fetcher,
    route: &MailRoute,
    message: &Message,
    text: &str,
) -> Result<String, Failed> {
    let MailRoute { host, port, tls_first, login, from, to } = route;
    let fetched = |error: crate::fetch::FetchError| (super::deliver::judge(&error), error.to_string());
    let mut line = fetcher.call(host, *port).await.map_err(fetched)?;
    if *tls_first {
        line = line.secure(fetcher, host).await.map_err(fetched)?;
    }
    let mut talk = Talk::new(line);
    talk.expect("greets", None).await?;
    let mut offers = talk.hello().await?;
    let mut is_secret = *tls_first;
    if !is_secret && offers.keyword("STARTTLS").is_some() {
        talk.expect("STARTTLS", Some("STARTTLS")).await?;
        // What came before the handshake could be anybody's.
        let line = talk.into_line()?.secure(fetcher, host).await.map_err(fetched)?;
        talk = Talk::new(line);
        offers = talk.hello().await?;
        is_secret = true;
    }
    let mut note = "";
    if let Some((user, password)) = login {
        if !is_secret && !talk.is_private {
            let why = "its server offers no encryption, so the password was not sent; try smtps://";
            return Err((Sent::Never, why.to_owned()));
        }
        if !is_secret {
            note = " Its server offers no encryption: the password went through your network as it is.";
        }
        talk.log_in(&offers, user, password).await?;
    }
    talk.expect("takes the sender", Some(&format!("MAIL FROM:<{}>", from.as_str()))).await?;
    let (mut taken, mut refused) = (0, None);
    for address in to {
        match talk.expect("takes the receiver", Some(&format!("RCPT TO:<{}>", address.as_str()))).await {
            Ok(_) => taken += 1,
            Err(failed) => refused = Some(failed),
        }
    }
    if let (0, Some(failed)) = (taken, refused.take()) {
        return Err(failed);
    }
    talk.expect("takes mail", Some("DATA")).await?;
    let name = &message.identity.name;
    let subject = format!("{name}: {}", message.title);
    let mail = Mail { name, from, to, subject: &subject, text, at: message.at, id: random() };
    talk.say(&mail.to_wire()).await?;
    talk.expect("takes the mail", None).await?;
    // It has the mail; whether it hears the farewell is its own business.
    talk.say("QUIT\r\n").await.unwrap_or_default();
    let lost = to.len() - taken;
    let lost = if lost > 0 { format!(" It refused {lost} of {} receivers.", to.len()) } else { String::new() };
    Ok(format!("The mail server took the mail.{lost}{note}"))
}

/// What nobody else names his mail.
fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).unwrap_or_default();
    u128::from_ne_bytes(bytes)
}

/// A conversation with a server.
struct Talk {
    line: BufReader<Line>,
    replies: Replies,
    /// How we call ourselves: a box has no name that a server could look up.
    own: String,
    is_private: bool,
}

impl Talk {
    fn new(line: Line) -> Self {
        let own = match line.own.ip() {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        };
        let is_private = line.is_private();
        Self { line: BufReader::with_capacity(1_024, line), replies: Replies::default(), own, is_private }
    }

    /// The line itself, once nothing more was said on it.
    fn into_line(self) -> Result<Line, Failed> {
        if self.line.buffer().is_empty() && self.replies.is_empty() {
            Ok(self.line.into_inner())
        } else {
            Err((
                Sent::Later(None),
                "its server said something before the encryption that should come after".to_owned(),
            ))
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Failed> {
        let said = async {
            self.line.write_all(text.as_bytes()).await?;
            self.line.flush().await
        };
        said.await.map_err(|error| (Sent::Later(None), format!("its server hangs up ({})", error.kind())))
    }

    async fn reply(&mut self) -> Result<Reply, Failed> {
        let broken = |why: &str| (Sent::Later(None), why.to_owned());
        loop {
            let byte = self.line.read_u8().await.map_err(|_| broken("its server hangs up"))?;
            match self.replies.push(byte) {
                Ok(None) => {}
                Ok(Some(reply)) => return Ok(reply),
                Err(_) => return Err((Sent::Never, "what is there is no mail server".to_owned())),
            }
        }
    }

    /// Says a command, if there is one to say, and wants a good answer.
    async fn expect(&mut self, what: &str, command: Option<&str>) -> Result<Reply, Failed> {
        if let Some(command) = command {
            self.say(&format!("{command}\r\n")).await?;
        }
        let reply = self.reply().await?;
        if reply.is_good() {
            return Ok(reply);
        }
        // Its words may repeat what we said, and after a login that is a secret.
        let sent = if reply.is_for_now() { Sent::Later(None) } else { Sent::Never };
        Err((sent, format!("its server answers {} where it {what}", reply.code)))
    }

    async fn hello(&mut self) -> Result<Reply, Failed> {
        let hello = format!("EHLO {}", self.own);
        self.expect("says what it can", Some(&hello)).await
    }

    async fn log_in(&mut self, offers: &Reply, user: &str, password: &str) -> Result<(), Failed> {
        let ways = offers.keyword("AUTH").unwrap_or_default().to_ascii_uppercase();
        let has = |way: &str| ways.split(' ').any(|offered| offered == way);
        let done = if has("PLAIN") {
            let login = base64(format!("\0{user}\0{password}").as_bytes());
            self.expect("checks the login", Some(&format!("AUTH PLAIN {login}"))).await
        } else if has("LOGIN") {
            self.expect("asks for the login", Some("AUTH LOGIN")).await?;
            self.expect("asks for the user", Some(&base64(user.as_bytes()))).await?;
            self.expect("checks the login", Some(&base64(password.as_bytes()))).await
        } else {
            let why = "its server takes no user and password here; try smtps://, or leave them out";
            return Err((Sent::Never, why.to_owned()));
        };
        done.map(drop).map_err(|(sent, why)| match sent {
            Sent::Never => (sent, format!("{why}: check user and password; some providers want an app password")),
            _ => (sent, why),
        })
    }
}
