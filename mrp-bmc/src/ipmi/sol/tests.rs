//! Two sides, joined without sockets: time is a number that the test moves, and the network loses, doubles and delays.

use proptest::prelude::*;

use super::*;

const WAIT: Duration = Duration::from_millis(200);
const SENDING: Sending = Sending { packet: 10, retry: Retry { first_wait: WAIT, tries: 30 } };

fn sol() -> Sol {
    Sol::new(SENDING)
}

fn packet(sequence: u8, characters: &[u8]) -> Vec<u8> {
    SolPacket { sequence, characters: characters.to_vec(), ..SolPacket::default() }.to_bytes()
}

fn acknowledgement(acknowledged: u8, accepted: usize, flags: u8) -> Vec<u8> {
    let accepted = u8::try_from(accepted).unwrap();
    SolPacket { acknowledged, accepted, flags, ..SolPacket::default() }.to_bytes()
}

fn transmitted(sol: &mut Sol) -> Option<SolPacket> {
    sol.poll_transmit().map(|packet| SolPacket::decode(&packet).unwrap())
}

fn output(sol: &mut Sol) -> Vec<u8> {
    std::iter::from_fn(|| sol.poll_output()).flatten().collect()
}

/// A small generator, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Carries what two sides write to each other over a network that loses 30%, doubles 20% and delays by up to 60 ms, and
/// returns what each has received.
fn exchange(seed: u64, texts: [&[u8]; 2]) -> [Vec<u8>; 2] {
    let (mut now, mut dice) = (Instant::now(), Dice(seed));
    let mut sides = [sol(), sol()];
    let mut received = [Vec::new(), Vec::new()];
    let mut network: Vec<(Instant, usize, Vec<u8>)> = Vec::new();
    for (side, text) in sides.iter_mut().zip(texts) {
        side.write(Bytes::copy_from_slice(text), now);
    }
    for _ in 0..100_000 {
        for (number, side) in sides.iter_mut().enumerate() {
            assert!(!side.is_gone(), "seed {seed}");
            while let Some(packet) = side.poll_transmit() {
                let copies = if dice.below(100) < 20 { 2 } else { 1 };
                for _ in 0..copies {
                    if dice.below(100) >= 30 {
                        let arrival = now + Duration::from_millis(10 + dice.below(50));
                        network.push((arrival, 1 - number, packet.clone()));
                    }
                }
            }
        }
        let timeouts = sides.iter().filter_map(Sol::poll_timeout);
        let Some(next) = network.iter().map(|(arrival, ..)| *arrival).chain(timeouts).min() else {
            return received;
        };
        now = next;
        let (arrived, later) = network.into_iter().partition(|(arrival, ..)| *arrival <= now);
        network = later;
        for (_, number, packet) in arrived {
            sides[number].handle_input(&packet, now);
            received[number].extend(output(&mut sides[number]));
        }
        sides.iter_mut().for_each(|side| side.handle_timeout(now));
    }
    panic!("seed {seed} does not end");
}

#[test]
fn characters_arrive_once_and_in_order_over_a_bad_network() {
    let texts: [Vec<u8>; 2] = [(0..=255).cycle().take(1000).collect(), b"boot messages\r\n".repeat(40)];
    for seed in 0..50 {
        let [first, second] = exchange(seed, [&texts[0], &texts[1]]);
        assert_eq!((first == texts[1], second == texts[0]), (true, true), "seed {seed}");
    }
}

#[test]
fn sequence_numbers_run_from_1_to_15_and_begin_again() {
    let (mut sol, now) = (sol(), Instant::now());
    sol.write(Bytes::from(vec![b'x'; 170]), now);
    let mut sequences = Vec::new();
    while let Some(sent) = transmitted(&mut sol) {
        sequences.push(sent.sequence);
        sol.handle_input(&acknowledgement(sent.sequence, sent.characters.len(), 0), now);
    }
    assert_eq!(sequences, (1..=15).chain(1..=2).collect::<Vec<_>>());
}

