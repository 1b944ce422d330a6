//! The process dies at seeded moments while a writer writes and rotates. Every line exactly once.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rotation {
    Rename,
    CopyTruncate,
}

fn live(seed: u64, rotation: Rotation, glob: &str) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(&[glob]);
    let mut next = 0;
    let mut written = Vec::new();
    let mut pause = 0;
    for _ in 0..400 {
        match rng.u32(0..100) {
            0..40 => {
                let count = if rng.u32(0..10) == 0 { rng.usize(0..4_000) } else { rng.usize(0..9) };
                let text = numbered(next, next + count);
                next += count;
                // Half a line now, the other half with the next append.
                written.extend_from_slice(text.as_bytes());
                let now = if rng.bool() { written.len() } else { rng.usize(0..=written.len()) };
                world.append("x.log", written.drain(..now).collect::<Vec<u8>>());
            }
            // A file that was rotated before anybody saw it has no name of ours: not our loss.
            40..46 if pause == 0 && world.is_known("x.log") => {
                world.append("x.log", std::mem::take(&mut written));
                for number in (1..20).rev() {
                    let (from, to) = (format!("x.log.{number}"), format!("x.log.{}", number + 1));
                    if world.path(&from).exists() {
                        world.rename(&from, &to);
                    }
                }
                match rotation {
                    Rotation::Rename => world.rename("x.log", "x.log.1"),
                    Rotation::CopyTruncate => world.copytruncate("x.log", "x.log.1"),
                }
                world.append("x.log", numbered(next, next + 1));
                next += 1;
                // Rotations are further apart than our looks; logrotate's are days.
                pause = 25;
            }
            46..52 => world.kill(),
            52..58 => {
                world.step_without_commit(Duration::from_millis(rng.u64(0..1500)));
                world.kill();
            }
            _ => world.step(Duration::from_millis(rng.u64(0..1500))),
        }
        pause = if pause > 0 { pause - 1 } else { 0 };
    }
    world.append("x.log", written);
    world.wait_out();
    let mut texts = world.texts();
    texts.sort();
    let mut expected: Vec<String> = numbered(0, next).lines().map(String::from).collect();
    expected.sort();
    let twice: Vec<_> = texts.windows(2).filter(|pair| pair[0] == pair[1]).take(3).collect();
    let lost: Vec<_> =
        expected.iter().filter(|line| texts.binary_search(line).is_err()).take(3).collect();
    assert!(texts == expected, "seed {seed} {rotation:?} {glob}: lost {lost:?} twice {twice:?}");
}

#[test]
fn b1_every_line_once_with_rename() {
    for seed in 0..40 {
        let glob = if seed % 2 == 0 { "x.log" } else { "x.log*" };
        live(seed, Rotation::Rename, glob);
    }
}

#[test]
fn b1_every_line_once_with_copytruncate() {
    for seed in 0..40 {
        let glob = if seed % 2 == 0 { "x.log" } else { "x.log*" };
        live(seed, Rotation::CopyTruncate, glob);
    }
}
