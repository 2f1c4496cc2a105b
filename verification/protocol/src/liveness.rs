//! What must come about: P leads to Q under weak fairness, by strongly connected components.
//!
//! Relies on the whole graph of a finished exploration. P leads to Q unless, from a reachable state with P, there is an
//! endless run that never sees Q and is fair. Such a run ends up in a strongly connected component of the states without Q
//! (a single state counts: nothing may ever happen there again). It is fair if each fair action is disabled in some state of
//! the component, or taken on some step inside it.

use crate::explorer::Graph;

/// An action, or a group of them of which one is enough, that doesn't stay possible for ever without happening.
pub type Fair<A> = fn(A) -> bool;

/// Whether P leads to Q under weak fairness of each of `fair`.
///
/// # Errors
/// A state of a component in which a run can stay for ever without Q, and the component's size.
pub fn leads_to<S, A: Copy>(
    graph: &Graph<S, A>,
    p: impl Fn(&S) -> bool,
    q: impl Fn(&S) -> bool,
    fair: &[Fair<A>],
) -> Result<(), (u32, usize)> {
    let total = graph.states.len();
    let without_q: Vec<bool> = graph.states.iter().map(|state| !q(state)).collect();
    // What a run that has seen P, and Q never since, can reach.
    let mut concerned = vec![false; total];
    let mut stack = Vec::new();
    for (number, state) in (0_u32..).zip(&graph.states) {
        if without_q[number as usize] && p(state) && !concerned[number as usize] {
            concerned[number as usize] = true;
            stack.push(number);
            while let Some(at) = stack.pop() {
                for (_, to) in graph.steps(at) {
                    if without_q[to as usize] && !concerned[to as usize] {
                        concerned[to as usize] = true;
                        stack.push(to);
                    }
                }
            }
        }
    }
    let components = components(graph, &concerned);
    let count = components.iter().filter(|c| **c != NOWHERE).max().map_or(0, |most| *most as usize + 1);
    // For each component and fair action: it may be left undone for ever.
    let mut excused = vec![0_u64; count];
    let mut sizes = vec![0_usize; count];
    let mut some_state = vec![0_u32; count];
    for (number, component) in (0_u32..).zip(&components) {
        if *component == NOWHERE {
            continue;
        }
        let at = *component as usize;
        sizes[at] += 1;
        some_state[at] = number;
        for (bit, is_fair) in fair.iter().enumerate() {
            let mut enabled = graph.steps(number).filter(|(action, _)| is_fair(*action)).peekable();
            let disabled = enabled.peek().is_none();
            if disabled || enabled.any(|(_, to)| components[to as usize] == *component) {
                excused[at] |= 1 << bit;
            }
        }
    }
    let all = (1_u64 << fair.len()) - 1;
    match (0..count).find(|at| excused[*at] == all) {
        Some(at) => Err((some_state[at], sizes[at])),
        None => Ok(()),
    }
}

/// Whether a state with Q can be reached from every state.
///
/// # Errors
/// A state from which none can.
pub fn can_always_reach<S, A: Copy>(graph: &Graph<S, A>, q: impl Fn(&S) -> bool) -> Result<(), u32> {
    let total = graph.states.len();
    let mut back: Vec<Vec<u32>> = vec![Vec::new(); total];
    for at in 0..u32::try_from(total).expect("fewer than 2^32 states") {
        graph.steps(at).for_each(|(_, to)| back[to as usize].push(at));
    }
    let mut reaches: Vec<bool> = graph.states.iter().map(q).collect();
    let mut stack: Vec<u32> = (0_u32..).zip(&reaches).filter(|(_, reaches)| **reaches).map(|(at, _)| at).collect();
    while let Some(at) = stack.pop() {
        for from in &back[at as usize] {
            if !reaches[*from as usize] {
                reaches[*from as usize] = true;
                stack.push(*from);
            }
        }
    }
    match reaches.iter().position(|reaches| !reaches) {
        Some(at) => Err(u32::try_from(at).expect("fewer than 2^32 states")),
        None => Ok(()),
    }
}

