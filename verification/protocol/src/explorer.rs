//! Visits every state that a system can reach, nearest first, and keeps the graph.
//!
//! Relies on nothing. Breadth first, so the first violation found is one of the shortest. A run that finds none has seen
//! every state: nothing is sampled, cut off or hashed down to less than the state itself.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Something that moves in steps.
pub trait System {
    /// Everything that matters for what can happen next.
    type State: Copy + Eq + Hash + Debug;
    /// What somebody does.
    type Action: Copy + Eq + Debug;

    /// Where it starts.
    fn initial(&self) -> Self::State;

    /// All that can happen in a state. A step that changes nothing is none.
    fn steps(&mut self, state: &Self::State, into: &mut Vec<Edge<Self::State, Self::Action>>);

    /// Which property this state breaks, if any.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge<S, A> {
    /// What somebody does.
    pub action: A,
    /// What is so then.
    pub to: S,
    /// Which property this very step breaks, if any.
    pub breaks: Option<&'static str>,
}

/// All states and all steps between them.
pub struct Graph<S, A> {
    /// In the order in which they were found: the first is the initial one.
    pub states: Vec<S>,
    /// The steps `first[i]..first[i + 1]` leave state `i`. Two lists and not one of pairs: rustc 1.95 stores some pairs of a
    /// small enum and a number with another number (`docs/decisions/0012-a-compilers-fault.md`). [`explore`] ends by
    /// [comparing](Self::first_difference) all that was kept.
    first: Vec<u32>,
    actions: Vec<A>,
    targets: Vec<u32>,
}

impl<S, A: Copy> Graph<S, A> {
    /// The steps that leave a state: the action, and the number of the state it leads to.
    pub fn steps(&self, state: u32) -> impl ExactSizeIterator<Item = (A, u32)> + '_ {
        let state = state as usize;
        let range = self.first[state] as usize..self.first[state + 1] as usize;
        self.actions[range.clone()].iter().copied().zip(self.targets[range].iter().copied())
    }

    /// The first state whose steps, taken once more, are others than those that were kept. By the states themselves: the
    /// numbers are what is checked.
    fn first_difference<Y: System<State = S, Action = A>>(&self, system: &mut Y) -> Option<&S>
    where
        S: PartialEq,
        A: PartialEq,
    {
        let mut again = Vec::new();
        (0_u32..).zip(&self.states).find_map(|(number, state)| {
            again.clear();
            system.steps(state, &mut again);
            let kept = self.steps(number);
            let same = kept.len() == again.len()
                && kept.zip(&again).all(|((action, to), edge)| {
                    action == edge.action && self.states.get(to as usize).is_some_and(|to| *to == edge.to)
                });
            (!same).then_some(state)
        })
    }

    /// How many states and how many steps there are.
    pub fn counts(&self) -> Counts {
        Counts { states: self.states.len(), edges: self.targets.len() }
    }
}

/// The size of what was explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Distinct states.
    pub states: usize,
    /// Steps between them.
    pub edges: usize,
}

/// A shortest way to a violation.
#[derive(Clone, Debug)]
pub struct Counterexample<S, A> {
    /// The property.
    pub breaks: &'static str,
    /// The initial state.
    pub start: S,
    /// What happens, and what is so after each step.
    pub steps: Vec<(A, S)>,
}

/// All of it, or how something breaks.
pub type Explored<Y> = Result<
    Graph<<Y as System>::State, <Y as System>::Action>,
    Box<Counterexample<<Y as System>::State, <Y as System>::Action>>,
>;

/// Visits everything.
///
/// # Errors
/// The shortest counterexample, as soon as a property breaks.
pub fn explore<Y: System>(system: &mut Y) -> Explored<Y> {
    let start = system.initial();
    let mut numbers: Map<Y::State, u32> = Map::default();
    let mut graph = Graph { states: vec![start], first: vec![0], actions: Vec::new(), targets: Vec::new() };
    let mut parents: Vec<Option<(u32, Y::Action)>> = vec![None];
    numbers.insert(start, 0);
    let mut out = Vec::new();
    let tell = |graph: &Graph<Y::State, Y::Action>, parents: &[Option<(u32, Y::Action)>], last: u32, breaks| {
        let mut steps = Vec::new();
        let mut at = last;
        while let Some((before, action)) = parents[at as usize] {
            steps.push((action, graph.states[at as usize]));
            at = before;
        }
        steps.reverse();
        Box::new(Counterexample { breaks, start, steps })
    };
    if let Some(breaks) = system.broken(&start) {
        return Err(tell(&graph, &parents, 0, breaks));
    }
    let mut at = 0_u32;
    while let Some(state) = graph.states.get(at as usize).copied() {
        out.clear();
        system.steps(&state, &mut out);
        for Edge { action, to, breaks } in &out {
            if let Some(breaks) = breaks {
                let mut counterexample = tell(&graph, &parents, at, breaks);
                counterexample.steps.push((*action, *to));
                return Err(counterexample);
            }
            let next = u32::try_from(graph.states.len()).expect("fewer than 2^32 states");
            let number = *numbers.entry(*to).or_insert(next);
            if number == next {
                graph.states.push(*to);
                parents.push(Some((at, *action)));
                if let Some(breaks) = system.broken(to) {
                    return Err(tell(&graph, &parents, number, breaks));
                }
            }
            graph.actions.push(*action);
            graph.targets.push(number);
        }
        graph.first.push(u32::try_from(graph.targets.len()).expect("fewer than 2^32 steps"));
        at += 1;
    }
    let different = graph.first_difference(system);
    assert!(different.is_none(), "the steps that were kept are not those that were taken: {different:?}");
    Ok(graph)
}

/// A map from small values of known making.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// A quick hash for small states of known making: nobody chooses them to collide.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        let folded = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        folded ^ (folded >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[expect(clippy::cast_sign_loss, reason = "only the bits matter")]
    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up to three, or goes back to nothing.
    struct Counter;

    impl System for Counter {
        type State = u8;
        type Action = bool;

        fn initial(&self) -> u8 {
            0
        }

        fn steps(&mut self, state: &u8, into: &mut Vec<Edge<u8, bool>>) {
            into.push(Edge { action: true, to: (state + 1).min(3), breaks: None });
            into.push(Edge { action: false, to: 0, breaks: None });
        }

        fn broken(&self, _: &u8) -> Option<&'static str> {
            None
        }
    }

    #[test]
    fn what_is_kept_of_a_step_is_compared_with_the_step_taken_once_more() {
        let mut graph = explore(&mut Counter).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(graph.first_difference(&mut Counter), None);
        graph.targets[2] += 1; // Of state 1: there is such a state, but the step doesn't lead to it.
        assert_eq!(graph.first_difference(&mut Counter), Some(&1));
        graph.targets[2] -= 1;
        graph.actions[7] = true;
        assert_eq!(graph.first_difference(&mut Counter), Some(&3));
        graph.actions[7] = false;
        graph.targets[0] = 32_766;
        assert_eq!(graph.first_difference(&mut Counter), Some(&0));
    }
}
