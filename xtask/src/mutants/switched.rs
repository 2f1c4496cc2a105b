//! Puts the mutants of a source file behind switches, so that one build holds them all.

use std::cmp::Reverse;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// One change, as cargo-mutants lists it.
pub struct Mutant {
    pub name: String,
    pub file: String,
    /// cargo-mutants' word for the kind of change.
    pub genre: String,
    /// Where it begins: line and column, from 1.
    pub start: (usize, usize),
    pub replacement: String,
}

/// A place in a file, and how the mutants there are written beside what stands there.
struct Site {
    span: Range<usize>,
    form: Form,
    /// Their numbers.
    mutants: Vec<usize>,
}

#[derive(PartialEq)]
enum Form {
    Body,
    /// Of a function that gives some iterator of a type that it doesn't name.
    IteratorBody,
    Arm,
    Guard,
    /// Where the last arm of a match ends whose arms all have a guard once each can be deleted.
    Rest,
    /// A structure that takes the rest of its fields from another, and those of its own that can be left to that one: from where
    /// to where each stands, its comma included.
    Fields(Vec<Range<usize>>),
    Unary(Range<usize>, String),
    Binary(Range<usize>, Range<usize>, String),
}

/// What a part of the written file is: one mutant's own text, or a site's with all its mutants.
pub struct Part {
    pub span: Range<usize>,
    pub mutants: Vec<usize>,
    pub own: bool,
}

/// A file with its switches.
pub struct Switched {
    pub text: String,
    parts: Vec<Part>,
    /// Mutants that no switch can be written for.
    pub alone: Vec<usize>,
    /// Mutants that are no Rust: `||` in a chain of conditions one of which binds names.
    pub no_rust: Vec<usize>,
}

impl Switched {
    /// What the compiler doesn't like at this place: the mutants to leave out, and whether it is their own text that is wrong.
    pub fn blamed(&self, at: usize) -> Option<(Vec<usize>, bool)> {
        let around = self.parts.iter().filter(|part| part.span.contains(&at) && !part.mutants.is_empty());
        let innermost = around.min_by_key(|part| part.span.len())?;
        if innermost.own || !self.text[innermost.span.clone()].starts_with('{') {
            return Some((innermost.mutants.clone(), innermost.own));
        }
        // What stands in a body is wrong since something else in it is written in another way.
        let inside = self
            .parts
            .iter()
            .filter(|part| !part.own && innermost.span.start < part.span.start && part.span.end <= innermost.span.end);
        let all: Vec<usize> = inside.flat_map(|part| part.mutants.iter().copied()).collect();
        Some((if all.is_empty() { innermost.mutants.clone() } else { all }, false))
    }
}

/// Writes the switches of these mutants, which are all in this file.
pub fn switched(text: &str, mutants: &[(usize, &Mutant)]) -> Result<Switched, String> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let lines: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let offset = |(line, column): (usize, usize)| {
        let start = lines[line - 1];
        text[start..].char_indices().nth(column - 1).map_or(text.len(), |(at, _)| start + at)
    };
    let wanted = mutants.iter().map(|(n, m)| (offset(m.start), *n, *m)).collect();
    let mut finder = Finder { text, wanted, sites: Vec::new(), no_rust: Vec::new() };
    finder.visit_file(&file);
    let alone = finder.wanted.iter().map(|(_, number, _)| *number).collect();
    let (mut sites, no_rust) = (finder.sites, finder.no_rust);
    sites.sort_by_key(|site| (site.span.start, Reverse(site.span.end), site.form.rank()));
    let replacement = |number: usize| mutants.iter().find(|(n, _)| *n == number).expect("it is one of them").1;
    let mut writer = Writer { source: text, sites: &sites, out: String::new(), parts: Vec::new(), of: &replacement };
    writer.write(0..text.len(), 0..sites.len());
    let Writer { out: text, parts, .. } = writer;
    Ok(Switched { text, parts, alone, no_rust })
}