#[test]
fn a_repetition_has_the_same_sequence_number_and_the_waits_grow() {
    let (mut sol, start) = (sol(), Instant::now());
    sol.write(Bytes::from_static(b"ls\n"), start);
    let first = transmitted(&mut sol).unwrap();
    assert_eq!(transmitted(&mut sol), None, "sent once");
    assert_eq!(sol.poll_timeout(), Some(start + WAIT));
    sol.handle_timeout(start + WAIT / 2);
    assert_eq!(transmitted(&mut sol), None, "not before its time");
    sol.handle_timeout(start + WAIT);
    assert_eq!(transmitted(&mut sol), Some(first.clone()));
    assert_eq!(sol.poll_timeout(), Some(start + WAIT + WAIT * 3 / 2));
    sol.handle_input(&acknowledgement(7, 3, 0), start + WAIT);
    assert!(sol.poll_timeout().is_some(), "another packet's acknowledgement");
    sol.handle_input(&acknowledgement(1, 3, 0), start + WAIT);
    assert_eq!((sol.poll_timeout(), transmitted(&mut sol)), (None, None));
}

#[test]
fn a_peer_that_never_acknowledges_is_gone_after_the_last_try() {
    let mut sol = Sol::new(Sending { retry: Retry { tries: 3, ..SENDING.retry }, ..SENDING });
    sol.write(Bytes::from_static(b"x"), Instant::now());
    let mut sent = 0;
    while let Some(due) = sol.poll_timeout() {
        sent += usize::from(transmitted(&mut sol).is_some());
        assert!(!sol.is_gone());
        sol.handle_timeout(due);
    }
    assert_eq!((sent, sol.is_gone()), (3, true));
}

#[test]
fn the_rest_of_a_packet_that_was_taken_in_part_goes_with_the_next_number() {
    let (mut sol, now) = (sol(), Instant::now());
    sol.write(Bytes::from_static(b"0123456789abc"), now);
    assert_eq!(transmitted(&mut sol).unwrap().characters, b"0123456789");
    sol.handle_input(&acknowledgement(1, 4, 0), now);
    let rest = transmitted(&mut sol).unwrap();
    assert_eq!((rest.sequence, rest.characters.as_slice()), (2, b"456789abc".as_slice()));
    sol.handle_input(&acknowledgement(2, 8, flag::NACK), now);
    let rest = transmitted(&mut sol).unwrap();
    assert_eq!((rest.sequence, rest.characters.as_slice()), (3, b"c".as_slice()));
    sol.handle_input(&acknowledgement(3, 0, 0), now);
    assert_eq!(sol.poll_timeout(), None, "0 characters without NACK are all of them");
}

#[test]
fn a_packet_that_is_refused_comes_again_later_for_as_long_as_the_peer_lives() {
    let mut sol = Sol::new(Sending { retry: Retry { tries: 2, ..SENDING.retry }, ..SENDING });
    let mut now = Instant::now();
    sol.write(Bytes::from_static(b"x"), now);
    for _ in 0..10 {
        assert_eq!(transmitted(&mut sol).unwrap().sequence, 1);
        sol.handle_input(&acknowledgement(1, 0, flag::NACK), now);
        assert_eq!(transmitted(&mut sol), None, "not at once");
        now = sol.poll_timeout().unwrap();
        sol.handle_timeout(now);
    }
    assert!(!sol.is_gone());
}

#[test]
fn what_is_typed_at_a_machine_that_is_off_is_lost() {
    let (mut console, mut bmc, now) = (sol(), sol(), Instant::now());
    bmc.refuse(Some(flag::UNAVAILABLE));
    console.write(Bytes::from_static(b"typed at nobody"), now);
    bmc.handle_input(&console.poll_transmit().unwrap(), now);
    console.handle_input(&bmc.poll_transmit().unwrap(), now);
    assert_eq!(console.poll_flags(), Some(flag::UNAVAILABLE));
    assert_eq!((console.poll_transmit(), console.poll_timeout()), (None, None));
    bmc.refuse(None);
    console.write(Bytes::from_static(b"root"), now);
    bmc.handle_input(&console.poll_transmit().unwrap(), now);
    assert_eq!(output(&mut bmc), b"root");
}

