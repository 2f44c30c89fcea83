use tonic::Code;

use super::keys::Keys;
use super::*;

/// SHA-256 of "abc", of "b" and of "c".
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

fn parse(text: &str) -> Result<Keys, String> {
    Keys::parse(text, &Keys::default())
}

fn access(text: &str) -> Access {
    let (_, keys) = channel::channel(Arc::new(parse(text).unwrap()));
    Access { keys, refusals: Arc::default() }
}

fn call(access: &Access, header: Option<(&'static str, &str)>, path: &str, at: Instant) -> Option<Code> {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, value.parse().unwrap());
    }
    access.decide(&headers, path, at).err().map(|error| error.code())
}

#[test]
fn a_known_key_is_let_in_by_either_header_and_others_are_not() {
    let access = access(&format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\""));
    let at = Instant::now();
    let call = |header| call(&access, header, "/x.X/M", at);
    assert_eq!(call(Some(("authorization", "Bearer abc"))), None);
    assert_eq!(call(Some(("authorization", "bearer  abc"))), None);
    assert_eq!(call(Some(("x-api-key", "abc"))), None);
    for wrong in
        [None, Some(("x-api-key", "abd")), Some(("authorization", "Basic abc")), Some(("x-api-key", ""))]
    {
        assert_eq!(call(wrong), Some(Code::Unauthenticated), "{wrong:?}");
    }
}

#[test]
fn a_key_calls_its_own_services_alone_and_at_its_own_rate() {
    let access = access(&format!(
        "[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\nservices = [\"x.X\"]\nrequests_per_second = 2\nburst = 1\n\
         [[key]]\nname = \"b\"\nsha256 = \"{B}\""
    ));
    let at = Instant::now();
    let a = |path, at| call(&access, Some(("x-api-key", "abc")), path, at);
    assert_eq!(a("/y.Y/M", at), Some(Code::PermissionDenied));
    assert_eq!(a("/x.X/M", at), None);
    assert_eq!(a("/x.X/M", at), Some(Code::ResourceExhausted));
    assert_eq!(a("/x.X/M", at + Duration::from_millis(501)), None);
    for _ in 0..100 {
        assert_eq!(call(&access, Some(("x-api-key", "b")), "/y.Y/M", at), None, "each has its own rate");
    }
}

#[test]
fn what_is_left_of_a_rate_survives_a_change_of_other_keys() {
    let a = format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\nrequests_per_second = 1\n");
    let at = Instant::now();
    let before = parse(&a).unwrap();
    assert_eq!(before.find("abc").unwrap().take(at), Ok(()));
    let more = format!("{a}[[key]]\nname = \"b\"\nsha256 = \"{B}\"\n");
    let after = Keys::parse(&more, &before).unwrap();
    assert!(after.find("abc").unwrap().take(at).is_err());
    let changed = Keys::parse(&more.replace("_second = 1", "_second = 2"), &after).unwrap();
    assert_eq!(changed.find("abc").unwrap().take(at), Ok(()), "a new rate begins anew");
}

#[test]
fn a_wrong_file_is_told_with_key_and_field() {
    let wrong = |text: &str| parse(text).map(|_| ()).unwrap_err();
    assert!(wrong("[[key]]\nname = \"a\"").contains("sha256"));
    assert!(wrong("[[key]]\nname = \"a\"\nsha256 = \"abc\"").contains("key \"a\": sha256 must be 64"));
    let a = format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\n");
    assert!(wrong(&format!("{a}{a}")).contains("name must be of 1 to 64 bytes, and no other key's"));
    assert!(
        wrong(&format!("{a}{}", a.replace("\"a\"", "\"b\""))).contains("sha256 is that of key \"a\" too")
    );
    assert!(wrong(&format!("{a}burst = 2")).contains("burst needs requests_per_second"));
    for rate in ["0", "-1", "nan", "inf"] {
        assert!(
            wrong(&format!("{a}requests_per_second = {rate}")).contains("requests_per_second is"),
            "{rate}"
        );
    }
    assert!(wrong(&format!("{a}requests_per_second = 2\nburst = 0.5")).contains("burst is 0.5"));
    assert!(wrong(&format!("{a}rate = 2")).contains("rate"));
}

#[test]
fn a_key_goes_no_further_than_the_door_let_in_or_not() {
    let access = access(&format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\""));
    for (key, let_in) in [("abc", true), ("abd", false)] {
        let mut request = Request::default();
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        request.headers_mut().insert(API_KEY, key.parse().unwrap());
        request.headers_mut().insert("x-request-id", "1".parse().unwrap());
        assert_eq!(access.admit(&mut request).is_ok(), let_in);
        assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
    }
}

#[test]
fn a_service_that_nobody_serves_is_no_typing_mistake_that_goes_unseen() {
    let known = ["x.X", "y.Y"].map(str::to_owned).into();
    let text = |service: &str| {
        format!("[[key]]\nname = \"a\"\nsha256 = \"{ABC}\"\nservices = [\"x.X\", \"{service}\"]")
    };
    parse(&text("y.Y")).unwrap().name_only(&known).unwrap();
    let said = parse(&text("y.y")).unwrap().name_only(&known).unwrap_err();
    assert_eq!(said, "key \"a\": services has \"y.y\", which nobody serves; there is: x.X, y.Y");
}