impl Form {
    /// Where two have the same span: the outer one first.
    fn rank(&self) -> u8 {
        match self {
            Self::Body | Self::IteratorBody => 0,
            Self::Arm => 1,
            Self::Guard | Self::Rest => 2,
            Self::Fields(_) | Self::Unary(..) | Self::Binary(..) => 3,
        }
    }
}

struct Finder<'a> {
    text: &'a str,
    wanted: Vec<(usize, usize, &'a Mutant)>,
    sites: Vec<Site>,
    no_rust: Vec<usize>,
}

impl Finder<'_> {
    /// Takes the mutants of this genre that begin there.
    fn take(&mut self, genre: &str, at: usize) -> Vec<usize> {
        let (taken, left) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition::<Vec<_>, _>(|(start, _, mutant)| *start == at && mutant.genre == genre);
        self.wanted = left;
        taken.into_iter().map(|(_, number, _)| number).collect()
    }

    fn add(&mut self, span: Range<usize>, form: Form, mutants: Vec<usize>) {
        if !mutants.is_empty() {
            self.sites.push(Site { span, form, mutants });
        }
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let span = block.span().byte_range();
        // cargo-mutants names the body from its first statement, or from its braces.
        let mut mutants = self.take("FnValue", span.start);
        if let Some(first) = block.stmts.first() {
            mutants.extend(self.take("FnValue", first.span().byte_range().start));
        }
        let form = if gives_some_iterator(signature) { Form::IteratorBody } else { Form::Body };
        self.add(span, form, mutants);
    }
}