#[test]
fn a_packet_that_comes_again_is_acknowledged_again_and_delivered_once() {
    let (mut sol, now) = (sol(), Instant::now());
    for _ in 0..3 {
        sol.handle_input(&packet(1, b"login: "), now);
        let acknowledgement = transmitted(&mut sol).unwrap();
        assert_eq!((acknowledgement.acknowledged, acknowledgement.accepted), (1, 7));
        assert_eq!(acknowledgement.sequence, 0, "an acknowledgement is not acknowledged");
    }
    assert_eq!(output(&mut sol), b"login: ");
    sol.handle_input(&packet(2, b"root"), now);
    sol.handle_input(&packet(1, b"login: "), now);
    assert_eq!(output(&mut sol), b"root", "a packet that was overtaken is old");
}

#[test]
fn some_bmcs_append_to_the_packet_that_they_repeat() {
    let (mut sol, now) = (sol(), Instant::now());
    sol.handle_input(&packet(1, b"log"), now);
    sol.handle_input(&packet(1, b"login: "), now);
    assert_eq!(output(&mut sol), b"login: ");
    transmitted(&mut sol);
    assert_eq!(transmitted(&mut sol).unwrap().accepted, 7);
}

#[test]
fn a_bmc_that_begins_anew_is_heard() {
    for sequence in [1, 3] {
        let (mut sol, now) = (sol(), Instant::now());
        for number in 1..=3 {
            sol.handle_input(&packet(number, b"x"), now);
        }
        output(&mut sol);
        sol.handle_input(&packet(sequence, b"anew"), now + Duration::from_secs(1));
        assert_eq!(output(&mut sol), b"");
        sol.handle_input(&packet(sequence, b"anew"), now + LATE);
        assert_eq!(output(&mut sol), b"anew");
    }
}

#[test]
fn when_nobody_reads_the_peer_keeps_what_finds_no_room() {
    let (mut sol, now) = (sol(), Instant::now());
    let characters = [b'x'; 200];
    let mut taken = 0;
    for number in 0..100 {
        sol.handle_input(&packet(number % SEQUENCES + 1, &characters), now);
        if sol.poll_transmit().is_none() {
            break;
        }
        taken += 1;
    }
    assert_eq!(taken, MAX_OUTPUT / characters.len());
    let next = u8::try_from(taken).unwrap() % SEQUENCES + 1;
    for _ in 0..100 {
        sol.handle_input(&packet(next, &characters), now);
        assert_eq!(sol.poll_transmit(), None, "not acknowledged");
    }
    assert_eq!(output(&mut sol).len(), taken * characters.len());
    sol.handle_input(&packet(next, &characters), now);
    assert_eq!(transmitted(&mut sol).unwrap().acknowledged, next);
    assert_eq!(output(&mut sol), characters);
}

#[test]
fn room_for_input_is_bounded() {
    let (mut sol, now) = (sol(), Instant::now());
    let mut written = 0;
    while sol.has_room() {
        sol.write(Bytes::from_static(&[b'x'; 100]), now);
        written += 100;
    }
    assert!(written <= MAX_WAITING + 200, "{written}");
}

#[test]
fn a_break_keeps_its_place_and_comes_once() {
    let (mut console, mut bmc, now) = (sol(), sol(), Instant::now());
    console.write(Bytes::from_static(b"a"), now);
    console.write(Bytes::from_static(b"b"), now);
    console.send_flags(flag::BREAK, now);
    console.send_flags(flag::BREAK, now);
    console.write(Bytes::from_static(b"c"), now);
    let mut story = Vec::new();
    while let Some(sent) = console.poll_transmit() {
        bmc.handle_input(&sent, now);
        bmc.handle_input(&sent, now);
        story.push((output(&mut bmc), std::iter::from_fn(|| bmc.poll_flags()).collect::<Vec<_>>()));
        while let Some(acknowledgement) = bmc.poll_transmit() {
            console.handle_input(&acknowledgement, now);
        }
    }
    let no_characters = Vec::new;
    let expected = vec![
        (b"a".to_vec(), vec![]),
        (b"b".to_vec(), vec![]),
        (no_characters(), vec![flag::BREAK]),
        (no_characters(), vec![flag::BREAK]),
        (b"c".to_vec(), vec![]),
    ];
    assert_eq!(story, expected);
}

proptest! {
    #[test]
    fn no_packet_makes_it_panic(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..50)) {
        let (mut sol, now) = (sol(), Instant::now());
        sol.write(Bytes::from(vec![b'x'; 500]), now);
        for packet in packets {
            sol.handle_input(&packet, now);
            while sol.poll_transmit().is_some() {}
        }
    }
}
