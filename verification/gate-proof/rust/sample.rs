//! Prints every rule's value for each line of `word from which` on the standard input, from the code as it is shipped.

use std::io::stdin;

fn main() {
    for line in stdin().lines() {
        let line = line.expect("a line");
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        let (word, from, which) = (next(), next() as u8, next() as u8);
        for (name, value) in rules::sampled(word, from, which) {
            println!("{name} {word} {from} {which} {value}");
        }
    }
}