impl Visit<'_> for Finder<'_> {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.body(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.body(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.body(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_expr_binary(&mut self, binary: &syn::ExprBinary) {
        let operator = binary.op.span().byte_range();
        let mutants = self.take("BinaryOperator", operator.start);
        if binds(&binary.left) || binds(&binary.right) {
            self.no_rust.extend(mutants);
        } else {
            let sides = (binary.left.span().byte_range(), binary.right.span().byte_range());
            let operator = self.text[operator].to_owned();
            self.add(binary.span().byte_range(), Form::Binary(sides.0, sides.1, operator), mutants);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &syn::ExprUnary) {
        let operator = unary.op.span().byte_range();
        let mutants = self.take("UnaryOperator", operator.start);
        let operator = self.text[operator].to_owned();
        self.add(unary.span().byte_range(), Form::Unary(unary.expr.span().byte_range(), operator), mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, structure: &syn::ExprStruct) {
        let (mut fields, mut mutants) = (Vec::new(), Vec::new());
        for field in structure.fields.pairs() {
            let span = field.value().span().byte_range();
            let end = field.punct().map_or(span.end, |comma| comma.span().byte_range().end);
            for mutant in self.take("StructField", span.start) {
                mutants.push(mutant);
                fields.push(span.start..end);
            }
        }
        self.add(structure.span().byte_range(), Form::Fields(fields), mutants);
        visit::visit_expr_struct(self, structure);
    }

    fn visit_expr_match(&mut self, expression: &syn::ExprMatch) {
        let deleted = |arm: &syn::Arm| {
            let start = arm.span().byte_range().start;
            self.wanted.iter().any(|(at, _, mutant)| *at == start && mutant.genre == "MatchArm")
        };
        let takes_the_rest = |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_));
        // cargo-mutants takes a `_` with a guard for one that takes the rest.
        if expression.arms.iter().any(deleted) && !expression.arms.iter().any(takes_the_rest) {
            let end = expression.span().byte_range().end - 1;
            self.sites.push(Site { span: end..end, form: Form::Rest, mutants: Vec::new() });
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_arm(&mut self, arm: &syn::Arm) {
        let start = arm.span().byte_range().start;
        let mutants = self.take("MatchArm", start);
        let guard = arm.guard.as_ref().map(|(_, guard)| guard.span().byte_range());
        if let Some(guard) = &guard {
            let of_guard = self.take("MatchArmGuard", guard.start);
            self.add(guard.clone(), Form::Guard, of_guard);
        }
        let end = arm.pat.span().byte_range().end;
        self.add(guard.unwrap_or(end..end), Form::Arm, mutants);
        visit::visit_arm(self, arm);
    }
}

/// Whether what is given back is `impl Iterator`.
fn gives_some_iterator(signature: &syn::Signature) -> bool {
    let syn::ReturnType::Type(_, given) = &signature.output else { return false };
    let syn::Type::ImplTrait(opaque) = &**given else { return false };
    opaque.bounds.iter().any(|bound| {
        matches!(bound, syn::TypeParamBound::Trait(bound)
            if bound.path.segments.last().is_some_and(|name| name.ident == "Iterator"))
    })
}

/// Whether an operand of `&&` binds names for what follows.
fn binds(operand: &syn::Expr) -> bool {
    match operand {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
            binds(&binary.left) || binds(&binary.right)
        }
        _ => false,
    }
}

struct Writer<'a> {
    source: &'a str,
    sites: &'a [Site],
    out: String,
    parts: Vec<Part>,
    of: &'a dyn Fn(usize) -> &'a Mutant,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes a part of the source with those of the sites that lie in it.
    fn write(&mut self, within: Range<usize>, sites: Range<usize>) {
        let mut at = within.start;
        let mut next = sites.start;
        while next < sites.end {
            let site = &self.sites[next];
            let outside = site.span.start < at || within.end < site.span.end;
            if outside {
                next += 1;
                continue;
            }
            let inner = next + 1..sites.end;
            self.out.push_str(&self.source[at..site.span.start]);
            let start = self.out.len();
            self.write_site(site, inner.clone());
            self.parts.push(Part { span: start..self.out.len(), mutants: site.mutants.clone(), own: false });
            at = site.span.end;
            next = inner.start + self.sites[inner].iter().take_while(|other| other.span.start < at).count();
        }
        self.out.push_str(&self.source[at..within.end]);
    }

    fn write_site(&mut self, site: &Site, inner: Range<usize>) {
        match &site.form {
            Form::Body => {
                self.out.push('{');
                self.alternatives(site, |replacement| format!("return {replacement};"));
                self.write(site.span.start + 1..site.span.end, inner);
            }
            Form::IteratorBody => {
                self.out.push('{');
                self.alternatives(site, |replacement| {
                    format!("return crate::MutantIterator::Changed(Box::new({replacement}));")
                });
                self.out.push_str("crate::MutantIterator::AsItIs(");
                self.write(site.span.clone(), inner);
                self.out.push_str(") }");
            }
            Form::Arm if site.span.is_empty() => {
                self.put(&format!(" if !crate::mutant({}) ", site.mutants[0]));
            }
            Form::Arm => {
                self.put(&format!("!crate::mutant({}) && (", site.mutants[0]));
                self.write(site.span.clone(), inner);
                self.out.push(')');
            }
            Form::Guard => {
                self.out.push('(');
                self.alternatives(site, str::to_owned);
                self.out.push_str("{ ");
                self.write(site.span.clone(), inner);
                self.out.push_str(" })");
            }
            Form::Rest => self.put("_ => unreachable!(\"without this arm it doesn't compile\"),"),
            Form::Fields(fields) => {
                self.out.push('(');
                for (number, field) in site.mutants.iter().zip(fields) {
                    self.put(&format!("if crate::mutant({number}) {{ "));
                    let start = self.out.len();
                    self.put(&self.source[site.span.start..field.start]);
                    self.put(&self.source[field.end..site.span.end]);
                    self.parts.push(Part { span: start..self.out.len(), mutants: vec![*number], own: true });
                    self.out.push_str(" } else ");
                }
                self.out.push_str("{ ");
                self.write(site.span.clone(), inner);
                self.out.push_str(" })");
            }
            Form::Unary(operand, operator) => {
                self.out.push_str("(match (");
                self.write(operand.clone(), inner);
                self.out.push_str(") { it_is => ");
                self.alternatives(site, |_| "it_is".to_owned());
                self.put(&format!("{{ {operator}it_is }} }})"));
            }
            Form::Binary(left, right, operator) if matches!(operator.as_str(), "&&" | "||") => {
                let on = site.mutants.iter().map(|number| format!("crate::mutant({number})"));
                let on = on.collect::<Vec<_>>().join(" || ");
                let compared = if operator == "&&" { "!=" } else { "==" };
                self.out.push_str("({ let it_is: bool = ");
                self.write(left.clone(), inner.clone());
                self.put(&format!("; if it_is {compared} ({on}) {{ "));
                self.write(right.clone(), inner);
                self.out.push_str(" } else { it_is } })");
            }
            Form::Binary(left, right, operator)
                if operator.ends_with('=') && !matches!(operator.as_str(), "==" | "!=" | "<=" | ">=") =>
            {
                // Numbers and truth values: what is added is worked out before what it is added to.
                let left = &self.source[left.clone()];
                self.put("(match (");
                self.write(right.clone(), inner);
                self.put(") { it_is => ");
                self.alternatives(site, |replacement| format!("{left} {replacement} it_is"));
                self.put(&format!("{{ {left} {operator} it_is }} }})"));
            }
            Form::Binary(left, right, operator) => {
                let compares = matches!(operator.as_str(), "==" | "!=" | "<" | ">" | "<=" | ">=");
                let (taken, given) = if compares { ("&(", "*") } else { ("(", "") };
                self.put(&format!("(match ({taken}"));
                self.write(left.clone(), inner.clone());
                self.put(&format!("), {taken}"));
                self.write(right.clone(), inner);
                self.out.push_str(")) { (one_is, two_is) => ");
                self.alternatives(site, |replacement| format!("{given}one_is {replacement} {given}two_is"));
                self.put(&format!("{{ {given}one_is {operator} {given}two_is }} }})"));
            }
        }
    }

    /// `if` for each of the mutants, each but a body's with `else`.
    fn alternatives(&mut self, site: &Site, with: impl Fn(&str) -> String) {
        for number in &site.mutants {
            self.put(&format!("if crate::mutant({number}) {{ "));
            let start = self.out.len();
            self.out.push_str(&with(&(self.of)(*number).replacement));
            self.parts.push(Part { span: start..self.out.len(), mutants: vec![*number], own: true });
            let is_body = matches!(site.form, Form::Body | Form::IteratorBody);
            self.out.push_str(if is_body { " } " } else { " } else " });
        }
    }
}

/// The switch, which stands at the end of the crate's root.
pub const SWITCH: &str = r#"
/// Whether this is the mutant that the environment has chosen. What is asked for is noted where the environment says.
pub(crate) fn mutant(number: usize) -> bool {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    static CHOSEN: std::sync::LazyLock<(usize, Option<std::ffi::OsString>)> = std::sync::LazyLock::new(|| {
        let chosen = std::env::var("MUTANT").ok().and_then(|number| number.parse().ok());
        (chosen.unwrap_or(usize::MAX), std::env::var_os("MUTANTS_REACHED"))
    });
    static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    let (chosen, reached) = &*CHOSEN;
    if let Some(reached) = reached && !REACHED[number].swap(true, Ordering::Relaxed) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(reached);
        let _ = file.and_then(|mut file| file.write_all(format!("{number}\n").as_bytes()));
    }
    *chosen == number
}

pub(crate) enum MutantIterator<'a, I: Iterator> {
    AsItIs(I),
    Changed(Box<dyn Iterator<Item = I::Item> + 'a>),
}

impl<I: Iterator> Iterator for MutantIterator<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        match self {
            Self::AsItIs(real) => real.next(),
            Self::Changed(changed) => changed.next(),
        }
    }
}
"#;
