//! Prints 1, 2, 3 beside the moves. rustc 1.95 prints other numbers at `opt-level` 1, 2, "s" and "z" on x86-64:
//! `docs/decisions/0012-a-compilers-fault.md`.

#[derive(Clone, Copy, Debug)]
enum Move {
    Stay,
    Step(u8),
    Turn(u8, bool),
}

#[inline(never)]
fn numbered(moves: &[(Move, bool)], seen: &mut Vec<u64>, found: &mut Vec<(Move, u32)>) {
    for (it, stop) in moves {
        if *stop {
            return;
        }
        let next = u32::try_from(seen.len()).expect("few");
        let number = seen.iter().position(|s| *s == 7).map_or(next, |n| n as u32);
        if number == next {
            seen.push(8);
        }
        found.push((*it, number));
    }
}

fn main() {
    let mut found = Vec::new();
    let moves = [(Move::Stay, false), (Move::Step(7), false), (Move::Turn(8, true), false)];
    numbered(&moves, &mut vec![1], &mut found);
    println!("{found:?}");
}
