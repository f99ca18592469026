//! A way between two processes that can be harmed: it cuts connections, holds up what travels, takes
//! connections and says nothing, or leaves those that are open silent for good.
//!
//! Must never change, drop or reorder what it does pass on: that would be a broken TCP, not a broken network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Octets that travel at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// How it is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// All passes.
    Fair,
    /// Every piece waits so long.
    Slow(Duration),
    /// Connections are taken and nothing is read or said.
    Silent,
    /// Connections are taken and ended at once.
    Shut,
}

/// What every connection looks at.
#[derive(Clone, Copy, Debug)]
struct Sky {
    weather: Weather,
    /// Connections with a lower number are cut.
    cut_before: u64,
    /// Connections with a lower number stay silent until they are cut.
    silent_before: u64,
}

/// One harmed way.
pub(crate) struct Proxy {
    /// From whom to whom.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    sky: watch::Sender<Sky>,
    connections: AtomicU64,
    cut: AtomicU64,
}

impl Proxy {
    /// Listens on a port of its own, and passes on to `target`.
    pub(crate) async fn open(name: &str, target: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Arc::new(Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            sky: watch::Sender::new(Sky {
                weather: Weather::Fair,
                cut_before: 0,
                silent_before: 0,
            }),
            connections: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let (taking, target) = (Arc::clone(&proxy), target.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (proxy, target) = (Arc::clone(&taking), target.clone());
                tokio::spawn(async move { proxy.carry(stream, &target).await });
            }
        });
        proxy
    }

    /// Changes the weather for all connections, present and coming.
    pub(crate) fn set(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
    }

    /// Cuts every open connection.
    pub(crate) fn cut(&self) {
        let next = self.connections.load(Ordering::SeqCst);
        self.sky.send_modify(|sky| sky.cut_before = next);
    }

    /// Leaves every open connection silent until it is cut; new ones pass.
    pub(crate) fn forget(&self) {
        let next = self.connections.load(Ordering::SeqCst);
        self.sky.send_modify(|sky| sky.silent_before = next);
    }

    /// Fair weather again; what stays silent is cut.
    pub(crate) fn heal(&self) {
        self.sky.send_modify(|sky| {
            sky.weather = Weather::Fair;
            sky.cut_before = sky.cut_before.max(sky.silent_before);
        });
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cut.load(Ordering::SeqCst)
    }

    async fn carry(&self, near: TcpStream, target: &str) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let mut sky = self.sky.subscribe();
        let silent = |sky: &Sky| sky.weather == Weather::Silent;
        if sky.wait_for(|sky| !silent(sky)).await.is_err() || shut(&sky, number) {
            return;
        }
        let Ok(far) = TcpStream::connect(target).await else {
            return;
        };
        drop((near.set_nodelay(true), far.set_nodelay(true)));
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let mut ending = self.sky.subscribe();
        tokio::select! {
            () = pump(near_read, far_write, self.sky.subscribe(), number) => {}
            () = pump(far_read, near_write, self.sky.subscribe(), number) => {}
            _ = ending.wait_for(|sky| number < sky.cut_before || sky.weather == Weather::Shut) => {
                self.cut.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

fn shut(sky: &watch::Receiver<Sky>, number: u64) -> bool {
    let sky = sky.borrow();
    sky.weather == Weather::Shut || number < sky.cut_before
}

/// Passes on what comes, as the weather lets it, until one side ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut sky: watch::Receiver<Sky>,
    number: u64,
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let held = |sky: &Sky| sky.weather == Weather::Silent || number < sky.silent_before;
        if sky.wait_for(|sky| !held(sky)).await.is_err() {
            return;
        }
        let Ok(count) = from.read(&mut piece).await else {
            return;
        };
        if count == 0 {
            return;
        }
        let seen = *sky.borrow();
        if let Weather::Slow(wait) = seen.weather {
            tokio::time::sleep(wait).await;
        }
        // What was read while the weather turned is held up with the rest.
        if sky.wait_for(|sky| !held(sky)).await.is_err() {
            return;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Proxy, Weather};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    const SHORT: Duration = Duration::from_millis(200);

    /// A server that says what it hears.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        address
    }

    /// Whether a word comes back in time.
    async fn answers(stream: &mut TcpStream) -> bool {
        let mut word = [0; 4];
        let asked = async {
            stream.write_all(b"boat").await?;
            stream.read_exact(&mut word).await
        };
        let answered = tokio::time::timeout(SHORT, asked).await;
        matches!(answered, Ok(Ok(_))) && word == *b"boat"
    }

    #[tokio::test]
    async fn each_weather_does_what_it_says() {
        let proxy = Proxy::open("test", &echo().await).await;
        let connect = || TcpStream::connect(proxy.address);
        let mut stream = connect().await.unwrap();
        assert!(answers(&mut stream).await);

        proxy.set(Weather::Silent);
        let mut half = connect().await.unwrap();
        assert!(
            !answers(&mut half).await,
            "a half-open connection is silent"
        );
        proxy.heal();
        let mut word = [0; 4];
        half.read_exact(&mut word).await.unwrap();
        assert_eq!(word, *b"boat", "what was held up arrives");

        proxy.cut();
        assert!(!answers(&mut stream).await, "it was cut");
        assert_eq!(proxy.cuts(), 2);
        let mut stream = connect().await.unwrap();
        assert!(answers(&mut stream).await);
        proxy.forget();
        assert!(!answers(&mut stream).await, "it is forgotten");
        assert!(
            answers(&mut connect().await.unwrap()).await,
            "a new one is not"
        );

        proxy.set(Weather::Shut);
        assert!(!answers(&mut connect().await.unwrap()).await);
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        assert!(answers(&mut connect().await.unwrap()).await);
    }
}