const NOWHERE: u32 = u32::MAX;

/// The strongly connected component of each state within `inside`, by Tarjan's algorithm without recursion.
fn components<S, A: Copy>(graph: &Graph<S, A>, inside: &[bool]) -> Vec<u32> {
    const UNSEEN: u32 = u32::MAX;
    let total = graph.states.len();
    let (mut index, mut low) = (vec![UNSEEN; total], vec![0_u32; total]);
    let mut component = vec![NOWHERE; total];
    let (mut open, mut calls): (Vec<u32>, Vec<(u32, usize)>) = (Vec::new(), Vec::new());
    let (mut clock, mut found) = (0_u32, 0_u32);
    for root in 0..u32::try_from(total).expect("fewer than 2^32 states") {
        if !inside[root as usize] || index[root as usize] != UNSEEN {
            continue;
        }
        calls.push((root, 0));
        while let Some((at, next)) = calls.pop() {
            let here = at as usize;
            if next == 0 {
                (index[here], low[here]) = (clock, clock);
                clock += 1;
                open.push(at);
            }
            let mut descended = false;
            for (number, (_, to)) in graph.steps(at).enumerate().skip(next) {
                let there = to as usize;
                if !inside[there] {
                    continue;
                }
                if index[there] == UNSEEN {
                    calls.push((at, number + 1));
                    calls.push((to, 0));
                    descended = true;
                    break;
                }
                if component[there] == NOWHERE {
                    low[here] = low[here].min(index[there]);
                }
            }
            if descended {
                continue;
            }
            if low[here] == index[here] {
                while let Some(member) = open.pop() {
                    component[member as usize] = found;
                    if member == at {
                        break;
                    }
                }
                found += 1;
            }
            if let Some((parent, _)) = calls.last() {
                let parent = *parent as usize;
                low[parent] = low[parent].min(low[here]);
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explorer::{Edge, System, explore};

    /// 0 -a-> 1 -b-> 2, with a loop 1 -c-> 0.
    struct Triangle;

    impl System for Triangle {
        type State = u8;
        type Action = char;

        fn initial(&self) -> u8 {
            0
        }

        fn steps(&mut self, state: &u8, into: &mut Vec<Edge<u8, char>>) {
            let steps: &[(char, u8)] = match state {
                0 => &[('a', 1)],
                1 => &[('b', 2), ('c', 0)],
                _ => &[],
            };
            into.extend(steps.iter().map(|&(action, to)| Edge { action, to, breaks: None }));
        }

        fn broken(&self, _: &u8) -> Option<&'static str> {
            None
        }
    }

    #[test]
    fn a_loop_that_disables_the_fair_action_now_and_then_is_fair_and_one_that_never_does_is_not() {
        let graph = explore(&mut Triangle).expect("nothing breaks");
        let (zero, two) = (|state: &u8| *state == 0, |state: &u8| *state == 2);
        assert!(leads_to(&graph, zero, two, &[]).is_err(), "without fairness it may stay where it is");
        assert!(leads_to(&graph, zero, two, &[|a| a == 'a']).is_err(), "it may go round for ever");
        assert!(
            leads_to(&graph, zero, two, &[|a| a == 'a', |a| a == 'b']).is_err(),
            "b is disabled in 0 each time round"
        );
        assert!(leads_to(&graph, zero, two, &[|a| a == 'a' || a == 'b']).is_err(), "a is taken each time round");
        let one = |state: &u8| *state == 1;
        assert!(leads_to(&graph, zero, one, &[|a| a == 'a']).is_ok());
        assert!(leads_to(&graph, two, zero, &[]).is_err(), "in a state without steps a run stays for ever");
        assert_eq!(can_always_reach(&graph, two), Ok(()));
        assert_eq!(can_always_reach(&graph, zero), Err(2));
    }
}
