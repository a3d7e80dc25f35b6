//! Our canonical JSON against securesystemslib's, byte by byte.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
};

use rstuf::tuf::canonical::to_canonical;
use serde_json::{Map, Value, json};

use crate::harness;

const OBJECTS: usize = 10_000;

/// The judge: Python with securesystemslib.
fn judged(values: &[Value]) -> Vec<String> {
    let mut child = Command::new(harness::python())
        .arg(harness::checkout().join("tests/it/judges/canonical.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    let mut stdin = child.stdin.take().expect("piped");
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("the judge ends");
    writer.join().expect("no panic").expect("the judge reads everything");
    assert!(output.status.success(), "the judge failed: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("hexadecimal digits");
    text.lines().map(str::to_owned).collect()
}

/// Random JSON without floats: the same for the same seed (xorshift64*, which needs a seed other than 0).
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        assert_ne!(seed, 0);
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    /// An object with up to eight members, nested up to five deep.
    pub(crate) fn object(&mut self) -> Value {
        Value::Object(self.members(5))
    }

    fn members(&mut self, depth: usize) -> Map<String, Value> {
        (0..self.below(9)).map(|_| (self.text(), self.value(depth))).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.below(100)),
            3 => json!(self.next()),
            4 => json!(self.next() as i64),
            5 => json!(self.text()),
            6 => (0..self.below(5)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object(self.members(depth - 1)),
        }
    }

    /// Short, so that names share beginnings, which is where orders differ.
    fn text(&mut self) -> String {
        (0..self.below(7)).map(|_| self.character()).collect()
    }

    fn character(&mut self) -> char {
        const ODD: [char; 20] = [
            '"',
            '\\',
            '/',
            ' ',
            '!',
            '\0',
            '\n',
            '\r',
            '\t',
            '\u{8}',
            '\u{1f}',
            '\u{7f}',
            '\u{85}',
            '\u{2028}',
            '\u{301}',
            'é',
            '\u{d7ff}',
            '\u{e000}',
            '\u{ffff}',
            '\u{10ffff}',
        ];
        match self.below(4) {
            0 => ODD[self.below(ODD.len())],
            1 => char::from(b'a' + self.below(3) as u8),
            2 => char::from(self.below(128) as u8),
            _ => char::from_u32(self.below(0x11_0000) as u32).unwrap_or('\u{1F600}'),
        }
    }
}

/// The metadata that the Python worker wrote.
fn recorded() -> Vec<Value> {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/recorded");
    let files =
        ["before", "after", "custom"].iter().flat_map(|name| fs::read_dir(format!("{base}/{name}")).expect(name));
    let read = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.expect("an entry").path()).expect("a file");
    files.map(|entry| serde_json::from_slice(&read(entry)).expect("json")).collect()
}

#[test]
fn canonical_bytes_are_those_of_securesystemslib() {
    let mut generator = Generator::new(0x5DEE_CE66_D001);
    let mut values: Vec<_> = (0..OBJECTS).map(|_| generator.object()).collect();
    values.extend(recorded());
    let judged = judged(&values);
    assert_eq!(judged.len(), values.len());
    for (value, expected) in values.iter().zip(judged) {
        assert_eq!(hex::encode(to_canonical(value).expect("no floats")), expected, "{value}");
    }
}
