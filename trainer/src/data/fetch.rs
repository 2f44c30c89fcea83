//! Fetching data sets from where their authors publish them. Nothing else in Atelier downloads anything.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::catalogue::{DataFile, Found};

/// Longer files than this are not what was asked for.
const LIMIT: u64 = 4 << 30;

/// Fetches one file to its place below `data`, checks its content, and puts it there in one step.
/// `progress` hears the bytes so far and, where the server says it, how many there are.
///
/// # Errors
/// The network refuses, the server does, or what came is not the file.
pub fn fetch(file: &DataFile, data: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> anyhow::Result<()> {
    let target = file.below(data);
    let Some(directory) = target.parent() else { bail!("{} has no directory", target.display()) };
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let partial = target.with_extension("partial");
    let result = download(file.url, &partial, progress).and_then(|()| match file.verify_at(&partial) {
        Found::Right => Ok(()),
        Found::Missing => bail!("{} is gone", partial.display()),
        Found::Wrong(why) => bail!("{} sent another file: {why}", file.url),
    });
    if result.is_err() {
        // Nothing is there when nothing was written.
        let _ = fs::remove_file(&partial);
    }
    result?;
    fs::rename(&partial, &target).with_context(|| format!("cannot write {}", target.display()))
}

fn download(url: &str, to: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let response = agent.get(url).call().with_context(|| format!("the network refuses {url}"))?;
    let mut body = response.into_body();
    let total = body.content_length();
    let written = || format!("cannot write {}", to.display());
    let mut out = File::create(to).with_context(written)?;
    let mut reader = body.as_reader().take(LIMIT);
    let mut buffer = vec![0; 1 << 16];
    let mut so_far = 0;
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e).with_context(|| format!("{url} broke off after {so_far} bytes")),
        };
        out.write_all(&buffer[..n]).with_context(written)?;
        so_far += n as u64;
        progress(so_far, total);
    }
    out.sync_all().with_context(written)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `body`, on loopback.
    fn server(body: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        });
        format!("http://{address}/abc.txt")
    }

    fn file(url: String) -> DataFile {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        DataFile { path: "set/abc.txt", url: url.leak(), sha256 }
    }

    #[test]
    fn what_arrives_is_checked_and_put_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut heard = Vec::new();
        let file = file(server(b"abc"));
        fetch(&file, dir.path(), &mut |n, total| heard.push((n, total))).unwrap();
        assert_eq!(file.verify(dir.path()), Found::Right);
        assert_eq!(heard.last(), Some(&(3, Some(3))));
    }

    #[test]
    fn another_file_is_refused_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let error = fetch(&file(server(b"abd")), dir.path(), &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("sent another file"), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("set")).unwrap().count(), 0);
    }

    #[test]
    fn a_network_that_refuses_is_said_plainly() {
        let dir = tempfile::tempdir().unwrap();
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/abc.txt");
        let error = fetch(&file(url.clone()), dir.path(), &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(&format!("the network refuses {url}")), "{error}");
    }
}
