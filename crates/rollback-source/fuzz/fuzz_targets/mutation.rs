//! Mutations that often keep a text valid Python: they move words of the language, not only bytes.

use libfuzzer_sys::fuzzer_mutate;

/// What is put around other words, often many times.
const AROUND: &[(&[u8], &[u8])] = &[
    (b"(", b")"),
    (b"[", b"]"),
    (b"{", b"}"),
    (b"f(", b")"),
    (b"f\"{", b"}\""),
    (b"not ", b""),
    (b"-", b""),
    (b"lambda: ", b""),
    (b"1 if 1 else ", b""),
    (b"", b".a"),
    (b"", b"[0]"),
    (b"", b"()"),
    (b"", b" + 1"),
    (b"", b" ** 2"),
    (b"[", b" for a in b]"),
];

/// What is put between other words.
const WORDS: &[&[u8]] = &[
    b"*",
    b"**",
    b"=",
    b":=",
    b"@",
    b"\n    ",
    b"\n",
    b"\\\n",
    b"\t",
    b"#",
    b"\"\"\"",
    b"'",
    b"rb\"",
    b"\xef\xbb\xbf",
    b"if ",
    b"else:",
    b"for a in ",
    b"while True:",
    b"try:",
    b"except* E:",
    b"with a as b:",
    b"match a:\n case ",
    b"class Migration(",
    b"def f(",
    b"return ",
    b"global ",
    b"del ",
    b"import ",
    b"from . import ",
    b"async ",
    b"await ",
    b"yield ",
    b"type X = ",
    b"operations += ",
    b"dependencies = ",
    b"migrations.",
    b"getattr(",
    b"settings.",
    b"AUTH_USER_MODEL",
    b".append(",
    b".extend(",
    b"range(",
    b"1_000_000_000_000_000_000_000",
    b"1e999",
    b"\0",
    b"from shop.a import *\n",
    b"from shop.b import Migration\n",
];

/// The largest number of repetitions: more than the deepest nesting that is read.
const OFTEN: usize = 600;

/// Mutates the input in place; returns its new size.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    if random.below(3) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let changed = changed(&data[..size], &mut random);
    let size = changed.len().min(max_size);
    data[..size].copy_from_slice(&changed[..size]);
    size
}

fn changed(text: &[u8], random: &mut Random) -> Vec<u8> {
    let words = words(text);
    let kind = KINDS[random.below(KINDS.len())];
    let (start, end) = kind(&words, random);
    let (before, middle, after) =
        (words[..start].concat(), words[start..end].concat(), words[end..].concat());
    let parts: Vec<Vec<u8>> = match random.below(10) {
        0 => vec![before, after],
        1 => vec![before],
        2 => vec![after, middle, before],
        3 => vec![before, middle.repeat(random.often(OFTEN)), after],
        4 => {
            let (left, right) = AROUND[random.below(AROUND.len())];
            let times = random.often(OFTEN);
            vec![before, left.repeat(times), middle, right.repeat(times), after]
        }
        5 => vec![before, blocks(&middle, random.often(OFTEN / 5)), after],
        6 => vec![before, WORDS[random.below(WORDS.len())].to_vec(), middle, after],
        _ => {
            let (start, end) = kind(&words, random);
            vec![before, words[start..end].concat(), after]
        }
    };
    parts.concat()
}

/// Splits a text into names, numbers, white space and single signs.
fn words(text: &[u8]) -> Vec<&[u8]> {
    let kind = |byte: &u8| match byte {
        b'_' => 1,
        byte if byte.is_ascii_alphanumeric() => 1,
        b' ' => 2,
        _ => 0,
    };
    text.chunk_by(|one, other| kind(one) == kind(other) && kind(one) != 0).collect()
}

/// Chooses words to change together: the first one, and the one after the last.
type Kind = fn(&[&[u8]], &mut Random) -> (usize, usize);

/// Replacing whole lines or brackets by others usually keeps the text valid Python.
const KINDS: &[Kind] = &[few, lines, brackets, brackets];

fn few(words: &[&[u8]], random: &mut Random) -> (usize, usize) {
    let start = random.below(words.len() + 1);
    (start, words.len().min(start + random.below(12)))
}

fn lines(words: &[&[u8]], random: &mut Random) -> (usize, usize) {
    let ends: Vec<usize> = (0..words.len()).filter(|index| words[*index] == b"\n").collect();
    let line = random.below(ends.len());
    let start = line.checked_sub(1).map_or(0, |before| ends[before] + 1);
    let last = ends.get(line + random.below(4)).or(ends.last());
    (start, last.map_or(words.len(), |end| end + 1))
}

/// Brackets with their contents, and the name before them.
fn brackets(words: &[&[u8]], random: &mut Random) -> (usize, usize) {
    let is_one_of = |index: &usize, signs: &[u8]| matches!(words[*index], [sign] if signs.contains(sign));
    let open: Vec<usize> = (0..words.len()).filter(|index| is_one_of(index, b"([{")).collect();
    let Some(start) = open.get(random.below(open.len())).copied() else { return few(words, random) };
    let mut depth = 0;
    let close = (start..words.len()).find(|index| {
        depth += i32::from(is_one_of(index, b"([{")) - i32::from(is_one_of(index, b")]}"));
        depth == 0
    });
    let is_name = |word: &[u8]| word == b"." || word[0].is_ascii_alphanumeric();
    let name = words[..start].iter().rev().take_while(|word| is_name(word)).count();
    (start - name, close.map_or(words.len(), |close| close + 1))
}

/// Lines inside nested blocks.
fn blocks(lines: &[u8], depth: usize) -> Vec<u8> {
    let heads = (0..depth).flat_map(|level| [b"\n".to_vec(), b" ".repeat(level), b"if a:".to_vec()]);
    let body = lines.split(|byte| *byte == b'\n');
    let body = body.flat_map(|line| [b"\n".to_vec(), b" ".repeat(depth), line.to_vec()]);
    heads.chain(body).collect::<Vec<_>>().concat()
}

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % limit.max(1)
    }

    /// From 1 to a limit, usually a small number.
    fn often(&mut self, limit: usize) -> usize {
        let limit = if self.below(2) == 0 { 3 } else { limit };
        1 + self.below(limit)
    }
}
