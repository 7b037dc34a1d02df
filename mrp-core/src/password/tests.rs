use super::*;

fn verdict(password: &str, hash: &str) -> Verdict {
    verify(&Secret::new(password), hash)
}

#[test]
fn a_password_is_known_by_its_new_hash() {
    let made = hash(&Secret::new("correct horse")).unwrap();
    assert!(made.starts_with("$argon2id$") && is_known(&made), "{made}");
    assert_eq!(verdict("correct horse", &made), Verdict::Right);
    assert_eq!(verdict("correct hors", &made), Verdict::Wrong);
    assert!(is_known(UNKNOWN_USER));
    assert_eq!(verdict("", UNKNOWN_USER), Verdict::Wrong);
}

/// Made by passlib 1.7.4.
#[test]
fn hashes_of_passlib_are_read() {
    let long = "x".repeat(256);
    for (password, hash) in [
        (
            "correct horse",
            "$pbkdf2-sha256$29000$x3jPeU.p9Z6z9h6j1HoPQQ$JrmFU5dZ8EWHmAfAeQdTp97xdM.bp73X6GOrwHRZdMU",
        ),
        (
            "pässwörd ☃",
            "$pbkdf2-sha256$29000$FaL03jun1JpzTknJmTPmfA$pV3T32vTIPdTgSNk4IPA5uC6qCEkT6x.Z/qwCxWlr18",
        ),
        (&long, "$pbkdf2-sha256$29000$yBmDECKEUOodg3CuFUKI0Q$i2pDxIK/IAo9AzV/JZUfqbvWPUQtUPcHoM7aSWpGh4M"),
        ("correct horse", "$pbkdf2-sha256$1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM"),
    ] {
        assert!(is_known(hash), "{hash}");
        assert_eq!(verdict(password, hash), Verdict::RightButOld, "{hash}");
        assert_eq!(verdict("another", hash), Verdict::Wrong, "{hash}");
    }
}

#[test]
fn what_is_no_hash_verifies_nothing() {
    let good = "$pbkdf2-sha256$1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM";
    let salt = "A".repeat(2048);
    for hash in [
        "",
        "correct horse",
        "$",
        "$argon2id$",
        "$argon2id$x",
        "$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$0000000000000000000000000000000000000000000",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$pbkdf2-sha256$",
        "$pbkdf2-sha256$29000",
        "$pbkdf2-sha256$29000$",
        "$pbkdf2-sha256$0$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$01$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$+1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$1000001$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$4294967296$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$1$$ZMA1N448/D1ij7XRKSAknopAy+7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha256$1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM=",
        "$pbkdf2-sha256$1$$",
        "$pbkdf2-sha256$1$$AAAA",
        "$pbkdf2-sha256$1$\u{fc}$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        "$pbkdf2-sha512$1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM",
        &format!("$pbkdf2-sha256$1${salt}$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM"),
        &format!("{good}$"),
        &format!(" {good}"),
    ] {
        assert!(!is_known(hash), "{hash}");
        for password in ["", "correct horse", hash] {
            assert_eq!(verdict(password, hash), Verdict::Wrong, "{hash}");
        }
    }
}

#[test]
fn passwords_have_a_length() {
    for (length, good) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
        assert_eq!(check(&Secret::new("ä".repeat(length))).is_ok(), good, "{length}");
    }
}
